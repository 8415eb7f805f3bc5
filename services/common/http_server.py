"""uvicorn as a part of our process (MCP, A2A): our socket, our signals, our drain.

The only module that knows uvicorn.
"""

import asyncio
import contextlib
import math
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import uvicorn

from services.common.asgi_edge import Asgi
from services.common.lifecycle import join_address, split_address

_KEEP_ALIVE_S: Final = 75
"""Longer than the usual 60 s of a load balancer, so that it is never us who closes under its hand."""
_MAX_HEAD_BYTES: Final = 64 * 1024
_BACKLOG: Final = 2_048


class HttpServer:
    """Listens on one address and serves one ASGI application there."""

    def __init__(self, listen: str, *, drain_s: float) -> None:
        """Bind, so that the address is known before anything is served. Raises OSError."""
        self._socket = _bound(listen)
        self._drain_s = drain_s

    @property
    def address(self) -> str:
        """Where we listen, as `host:port`."""
        host, port = self._socket.getsockname()[:2]
        return join_address(host, port)

    @contextlib.asynccontextmanager
    async def serving(self, app: Asgi) -> AsyncIterator[None]:
        """Serve inside the block, then let requests in flight finish within the drain time.

        Raises what the start of the application failed with.
        """
        server = _Server(self._config(app))
        running = asyncio.create_task(server.serve(sockets=[self._socket]))
        try:
            await server.until_started(running)
            yield
        finally:
            server.should_exit = True
            try:
                await running
            finally:
                self._socket.close()  # uvicorn leaves it open when the application did not start

    def _config(self, app: Asgi) -> uvicorn.Config:
        return uvicorn.Config(
            app,  # type: ignore[arg-type]
            loop="none",
            http="h11",  # not whatever is installed: this one bounds a request's head
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=math.ceil(self._drain_s),
            h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
        )


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._has_started = asyncio.Event()

    async def until_started(self, running: "asyncio.Task[None]") -> None:
        """Wait until requests are served, or until `running` ended without."""
        started = asyncio.create_task(self._has_started.wait())
        await asyncio.wait({running, started}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if running.done():
            running.result()

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Start, and say so."""
        try:
            await super().startup(sockets)
        except SystemExit:  # uvicorn would take the process along
            raise RuntimeError("the application did not start; the log says why") from None
        self._has_started.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: the lifecycle has them."""
        yield


def _bound(listen: str) -> socket.socket:
    host, port = split_address(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    bound.setblocking(False)
    return bound
