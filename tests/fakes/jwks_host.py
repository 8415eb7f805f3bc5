"""An issuer's web server that publishes keys, well or badly."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(slots=True)
class JwksHost:
    """Answers with what the test puts here, and counts. `may_answer` holds answers back while cleared."""

    document: Any = field(default_factory=lambda: {"keys": []})
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    requests: int = 0
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    def publish(self, *jwks: dict[str, Any]) -> None:
        self.document = {"keys": list(jwks)}

    async def answer(self, request: web.Request) -> web.Response:
        del request
        self.requests += 1
        self.was_asked.set()
        await self.may_answer.wait()
        body = json.dumps(self.document).encode() if self.raw is None else self.raw
        return web.Response(
            body=body, status=self.status, headers=self.headers, content_type="application/jwk-set+json"
        )


@contextlib.asynccontextmanager
async def serving_jwks() -> AsyncIterator[JwksHost]:
    """Serve on loopback while the block runs."""
    host = JwksHost()
    host.may_answer.set()
    app = web.Application()
    app.router.add_get("/jwks.json", host.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host.url = f"http://127.0.0.1:{runner.addresses[0][1]}/jwks.json"
        yield host
    finally:
        host.may_answer.set()
        await runner.cleanup()
