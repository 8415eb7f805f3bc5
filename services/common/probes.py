"""`GET /health`: the loop turns. `GET /ready`: what we need answers, and we are not about to stop."""

import asyncio
from dataclasses import dataclass
from typing import Final

from services.common.asgi_edge import Asgi, Receive, Scope, Send
from services.common.backends import Probed, require_serving
from services.common.errors import unavailable
from services.common.problem import method_not_allowed

HEALTH_PATH: Final = "/health"
READY_PATH: Final = "/ready"
PROBE_PATHS: Final = (HEALTH_PATH, READY_PATH)
_METHODS: Final = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Probes:
    """Wraps an ASGI application: answers the two probes itself, free of details, and passes all else on.

    Belongs inside `EdgeMiddleware`, which renders the errors, with `PROBE_PATHS` open.
    """

    app: Asgi
    backends: Probed
    stopping: asyncio.Event

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Raises AppError UNAVAILABLE NOT_READY, HttpError METHOD_NOT_ALLOWED."""
        if scope["type"] != "http" or scope["path"] not in PROBE_PATHS:
            await self.app(scope, receive, send)
            return
        if scope["method"] not in _METHODS:
            raise method_not_allowed("GET")
        if scope["path"] == READY_PATH:
            await self._require_ready()
        await _send(b'{"status":"ready"}' if scope["path"] == READY_PATH else b'{"status":"ok"}', send)

    async def _require_ready(self) -> None:
        if self.stopping.is_set():
            raise unavailable("NOT_READY", "This server is shutting down.")
        await require_serving(self.backends)


async def _send(body: bytes, send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
