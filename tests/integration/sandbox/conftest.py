"""A sandbox inside the test's own loop, and small clients for it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import aiohttp
import pytest

from services.sandbox.settings import Settings
from services.sandbox.wiring import Sandbox, start

NOW = datetime(2026, 9, 16, 10, 0, tzinfo=UTC)  # a Wednesday
GMAIL = "/gmail/v1/users/me"


@dataclass(frozen=True, slots=True)
class Desk:
    """A sandbox, and an HTTP session that may call its Google."""

    sandbox: Sandbox
    session: aiohttp.ClientSession
    access_token: str

    @property
    def world(self):
        return self.sandbox.world

    async def call(self, verb: str, path: str, **options: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.access_token}", **options.pop("headers", {})}
        url = self.sandbox.google_url + path
        async with self.session.request(verb, url, headers=headers, **options) as answer:
            return answer.status, await answer.json() if answer.content_type == "application/json" else None

    async def gmail(self, verb: str, path: str, **options: Any) -> tuple[int, Any]:
        return await self.call(verb, GMAIL + path, **options)

    async def control(self, path: str, body: Any = None) -> Any:
        verb = "GET" if body is None else "POST"
        status, answer = await self.call(verb, f"/sandbox/{path}", json=body)
        assert status == 200, answer
        return answer

    async def listed(self, query: str = "", **params: str) -> list[str]:
        status, answer = await self.gmail(
            "GET", "/messages", params={"q": query, "maxResults": "500", **params}
        )
        assert status == 200, answer
        return [message["id"] for message in answer.get("messages", [])]

    async def headers_of(self, message_id: str) -> dict[str, str]:
        """Header fields of a message by lower-case name; the topmost wins."""
        _, message = await self.gmail("GET", f"/messages/{message_id}", params={"format": "metadata"})
        fields = reversed(message["payload"].get("headers", []))
        return {field["name"].lower(): field["value"] for field in fields}

    async def is_ended(self, name: str) -> bool:
        lists = (await self.control("summary"))["lists"]
        return next(item["ended"] for item in lists if item["name"] == name)


async def open_desk(stack: AsyncExitStack, **settings: Any) -> Desk:
    sandbox = await start(Settings(**{"sandbox_now": NOW, **settings}), stack)
    timeout = aiohttp.ClientTimeout(total=5)
    session = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
    return Desk(sandbox, session, sandbox.world.grants.issue())


@pytest.fixture
async def make_desk() -> AsyncIterator[Callable[..., Awaitable[Desk]]]:
    async with AsyncExitStack() as stack:
        yield partial(open_desk, stack)


@pytest.fixture
async def desk(make_desk: Callable[..., Awaitable[Desk]]) -> Desk:
    return await make_desk()
