"""Clients that registered, in PostgreSQL. They belong to no team and are seen one at a time."""

from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.oauth.domain.clients import Client
from services.common.database import Database

MAX_CLIENTS: Final = 10_000
UNUSED_FOR: Final = timedelta(days=1)
"""So long a client that nobody ever agreed to is kept when others want its place."""
_NAMED: Final = "mailwarden.oauth_client_id"
_REGISTRAR: Final = "mailwarden.oauth_registrar"

_FIND: Final = sa.text(
    "SELECT id, name, redirect_uris, auth_method, secret_hash FROM oauth_clients WHERE id = :id"
)
_LOCK: Final = sa.text("SELECT pg_advisory_xact_lock(726004)")
_COUNT: Final = sa.text("SELECT count(*) FROM oauth_clients")
_CLEAN: Final = sa.text("DELETE FROM oauth_clients WHERE last_used_at IS NULL AND created_at < :before")
_ADD: Final = sa.text("""
    INSERT INTO oauth_clients (id, name, redirect_uris, auth_method, secret_hash, created_at)
    VALUES (:id, :name, :redirect_uris, :auth_method, :secret_hash, :created_at)
""")
_NOTE_USE: Final = sa.text("UPDATE oauth_clients SET last_used_at = :at WHERE id = :id")


class PostgresClients:
    """Implements `ports.Clients`."""

    def __init__(self, database: Database, max_clients: int = MAX_CLIENTS) -> None:
        self._database = database
        self._max_clients = max_clients

    async def find(self, client_id: str) -> Client | None:
        """Give a client."""
        async with self._database.transaction({_NAMED: client_id}) as connection:
            row = (await connection.execute(_FIND, {"id": client_id})).mappings().one_or_none()
        if row is None:
            return None
        secret_hash = None if row["secret_hash"] is None else bytes(row["secret_hash"])
        return Client(row["id"], row["name"], tuple(row["redirect_uris"]), row["auth_method"], secret_hash)

    async def add(self, client: Client, at: datetime) -> bool:
        """Keep a new client; False when there are as many as may be."""
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
        return True

    async def note_use(self, client_id: str, at: datetime) -> None:
        """Write down that a person agreed to a client."""
        async with self._database.transaction({_NAMED: client_id}) as connection:
            await connection.execute(_NOTE_USE, {"id": client_id, "at": at})

    async def _is_full(self, connection: AsyncConnection) -> bool:
        return (await connection.execute(_COUNT)).scalar_one() >= self._max_clients
