"""The same five actions through MCP and through A2A, by the clients that the two protocols' makers ship."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import uuid4

import httpx
import httpx2
from a2a.client import ClientConfig, ClientFactory
from a2a.client.client import Client as A2aClient
from a2a.types import a2a_pb2
from google.protobuf.json_format import MessageToDict, ParseDict
from mcp.client import Client as McpClient
from mcp.client.streamable_http import streamable_http_client

from services.cli.demo.rest import Json
from services.cli.failure import Failure

_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """What an action answered, and how many signs of progress came before."""

    content: Json
    progress_count: int


class Agent(Protocol):
    """One protocol's client."""

    @property
    def greeting(self) -> str:
        """What the server says that it is and does."""
        ...

    async def act(self, action: str, arguments: Mapping[str, Any]) -> Answer:
        """Do one action. Raises Failure when the server answers with an error."""
        ...


@dataclass(frozen=True, slots=True)
class McpAgent:
    """The client of the MCP SDK."""

    client: McpClient
    greeting: str

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str, api_key: str) -> AsyncIterator["McpAgent"]:
        """Connect and read the list of tools."""
        headers = {"X-API-Key": api_key}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=_TIMEOUT_S) as http,
            McpClient(streamable_http_client(url, http_client=http)) as client,
        ):
            tools = (await client.list_tools()).tools
            yield cls(client, f"{len(tools)} tools: {', '.join(tool.name for tool in tools)}")

    async def act(self, action: str, arguments: Mapping[str, Any]) -> Answer:
        """Call a tool."""
        heard: list[float] = []

        async def progressed(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001
            heard.append(progress)

        result = await self.client.call_tool(action, dict(arguments), progress_callback=progressed)
        if result.is_error:
            raise Failure(f"MCP {action}: {result.content[0].text if result.content else 'no answer'}")  # type: ignore[union-attr]
        return Answer(result.structured_content or {}, len(heard))


@dataclass(frozen=True, slots=True)
class A2aAgent:
    """The client of the A2A SDK, made from the agent's card."""

    client: A2aClient
    greeting: str

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str, api_key: str) -> AsyncIterator["A2aAgent"]:
        """Read the card and connect."""
        async with httpx.AsyncClient(headers={"X-API-Key": api_key}, timeout=_TIMEOUT_S) as http:
            card = (await http.get(f"{url}/.well-known/agent-card.json")).raise_for_status().json()
            skills = ", ".join(skill["id"] for skill in card["skills"])
            client = await ClientFactory(ClientConfig(httpx_client=http)).create_from_url(url)
            async with client:
                yield cls(client, f"{len(card['skills'])} skills: {skills}")

    async def act(self, action: str, arguments: Mapping[str, Any]) -> Answer:
        """Send a message and follow the task that comes of it, as a stream."""
        data = {"action": action, **arguments}
        message = {"messageId": str(uuid4()), "role": "ROLE_USER", "parts": [{"data": data}]}
        request = ParseDict({"message": message}, a2a_pb2.SendMessageRequest())
        events = [event async for event in self.client.send_message(request)]
        updates = [event.status_update for event in events if event.HasField("status_update")]
        if not updates or updates[-1].status.state != a2a_pb2.TASK_STATE_COMPLETED:
            raise Failure(f"A2A {action}: the task did not complete")
        return Answer(_artifact(events), len(updates) - 1)


def _artifact(events: list[a2a_pb2.StreamResponse]) -> Json:
    for event in reversed(events):
        for part in event.artifact_update.artifact.parts:
            if part.HasField("data"):
                return MessageToDict(part.data)
    return {}
