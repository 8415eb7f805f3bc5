"""The A2A edge in this process, on real sockets, in front of the fake backends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from services.edge_a2a.settings import A2aSettings
from services.edge_a2a.wiring import serve
from tests.fakes.grpc_backends import API_KEY, Backends, running_backends

CARD_PATH = "/.well-known/agent-card.json"
RPC_PATH = "/a2a/rpc"
VERSION = {"A2A-Version": "1.0"}
KEY = {"X-API-Key": API_KEY}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read to its end."""

    status: int
    headers: Any
    body: Any


@dataclass(frozen=True, slots=True)
class A2aEdge:
    """A raw client of the edge, and what stands behind it. `stop` starts its drain."""

    url: str
    grpc_address: str
    session: aiohttp.ClientSession
    backends: Backends
    stop: asyncio.Event
    serving: asyncio.Task[None]

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request with a good key and the version, unless `headers` says otherwise."""
        headers = options.pop("headers", KEY | VERSION)
        async with self.session.request(method, self.url + path, headers=headers, **options) as response:
            is_json = response.content_type.endswith("json")
            body = await response.json(content_type=None) if is_json else await response.text()
            return Answer(response.status, response.headers, body)

    async def rpc(self, method: str, params: Any = None, **options: Any) -> dict[str, Any]:
        """Call a JSON-RPC method and give the response object."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
        answer = await self.ask("POST", RPC_PATH, json=request, **options)
        assert answer.status == 200, answer
        return answer.body

    async def send(self, data: Any, *, message_id: str = "m-1", **options: Any) -> dict[str, Any]:
        """Send one message with one data part and give the response object."""
        message = message_of(data, message_id, **options.pop("message", {}))
        params = {"message": message, **options.pop("params", {})}
        return await self.rpc(options.pop("method", "SendMessage"), params, **options)

    async def task(self, data: Any, **options: Any) -> dict[str, Any]:
        """Send one message and give the task that came of it."""
        response = await self.send(data, **options)
        assert "error" not in response, response
        return response["result"]["task"]


def message_of(data: Any, message_id: str = "m-1", **more: Any) -> dict[str, Any]:
    """A message with one data part, or with one text part for a text."""
    part = {"text": data} if isinstance(data, str) else {"data": data, "mediaType": "application/json"}
    return {"messageId": message_id, "role": "ROLE_USER", "parts": [part], **more}


@asynccontextmanager
async def running_a2a_edge(folder: Path, **settings: Any) -> AsyncIterator[A2aEdge]:
    """Run the edge and its fake backends inside the block. `folder` keeps the certificates."""
    async with running_backends(folder) as backends, serving_edge(backends, **settings) as edge:
        yield edge


@asynccontextmanager
async def serving_edge(backends: Backends, **settings: Any) -> AsyncIterator[A2aEdge]:
    """Run one more edge before the same backends."""
    environment = {name.lower(): value for name, value in backends.environment("edge_a2a").items()}
    made = A2aSettings(**{"request_timeout_s": 5, "drain_s": 1, **environment, **settings})
    stop = asyncio.Event()
    addresses: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(made, stop, addresses.set_result))
    try:
        await asyncio.wait({addresses, serving}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
        found = addresses.result()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            yield A2aEdge(found["a2a"], found["a2a_grpc"], session, backends, stop, serving)
    finally:
        stop.set()
        async with asyncio.timeout(10):
            await serving
