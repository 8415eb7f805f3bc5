"""Clients that registered, in PostgreSQL. They belong to no team and are seen one at a time."""

from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.audit_ports import Audit
from services.auth.oauth.domain.clients import Client
from services.common.audit import AuditEvent
from services.common.database import Database

MAX_CLIENTS: Final = 10_000
MAX_UNUSED: Final = 1_000
"""So many clients that nobody ever agreed to are kept; anybody may register, and so fill a table."""
UNUSED_FOR: Final = timedelta(hours=1)
"""So long such a client keeps its place when others want it."""
NAMED_SETTING: Final = "mailwarden.oauth_client_id"
"""A transaction with this setting sees the one client that has this id."""
_REGISTRAR: Final = "mailwarden.oauth_registrar"

_FIND: Final = sa.text(
    "SELECT id, name, redirect_uris, auth_method, secret_hash FROM oauth_clients WHERE id = :id"
)
_LOCK: Final = sa.text("SELECT pg_advisory_xact_lock(726004)")
_COUNT: Final = sa.text("""
    SELECT count(*) AS total, count(*) FILTER (WHERE last_used_at IS NULL) AS unused FROM oauth_clients
""")
_CLEAN: Final = sa.text("DELETE FROM oauth_clients WHERE last_used_at IS NULL AND created_at < :before")
_ADD: Final = sa.text("""
    INSERT INTO oauth_clients (id, name, redirect_uris, auth_method, secret_hash, created_at)
    VALUES (:id, :name, :redirect_uris, :auth_method, :secret_hash, :created_at)
""")
_REMOVE: Final = sa.text("DELETE FROM oauth_clients WHERE id = :id")


class PostgresClients:
    """Implements `ports.Clients`."""

    def __init__(
        self,
        database: Database,
        audit: Audit,
        max_clients: int = MAX_CLIENTS,
        max_unused: int = MAX_UNUSED,
    ) -> None:
        self._database = database
        self._audit = audit
        self._max_clients = max_clients
        self._max_unused = max_unused

    async def find(self, client_id: str) -> Client | None:
        """Give a client."""
        async with self._database.transaction({NAMED_SETTING: client_id}) as connection:
            row = (await connection.execute(_FIND, {"id": client_id})).mappings().one_or_none()
        if row is None:
            return None
        secret_hash = None if row["secret_hash"] is None else bytes(row["secret_hash"])
        return Client(row["id"], row["name"], tuple(row["redirect_uris"]), row["auth_method"], secret_hash)

    async def add(self, client: Client, at: datetime, event: AuditEvent) -> bool:
        """Keep a new client and write that down; False when there are as many as may be."""
        async with self._database.transaction({_REGISTRAR: "on"}) as connection:
            await connection.execute(_LOCK)
            if await self._is_full(connection):
                await connection.execute(_CLEAN, {"before": at - UNUSED_FOR})
                if await self._is_full(connection):
                    return False
            values = {
                "id": client.id,
                "name": client.name,
                "redirect_uris": list(client.redirect_uris),
                "auth_method": client.auth_method,
                "secret_hash": client.secret_hash,
                "created_at": at,
            }
            await connection.execute(_ADD, values)
            await self._audit.record(connection, event)
        return True

    async def remove(self, client_id: str, event: AuditEvent) -> bool:
        """Forget a client that registered and write that down; False when there is none."""
        async with self._database.transaction({NAMED_SETTING: client_id}) as connection:
            if not (await connection.execute(_REMOVE, {"id": client_id})).rowcount:
                return False
            await self._audit.record(connection, event)
        return True

    async def _is_full(self, connection: AsyncConnection) -> bool:
        row = (await connection.execute(_COUNT)).one()
        return row.total >= self._max_clients or row.unused >= self._max_unused
