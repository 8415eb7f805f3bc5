"""Transactions of one team over all of its records."""

import contextlib
from collections.abc import AsyncIterator

from sqlalchemy.ext.asyncio import AsyncConnection

from services.common.database import Database
from services.mail_core.adapters.audit_outbox import NotedEvents, write_noted
from services.mail_core.adapters.job_queue import JobQueue
from services.mail_core.adapters.postgres_ledger import PostgresLedger
from services.mail_core.adapters.postgres_mailboxes import PostgresMailboxes
from services.mail_core.adapters.postgres_operations import PostgresOperations
from services.mail_core.adapters.postgres_subscriptions import PostgresSubscriptions
from services.mail_core.domain.ids import TeamId


class PostgresRecords:
    """Implements `storage.Records`."""

    def __init__(self, connection: AsyncConnection, team_id: TeamId, queue: JobQueue) -> None:
        self.mailboxes = PostgresMailboxes(connection, team_id)
        self.subscriptions = PostgresSubscriptions(connection, team_id)
        self.ledger = PostgresLedger(connection, team_id)
        self.operations = PostgresOperations(connection, team_id, queue)
        self.audit = NotedEvents()


class PostgresStore:
    """Implements `storage.Store`."""

    def __init__(self, database: Database, queue: JobQueue) -> None:
        self._database = database
        self._queue = queue

    @contextlib.asynccontextmanager
    async def team(self, team_id: TeamId) -> AsyncIterator[PostgresRecords]:
        """Open a transaction that sees one team and commits at its end."""
        async with self._database.team(team_id) as connection:
            records = PostgresRecords(connection, team_id, self._queue)
            yield records
            await write_noted(connection, records.audit, team_id)
