"""uvicorn as a part of our process: our socket, our signals, our drain."""

import asyncio
import contextlib
import math
import socket
from collections.abc import Iterator
from typing import Any, Final

import uvicorn

from services.common.asgi_edge import Asgi
from services.common.lifecycle import split_address

_KEEP_ALIVE_S: Final = 75
"""Longer than the usual 60 s of a load balancer, so that it is never us who closes under its hand."""
_MAX_HEAD_BYTES: Final = 64 * 1024


class HttpServer(uvicorn.Server):
    """Serves an ASGI application on a bound socket until `stop`."""

    def __init__(self, app: Asgi, listen: str, *, drain_s: float) -> None:
        config = uvicorn.Config(
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
            timeout_graceful_shutdown=math.ceil(drain_s),
            h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
        )
        super().__init__(config)
        self._socket = _bind(listen)
        self._has_started = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """Where we listen, as `host:port`."""
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def start(self) -> None:
        """Serve from now on. Raises what start-up failed with."""
        self._serving = asyncio.create_task(self.serve(sockets=[self._socket]))
        started = asyncio.create_task(self._has_started.wait())
        await asyncio.wait({self._serving, started}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if self._serving.done():
            self._serving.result()

    async def stop(self) -> None:
        """Stop accepting, let what is in flight finish within `drain_s`, close."""
        self.should_exit = True
        if self._serving is not None:
            await self._serving

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self._has_started.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: the lifecycle has them."""
        yield


def _bind(listen: str) -> socket.socket:
    host, port = split_address(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.create_server((host, port), family=family, backlog=2_048)
    bound.setblocking(False)
    return bound
