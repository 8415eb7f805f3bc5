"""One user's story told to three edges by the clients that their users have. Imports nothing of ours."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import httpx
import httpx2
from a2a.client import ClientConfig, ClientFactory
from a2a.types import Message, Part, Role, SendMessageRequest
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Value
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.system import RunningSystem

Facts = dict[str, Any]


class Story(Protocol):
    """What a user can do, whatever the protocol."""

    async def scan(self) -> Facts: ...
    async def candidates(self) -> list[Facts]: ...
    async def unsubscribe(self, ids: list[str], request_id: str) -> list[Facts]: ...
    async def availability(self, start: str, end: str) -> Facts: ...
    async def intervals(self, start: str, end: str, **wishes: Any) -> list[Facts]: ...


@dataclass
class RestStory:
    """By HTTP, following operations by server-sent events."""

    session: aiohttp.ClientSession
    url: str

    async def scan(self) -> Facts:
        return (await self._operation("/v1/mailboxes/me/scans", {}))["scan"]

    async def candidates(self) -> list[Facts]:
        async with self.session.get(f"{self.url}/v1/mailboxes/me/subscriptions?page_size=100") as answer:
            return (await answer.json())["subscriptions"]

    async def unsubscribe(self, ids: list[str], request_id: str) -> list[Facts]:
        body = {"subscription_ids": ids}
        done = await self._operation("/v1/mailboxes/me/unsubscribes", body, request_id)
        return done["unsubscribe"]["outcomes"]

    async def availability(self, start: str, end: str) -> Facts:
        return await self._post("/v1/availability", {"start": start, "end": end})

    async def intervals(self, start: str, end: str, **wishes: Any) -> list[Facts]:
        return (await self._post("/v1/meeting-intervals", {"start": start, "end": end, **wishes}))[
            "intervals"
        ]

    async def _operation(self, path: str, body: Facts, request_id: str = "") -> Facts:
        headers = {"Idempotency-Key": request_id} if request_id else {}
        async with self.session.post(self.url + path, json=body, headers=headers) as answer:
            assert answer.status == 202, await answer.text()
            location = answer.headers["Location"]
        last: Facts = {}
        async with self.session.get(f"{self.url}{location}/events") as events:
            async for line in events.content:
                if line.startswith(b"data:"):
                    last = json.loads(line[5:])
        assert last["state"] == "succeeded", last
        return last

    async def _post(self, path: str, body: Facts) -> Facts:
        async with self.session.post(self.url + path, json=body) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()


@dataclass
class McpStory:
    """By MCP tools."""

    client: Client

    async def scan(self) -> Facts:
        return (await self._call("scan_mailbox"))["scan"]

    async def candidates(self) -> list[Facts]:
        return (await self._call("list_unsubscribe_candidates", page_size=100))["subscriptions"]

    async def unsubscribe(self, ids: list[str], request_id: str) -> list[Facts]:
        done = await self._call("execute_unsubscribe", subscription_ids=ids, request_id=request_id)
        return done["unsubscribe"]["outcomes"]

    async def availability(self, start: str, end: str) -> Facts:
        return await self._call("check_availability", start=start, end=end)

    async def intervals(self, start: str, end: str, **wishes: Any) -> list[Facts]:
        return (await self._call("available_meeting_intervals", start=start, end=end, **wishes))["intervals"]

    async def _call(self, tool: str, **arguments: Any) -> Facts:
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error, result.content
        assert result.structured_content is not None
        return result.structured_content


@dataclass
class A2aStory:
    """By A2A messages that stream tasks."""

    client: Any

    async def scan(self) -> Facts:
        return await self._send("scan_mailbox")

    async def candidates(self) -> list[Facts]:
        return (await self._send("list_unsubscribe_candidates", page_size=100))["subscriptions"]

    async def unsubscribe(self, ids: list[str], request_id: str) -> list[Facts]:
        return (await self._send("execute_unsubscribe", subscription_ids=ids))["outcomes"]

    async def availability(self, start: str, end: str) -> Facts:
        return await self._send("check_availability", start=start, end=end)

    async def intervals(self, start: str, end: str, **wishes: Any) -> list[Facts]:
        return (await self._send("available_meeting_intervals", start=start, end=end, **wishes))["intervals"]

    async def _send(self, action: str, **values: Any) -> Facts:
        part = Part(data=ParseDict({"action": action, **values}, Value()))
        message = Message(message_id=str(uuid.uuid4()), role=Role.ROLE_USER, parts=[part])
        found: Facts | None = None
        async for event in self.client.send_message(SendMessageRequest(message=message)):
            for artifact in _artifacts(event):
                for each in artifact.parts:
                    if each.HasField("data"):
                        found = _plain(MessageToDict(each.data))
        assert found is not None, f"{action} gave no artifact"
        return found


def _artifacts(event: Any) -> list[Any]:
    if event.HasField("artifact_update"):
        return [event.artifact_update.artifact]
    return list(event.task.artifacts) if event.HasField("task") else []


def _plain(value: Any) -> Any:
    """Numbers of a protobuf Value are floats; whole ones are counts."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@asynccontextmanager
async def telling(edge: str, system: RunningSystem) -> AsyncIterator[Story]:
    """Open a client of one edge."""
    headers = {"X-API-Key": system.api_key}
    async with asyncio.timeout(90):
        if edge == "rest":
            async with aiohttp.ClientSession(headers=headers) as session:
                yield RestStory(session, system.rest)
        elif edge == "mcp":
            async with (
                httpx2.AsyncClient(headers=headers, timeout=60) as http,
                Client(streamable_http_client(system.mcp, http_client=http)) as client,
            ):
                yield McpStory(client)
        else:
            async with httpx.AsyncClient(headers=headers, timeout=60) as http:
                config = ClientConfig(httpx_client=http, streaming=True)
                yield A2aStory(await ClientFactory(config).create_from_url(system.a2a))
