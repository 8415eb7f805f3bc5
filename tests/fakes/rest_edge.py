"""The REST edge in this process, on a real socket, in front of the fake backends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from services.edge_rest.settings import RestSettings
from services.edge_rest.wiring import serving
from tests.fakes.grpc_backends import API_KEY, Backends, running_backends


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read to its end."""

    status: int
    headers: Any
    body: Any


@dataclass(frozen=True, slots=True)
class RestEdge:
    """A client of the edge, and what stands behind it. `address` is `host:port`."""

    address: str
    session: aiohttp.ClientSession
    backends: Backends

    def url(self, path: str) -> str:
        return f"http://{self.address}{path}"

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request, with a good key unless `headers` says otherwise, and read the answer."""
        headers = options.pop("headers", {"X-API-Key": API_KEY})
        async with self.session.request(method, self.url(path), headers=headers, **options) as response:
            is_json = response.content_type.endswith(("/json", "+json"))
            body = await response.json(content_type=None) if is_json else await response.text()
            return Answer(response.status, response.headers, body)

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Answer:
        return await self.ask("POST", path, **options)


@asynccontextmanager
async def running_rest_edge(folder: Path, **settings: Any) -> AsyncIterator[RestEdge]:
    """Run the edge and its fake backends inside the block. `folder` keeps the certificates."""
    async with running_backends(folder) as backends:
        environment = {name.lower(): value for name, value in backends.environment("edge_rest").items()}
        made = RestSettings(**{"request_timeout_s": 5, "drain_s": 1, **environment, **settings})
        # The client outlives the edge, so that a test sees how the edge takes its leave.
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
            serving(made) as address,
        ):
            yield RestEdge(address, session, backends)
