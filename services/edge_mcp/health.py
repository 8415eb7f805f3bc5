"""`GET /health`: the loop turns. `GET /ready`: what we need answers, and we are not about to stop."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse

PATHS: Final = ("/health", "/ready")


class Peer(Protocol):
    """A backend that can say whether it serves."""

    async def is_serving(self, timeout_s: float = ...) -> bool:
        """Ask it."""
        ...


@dataclass(frozen=True, slots=True)
class Health:
    """The two probes, open to everyone and free of details."""

    peers: Mapping[str, Peer]
    stopping: asyncio.Event

    async def health(self, _: Request) -> JSONResponse:
        """Answer as long as the process can."""
        return JSONResponse({"status": "ok"})

    async def ready(self, _: Request) -> JSONResponse:
        """Answer 200 when every backend serves, 503 otherwise or while draining."""
        answers = await asyncio.gather(*(peer.is_serving() for peer in self.peers.values()))
        is_ready = all(answers) and not self.stopping.is_set()
        return JSONResponse(
            {"status": "ready" if is_ready else "not_ready", **dict(zip(self.peers, answers, strict=True))},
            status_code=200 if is_ready else 503,
        )
