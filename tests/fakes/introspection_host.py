"""An issuer's introspection endpoint, which answers well or badly (RFC 7662)."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(slots=True)
class IntrospectionHost:
    """Answers about the tokens that the test put into `known`, and keeps what it was asked.

    `raw` is sent in place of an answer; `may_answer` holds answers back while cleared.
    """

    known: dict[str, dict[str, Any]] = field(default_factory=dict)
    raw: bytes | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    asked: list[str] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        form = await request.post()
        token = str(form.get("token", ""))
        self.asked.append(token)
        self.authorizations.append(request.headers.get("Authorization"))
        self.was_asked.set()
        await self.may_answer.wait()
        body = json.dumps(self.known.get(token, {"active": False})).encode() if self.raw is None else self.raw
        return web.Response(
            body=body, status=self.status, headers=self.headers, content_type=self.content_type
        )


@contextlib.asynccontextmanager
async def serving_introspection(port: int = 0) -> AsyncIterator[IntrospectionHost]:
    """Serve on loopback while the block runs."""
    host = IntrospectionHost()
    host.may_answer.set()
    app = web.Application()
    app.router.add_post("/introspect", host.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        host.url = f"http://127.0.0.1:{runner.addresses[0][1]}/introspect"
        yield host
    finally:
        host.may_answer.set()
        await runner.cleanup()
