"""PostgreSQL for one service, with the tenant set in every transaction (ADR 0010).

Row-level security is on for every table. A transaction that names no team sees no team's rows: a query
that forgets to filter returns nothing instead of somebody else's mail.
"""

import contextlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, LiteralString

import orjson
import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from services.common.errors import unavailable

TEAM_SETTING: Final = "mailwarden.team_id"
_POOL_TIMEOUT_S: Final = 5
_CONNECT_TIMEOUT_S: Final = 5
_PLAIN: Final = re.compile(r"[0-9A-Za-z._-]*")


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
            # BEGIN is ours to send, see `_begin`.
            isolation_level="AUTOCOMMIT",
            json_deserializer=orjson.loads,
            # The text of a database error ends up in the log; the values of a statement must not.
            hide_parameters=True,
            connect_args={"connect_timeout": _CONNECT_TIMEOUT_S},
        )

    def team(self, team_id: str) -> AbstractAsyncContextManager[AsyncConnection]:
        """Open one transaction that sees one team's rows. Raises AppError UNAVAILABLE DATABASE_DOWN."""
        return self.transaction({TEAM_SETTING: team_id})

    @contextlib.asynccontextmanager
    async def transaction(self, settings: Mapping[str, str]) -> AsyncIterator[AsyncConnection]:
        """Open one transaction with settings that the row-level security policies read."""
        with _told_when_down():
            async with self._engine.begin() as connection:
                await _begin(connection, settings)
                yield connection

    async def glance(self, settings: Mapping[str, str], query: LiteralString) -> list[tuple[Any, ...]]:
        """Read rows by one query that takes no values but what these settings say, in one message.

        For what is read at nearly every request: it costs a quarter of a transaction. Several statements in
        one message are one transaction (PostgreSQL, 55.2.2.1). Raises AppError UNAVAILABLE DATABASE_DOWN.
        """
        message = "; ".join([*_settings(settings), query])
        with _told_when_down():
            async with self._engine.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                try:
                    cursor = await driver.execute(message, prepare=False)
                except psycopg.OperationalError:
                    await connection.invalidate()
                    raise
                while cursor.nextset():
                    pass
                return await cursor.fetchall()

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


async def _begin(connection: AsyncConnection, settings: Mapping[str, str]) -> None:
    """Begin and set in one message: in a short read, messages to and fro cost more than the query.

    Several statements in one message take no parameters and cannot be prepared. Raises ValueError for a
    setting that would need quoting; ids and hashes do not.
    """
    driver: Any = (await connection.get_raw_connection()).driver_connection
    await driver.execute("; ".join(["BEGIN", *_settings(settings)]), prepare=False)


def _settings(settings: Mapping[str, str]) -> Iterator[str]:
    for name, value in settings.items():
        if not (_PLAIN.fullmatch(name) and _PLAIN.fullmatch(value)):
            raise ValueError(f"{name} cannot be set to this value")
        yield f"SELECT set_config('{name}', '{value}', true)"


@contextlib.contextmanager
def _told_when_down() -> Iterator[None]:
    """Raise AppError UNAVAILABLE DATABASE_DOWN for whatever says that there is no database."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError, psycopg.OperationalError) as error:
        raise _down() from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise _down() from error
        raise


def _down() -> Exception:
    return unavailable("DATABASE_DOWN", "The database does not answer.")
