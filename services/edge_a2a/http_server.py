"""uvicorn inside our own lifecycle: it binds nothing and catches no signals."""

import asyncio
import contextlib
import math
import socket
from collections.abc import Iterator
from typing import Any, Final

import uvicorn

from services.common.lifecycle import split_address

_KEEP_ALIVE_S: Final = 75
"""Longer than the usual 60 s of a load balancer, so that it is never us who closes under its hand."""


class HttpServer:
    """Serves one ASGI application on one address."""

    def __init__(self, listen: str, drain_s: float) -> None:
        """Bind, so that the port is known before anything is served. Raises OSError."""
        self._socket = _bound(listen)
        self._drain_s = drain_s
        self.host, self.port = self._socket.getsockname()[:2]

    async def serve_until(self, app: Any, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then let requests in flight finish within the drain time."""
        server = _Server(
            uvicorn.Config(
                app,
                http="h11",  # not whatever is installed: this one bounds a request's head
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=math.ceil(self._drain_s),
            )
        )
        serving = asyncio.create_task(server.serve(sockets=[self._socket]))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process's own lifecycle."""
        yield


def _bound(listen: str) -> socket.socket:
    host, port = split_address(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    bound.listen(1024)
    bound.setblocking(False)
    return bound
