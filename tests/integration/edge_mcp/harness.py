"""An MCP edge on a real socket and the ways into it: the SDK's client in both eras, and raw HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult

from tests.fakes.grpc_backends import API_KEY, Backends

ERAS = ("auto", "legacy")
MODERN = "2026-07-28"
HANDSHAKE = "2025-11-25"
WINDOW = {"start": "2026-03-10T09:00:00+01:00", "end": "2026-03-10T18:00:00+01:00"}
TOOL_NAMES = [
    "check_availability",
    "available_meeting_intervals",
    "scan_mailbox",
    "list_unsubscribe_candidates",
    "execute_unsubscribe",
]


@dataclass(frozen=True, slots=True)
class Edge:
    """A serving edge."""

    url: str
    backends: Backends

    @property
    def base_url(self) -> str:
        return self.url.removesuffix("/mcp")

    @asynccontextmanager
    async def client(
        self, era: str = "auto", *, key: str = API_KEY, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Client]:
        """The SDK's own client, in the modern era (`auto`) or the handshake era (`legacy`)."""
        sent = {"X-API-Key": key, **(headers or {})}
        async with (
            httpx2.AsyncClient(headers=sent, timeout=5) as http,
            Client(streamable_http_client(self.url, http_client=http), mode=era) as client,  # type: ignore[arg-type]
        ):
            yield client

    @asynccontextmanager
    async def post(
        self, body: Any, headers: Mapping[str, str | None] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One raw POST. `body` is sent as it is when it is bytes; a header of None is left out."""
        usual: dict[str, str | None] = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "X-API-Key": API_KEY,
        }
        sent = {name: value for name, value in {**usual, **(headers or {})}.items() if value is not None}
        payload = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.url, headers=sent, skip_auto_headers=["Content-Type"], **payload) as response,
        ):
            yield response


class Gate(asyncio.Event):
    """Holds operations back, and tells when the edge watches and when it has stopped watching."""

    def __init__(self) -> None:
        super().__init__()
        self.is_watched = asyncio.Event()
        self.is_left = asyncio.Event()

    async def wait(self) -> Any:
        self.is_watched.set()
        try:
            return await super().wait()
        finally:
            self.is_left.set()


StartEdge = Callable[..., AbstractAsyncContextManager[Edge]]


def request(method: str, params: dict[str, Any] | None = None, era: str = "legacy") -> dict[str, Any]:
    """A JSON-RPC request as a client of an era writes it. Modern ones also need `modern_headers`."""
    params = dict(params or {})
    if era != "legacy":
        params["_meta"] = {
            **params.get("_meta", {}),
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        }
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def headers_of(body: dict[str, Any], era: str) -> dict[str, str]:
    """The routing headers that go with a request of an era."""
    if era == "legacy":
        return {"MCP-Protocol-Version": HANDSHAKE}
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": body["method"]}
    return headers | ({"Mcp-Name": body["params"]["name"]} if "name" in body["params"] else {})


def text_of(result: CallToolResult) -> str:
    """The text of a result's one block."""
    (block,) = result.content
    assert block.type == "text"
    return block.text


def error_of(result: CallToolResult) -> dict[str, Any]:
    """The structured content of a result that has to be an error."""
    assert result.is_error, result
    assert isinstance(result.structured_content, dict)
    return result.structured_content
