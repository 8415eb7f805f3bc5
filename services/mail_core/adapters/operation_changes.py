"""Tells watchers when operations change, by PostgreSQL LISTEN, whichever process changed them."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from typing import Final

import psycopg

from services.common.background import in_background
from services.common.telemetry import get_logger
from services.mail_core.adapters.postgres_operations import CHANNEL
from services.mail_core.domain.ids import OperationId

# Also looks without a notice: one that was lost with the connection must not leave a watcher waiting.
_POLL_S: Final = 2.0
_RECONNECT_S: Final = 1.0


class PostgresOperationChanges:
    """Implements `storage.OperationChanges` on one listening connection per process."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._watchers: dict[str, set[asyncio.Event]] = defaultdict(set)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen until the block ends."""
        async with in_background(self._keep_listening()):
            yield

    @contextlib.contextmanager
    def watch(self, operation_id: OperationId) -> Iterator[AsyncIterator[None]]:
        """Tick once at least after every change from now on, and now and then without one."""
        event = asyncio.Event()
        self._watchers[operation_id].add(event)
        try:
            yield _ticks(event)
        finally:
            self._watchers[operation_id].discard(event)
            if not self._watchers[operation_id]:
                del self._watchers[operation_id]

    async def _keep_listening(self) -> None:
        while True:
            try:
                await self._listen()
            except psycopg.Error as error:
                get_logger().warning("listen_lost", error=type(error).__name__)
            await asyncio.sleep(_RECONNECT_S)

    async def _listen(self) -> None:
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            async for notice in connection.notifies():
                for event in self._watchers.get(notice.payload, ()):
                    event.set()


async def _ticks(event: asyncio.Event) -> AsyncIterator[None]:
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_POLL_S):
                await event.wait()
        event.clear()
        yield
