"""The REST API as a program uses it."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from services.cli.failure import Failure

Json = Mapping[str, Any]
_TIMEOUT: Final = aiohttp.ClientTimeout(total=60)
_PAGE_SIZE: Final = 200


@dataclass(frozen=True, slots=True)
class Rest:
    """A client with one API key."""

    url: str
    session: aiohttp.ClientSession

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str, api_key: str) -> AsyncIterator["Rest"]:
        """Connect."""
        async with aiohttp.ClientSession(headers={"X-API-Key": api_key}, timeout=_TIMEOUT) as session:
            yield cls(url, session)

    async def get(self, path: str, **query: Any) -> Json:
        """Read. Raises Failure with the problem that the edge tells."""
        async with self.session.get(f"{self.url}{path}", params=query) as answer:
            return await _read(answer)

    async def post(self, path: str, body: Json, headers: Mapping[str, str] | None = None) -> Json:
        """Ask for something. Raises Failure with the problem that the edge tells."""
        async with self.session.post(f"{self.url}{path}", json=body, headers=headers) as answer:
            return await _read(answer)

    async def delete(self, path: str) -> Json:
        """End something. Raises Failure with the problem that the edge tells."""
        async with self.session.delete(f"{self.url}{path}") as answer:
            return await _read(answer)

    async def follow(self, operation: Json) -> AsyncIterator[Json]:
        """Follow an operation by its server-sent events, to its final state."""
        async with self.session.get(f"{self.url}/v1/operations/{operation['id']}/events") as events:
            if not events.ok:
                await _read(events)
            async for line in events.content:
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))

    async def subscriptions(self) -> Sequence[Json]:
        """All subscriptions of the one mailbox, those with most messages first."""
        found: list[Json] = []
        token = ""
        while True:
            query = {"page_size": _PAGE_SIZE} | ({"page_token": token} if token else {})
            page = await self.get("/v1/mailboxes/me/subscriptions", **query)
            found += page["subscriptions"]
            token = page["next_page_token"]
            if not token:
                return found


async def _read(answer: aiohttp.ClientResponse) -> Json:
    content = await answer.json(content_type=None)
    if not answer.ok:
        raise Failure(f"{answer.method} {answer.url.path}: {content.get('detail')} ({content.get('reason')})")
    return content
