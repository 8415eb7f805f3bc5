"""The log of revocations in PostgreSQL, told within moments by LISTEN, whichever replica wrote it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

import psycopg
import sqlalchemy as sa

from services.auth.adapters.postgres_teams import ACROSS_TEAMS_SETTING
from services.auth.audit_ports import AuditLog
from services.auth.domain.revocation import CaughtUp, Revocation
from services.common.audit import audit_event
from services.common.background import in_background
from services.common.database import Database
from services.common.errors import AppError
from services.common.revocations import REMEMBERED_S
from services.common.telemetry import get_logger

_ACROSS_TEAMS: Final = {ACROSS_TEAMS_SETTING: "revocations"}
CHANNEL: Final = "mailwarden_revocations"
_READ: Final = sa.text("""
    SELECT id, subject, revoked_at FROM revocations
    WHERE id > :cursor AND revoked_at > clock_timestamp() - CAST(:remembered AS interval) ORDER BY id
""")
_ADD: Final = sa.text("""
    INSERT INTO revocations (team_id, subject) SELECT :team_id, :subject
    WHERE NOT EXISTS (
        SELECT 1 FROM revocations
        WHERE subject = :subject AND revoked_at > clock_timestamp() - interval '5 s'
    )
""")
_HAS_ANY: Final = sa.text("""
    SELECT EXISTS (SELECT 1 FROM revocations WHERE subject = ANY(:subjects) AND revoked_at >= :since)
""")
_LAST: Final = sa.text("SELECT coalesce(max(id), 0) FROM revocations")
_REMEMBERED: Final = timedelta(seconds=REMEMBERED_S)
# Also looks without a notice: one that was lost with the connection must not leave a credential alive.
_POLL_S: Final = 1.0
_RECONNECT_S: Final = 0.2


class PostgresRevocations:
    """Implements `ports.Revocations` on one listening connection per process."""

    def __init__(self, database: Database, database_url: str) -> None:
        self._database = database
        self._url = database_url
        self._watchers: set[asyncio.Event] = set()
        self._is_closed = False

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen until the block ends."""
        async with in_background(self._keep_listening()):
            yield

    def close(self) -> None:
        """End all watching: streams that stay open would hold up a shutdown."""
        self._is_closed = True
        self._wake()

    async def watch(self, cursor: int) -> AsyncIterator[Revocation | CaughtUp]:
        """Give what was revoked behind a cursor, then what is revoked from now on."""
        woken, has_caught_up = asyncio.Event(), False
        self._watchers.add(woken)
        try:
            while not self._is_closed:
                woken.clear()
                rows, last = await self._read(cursor)
                for row in rows:
                    yield row
                if rows or not has_caught_up:
                    yield CaughtUp(max(cursor, last))
                cursor, has_caught_up = max(cursor, last), True
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_POLL_S):
                        await woken.wait()
        finally:
            self._watchers.discard(woken)

    async def has_any(self, subjects: Collection[str], since: datetime) -> bool:
        """Whether one of these was revoked at that time or later."""
        async with self._database.transaction(_ACROSS_TEAMS) as connection:
            values = {"subjects": list(subjects), "since": since}
            return bool((await connection.execute(_HAS_ANY, values)).scalar_one())

    async def _read(self, cursor: int) -> tuple[Sequence[Revocation], int]:
        async with self._database.transaction(_ACROSS_TEAMS) as connection:
            # The end is read first: what is written in between is found by the next reading.
            last = cursor or (await connection.execute(_LAST)).scalar_one()
            found = await connection.execute(_READ, {"cursor": cursor, "remembered": _REMEMBERED})
            rows = [Revocation(*row) for row in found]
        return rows, max(last, rows[-1].cursor) if rows else last

    async def add(self, audit: AuditLog, team_id: str, subject: str) -> None:
        """Revoke a subject of a team and record it, unless another replica has done so this moment."""
        async with self._database.team(team_id) as connection:
            added = await connection.execute(_ADD, {"team_id": team_id, "subject": subject})
            if added.rowcount:
                event = audit_event("secret.removed", resource=subject, team_id=team_id)
                await audit.record(connection, event)

    def _wake(self) -> None:
        for woken in self._watchers:
            woken.set()

    async def _keep_listening(self) -> None:
        while True:
            try:
                await self._listen()
            except (psycopg.Error, AppError) as error:
                get_logger().warning("listen_lost", error=type(error).__name__)
            self._wake()
            await asyncio.sleep(_RECONNECT_S)

    async def _listen(self) -> None:
        connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True, connect_timeout=5)
        async with connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            self._wake()
            async for _ in connection.notifies():
                self._wake()
