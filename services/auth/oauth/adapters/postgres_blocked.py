"""Clients that the operator shut out, in PostgreSQL. They belong to no team."""

from collections.abc import Collection, Sequence
from typing import Final

import sqlalchemy as sa

from services.auth.audit_ports import Audit
from services.auth.oauth.domain.blocking import Blocked
from services.common.audit import AuditEvent
from services.common.database import Database

_SETTINGS: Final = {"mailwarden.oauth_blocked": "on"}
_HAS_ANY: Final = sa.text("""
    SELECT EXISTS (SELECT 1 FROM oauth_blocked_clients WHERE address = ANY(:addresses))
""")
_LIST: Final = sa.text("""
    SELECT address, blocked_at FROM oauth_blocked_clients ORDER BY address
""")
_ADD: Final = sa.text("""
    INSERT INTO oauth_blocked_clients (address, blocked_at) VALUES (:address, :blocked_at)
    ON CONFLICT DO NOTHING
""")
_REMOVE: Final = sa.text("DELETE FROM oauth_blocked_clients WHERE address = :address")


class PostgresBlockedClients:
    """Implements `ports.BlockedClients`."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit

    async def has_any(self, addresses: Collection[str]) -> bool:
        """Whether one of these is blocked."""
        async with self._database.transaction(_SETTINGS) as connection:
            found = await connection.execute(_HAS_ANY, {"addresses": list(addresses)})
            return bool(found.scalar_one())

    async def list(self) -> Sequence[Blocked]:
        """Give all, by address."""
        async with self._database.transaction(_SETTINGS) as connection:
            return [Blocked(*row) for row in await connection.execute(_LIST)]

    async def add(self, blocked: Blocked, event: AuditEvent) -> None:
        """Block, and write that down; nothing when it is blocked already."""
        values = {"address": blocked.address, "blocked_at": blocked.blocked_at}
        async with self._database.transaction(_SETTINGS) as connection:
            if (await connection.execute(_ADD, values)).rowcount:
                await self._audit.record(connection, event)

    async def remove(self, address: str, event: AuditEvent) -> bool:
        """Let in again, and write that down; False when it is not blocked."""
        async with self._database.transaction(_SETTINGS) as connection:
            if not (await connection.execute(_REMOVE, {"address": address})).rowcount:
                return False
            await self._audit.record(connection, event)
        return True
