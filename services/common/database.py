"""PostgreSQL for one service, with the tenant set in every transaction (DESIGN D2).

Row-level security is on for every table. A transaction that names no team sees no team's rows: a query
that forgets to filter returns nothing instead of somebody else's mail.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from services.common.errors import unavailable

TEAM_SETTING: Final = "mailwarden.team_id"
_POOL_TIMEOUT_S: Final = 5
_CONNECT_TIMEOUT_S: Final = 5
_SET: Final = sa.text("SELECT set_config(:name, :value, true)")


def sqlalchemy_url(url: str) -> str:
    """Name the driver in a `postgresql://` URL."""
    return "postgresql+psycopg://" + url.split("://", 1)[1]


class Database:
    """A pool of connections as the service's application role."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self._engine = create_async_engine(
            sqlalchemy_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=_POOL_TIMEOUT_S,
            # The text of a database error ends up in the log; the values of a statement must not.
            hide_parameters=True,
            connect_args={"connect_timeout": _CONNECT_TIMEOUT_S},
        )

    @contextlib.asynccontextmanager
    async def team(self, team_id: str) -> AsyncIterator[AsyncConnection]:
        """Open one transaction that sees one team's rows. Raises AppError UNAVAILABLE DATABASE_DOWN."""
        async with self.transaction({TEAM_SETTING: team_id}) as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def transaction(self, settings: Mapping[str, str]) -> AsyncIterator[AsyncConnection]:
        """Open one transaction with settings that the row-level security policies read."""
        try:
            async with self._engine.begin() as connection:
                for name, value in settings.items():
                    await connection.execute(_SET, {"name": name, "value": value})
                yield connection
        except (OperationalError, InterfaceError, PoolTimeoutError) as error:
            raise _down() from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise _down() from error
            raise

    async def is_ready(self) -> bool:
        """Whether the database answers."""
        try:
            async with self._engine.connect() as connection:
                await connection.execute(sa.text("SELECT 1"))
        except (DBAPIError, PoolTimeoutError):
            return False
        return True

    async def close(self) -> None:
        """Close the pool."""
        await self._engine.dispose()


def _down() -> Exception:
    return unavailable("DATABASE_DOWN", "The database does not answer.")
