"""OAuth from outside: clients that know an address alone find their way in, and get more as they need it."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import httpx
import httpx2
import pytest
from a2a.client import ClientConfig, ClientFactory
from a2a.client.auth.credentials import CredentialService
from a2a.client.auth.interceptor import AuthInterceptor
from a2a.client.client import ClientCallContext
from a2a.types import a2a_pb2, a2a_pb2_grpc
from google.protobuf.json_format import ParseDict
from grpc import aio
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.e2e.browser import Memory, browsing, oauth_client
from tests.e2e.stories import A2aStory
from tests.fakes.introspection_host import IntrospectionHost, serving_introspection
from tests.system import RunningSystem, running_system

METADATA = "/.well-known/oauth-protected-resource"
READING = {"availability:read", "available_meeting_intervals:read", "unsubscribe:read"}
TOOLS_LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
SCAN = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "scan_mailbox", "arguments": {}},
}
EDGES = ("rest", "mcp", "a2a")


def window() -> dict[str, str]:
    start = (datetime.now(UTC) + timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
    return {"start": start.isoformat(), "end": (start + timedelta(hours=1)).isoformat()}


def parameter(challenge: str, name: str) -> str:
    """One parameter of a challenge; empty when it is not there."""
    found = re.search(rf'(?:^Bearer |, ){name}="([^"]*)"', challenge)
    return found[1] if found else ""


def resource_of(system: RunningSystem, edge: str) -> str:
    """An edge's canonical address."""
    return getattr(system, edge)


async def knock(
    session: aiohttp.ClientSession, system: RunningSystem, edge: str, token: str = ""
) -> tuple[int, str, Any]:
    """Ask an edge for something that any credential may have; status, challenge and body."""
    headers = {"Accept": "application/json, text/event-stream", "A2A-Version": "1.0"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if edge == "rest":
        asked = session.get(f"{system.rest}/v1/me", headers=headers)
    elif edge == "mcp":
        asked = session.post(system.mcp, json=TOOLS_LIST, headers=headers)
    else:
        body = {"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {}}
        asked = session.post(f"{system.a2a}/a2a/rpc", json=body, headers=headers)
    async with asked as answer:
        is_json = answer.content_type.endswith("json")
        body = await answer.json(content_type=None) if is_json else await answer.text()
        return answer.status, answer.headers.get("WWW-Authenticate", ""), body


async def key_id(session: aiohttp.ClientSession, system: RunningSystem) -> str:
    async with session.get(f"{system.rest}/v1/me", headers={"X-API-Key": system.api_key}) as answer:
        return (await answer.json())["caller"]["key_id"]


async def token_for_key(session: aiohttp.ClientSession, system: RunningSystem, **form: str) -> str:
    """A token by client_credentials."""
    basic = {"Authorization": aiohttp.encode_basic_auth(await key_id(session, system), system.api_key)}
    asked = {"grant_type": "client_credentials", **form}
    async with session.post(f"{system.oauth}/oauth/token", data=asked, headers=basic) as answer:
        assert answer.status == 200, await answer.text()
        return (await answer.json())["access_token"]


@pytest.mark.promise("rights.discovery")
@pytest.mark.parametrize("edge", EDGES)
async def test_a_refusal_leads_to_the_authorization_server(edge: str, system: RunningSystem) -> None:
    """401, metadata of the resource, metadata of the server: each names the next, by the same text."""
    async with aiohttp.ClientSession() as session:
        status, challenge, _ = await knock(session, system, edge)
        assert status == 401
        async with session.get(parameter(challenge, "resource_metadata")) as answer:
            resource = await answer.json()
        assert resource["resource"] == resource_of(system, edge)
        (issuer,) = resource["authorization_servers"]
        async with session.get(f"{issuer}/.well-known/oauth-authorization-server") as answer:
            server = await answer.json()
        assert server["issuer"] == issuer == system.oauth
        assert set(resource["scopes_supported"]) <= set(server["scopes_supported"])
        assert server["code_challenge_methods_supported"] == ["S256"]


@pytest.mark.promise("rights.discovery", "rights.step-up")
@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_an_mcp_client_finds_its_way_in_and_steps_up(era: Any, system: RunningSystem) -> None:
    """The SDK's own client: discovery, registration, consent with an admin key, tools; then for more."""
    storage = Memory()
    async with asyncio.timeout(60), browsing(system.api_key) as person:
        auth = oauth_client(system.mcp, person, storage)
        async with (
            httpx2.AsyncClient(auth=auth, timeout=30) as http,
            Client(streamable_http_client(system.mcp, http_client=http), mode=era) as client,
        ):
            tools = {tool.name for tool in (await client.list_tools()).tools}
            assert {"check_availability", "scan_mailbox", "execute_unsubscribe"} <= tools
            assert person.asked == [READING]
            free = await client.call_tool("check_availability", window())
            assert not free.is_error, free
            assert len(person.asked) == 1
            scanned = await client.call_tool("scan_mailbox", {"dry_run": True, "max_messages": 5})
            assert not scanned.is_error, scanned
    assert person.asked == [READING, READING | {"mail:scan"}]
    assert storage.granted == READING | {"mail:scan"}
    assert storage.tokens is not None
    assert storage.tokens.access_token.startswith("mat_")


@pytest.mark.promise("rights.audience", "rights.purpose")
async def test_a_token_for_one_edge_is_refused_at_the_others(system: RunningSystem) -> None:
    """RFC 8707: what one edge is shown, it cannot use at another."""
    async with aiohttp.ClientSession() as session:
        for meant in EDGES:
            token = await token_for_key(session, system, resource=resource_of(system, meant))
            for edge in EDGES:
                status, challenge, body = await knock(session, system, edge, token)
                if edge == meant:
                    assert status == 200, (edge, body)
                    continue
                assert (status, body["reason"]) == (401, "TOKEN_AUDIENCE_REFUSED"), edge
                assert parameter(challenge, "error") == "invalid_token"
                assert parameter(challenge, "resource_metadata").startswith("http")
            code = await _by_grpc(system, token)
            assert code is (grpc.StatusCode.OK if meant == "a2a" else grpc.StatusCode.UNAUTHENTICATED)


async def _by_grpc(system: RunningSystem, token: str) -> grpc.StatusCode:
    metadata = (("authorization", f"Bearer {token}"), ("a2a-version", "1.0"))
    async with aio.insecure_channel(system.a2a_grpc) as channel:
        try:
            await a2a_pb2_grpc.A2AServiceStub(channel).ListTasks(
                a2a_pb2.ListTasksRequest(), metadata=metadata
            )
        except aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK


class _FromTheCard(CredentialService):
    """Gets a token where the card says, for the flow that needs no person."""

    def __init__(self, card: a2a_pb2.AgentCard, client_id: str, secret: str) -> None:
        self._card, self._client = card, (client_id, secret)
        self.token = ""

    async def get_credentials(
        self, security_scheme_name: str, context: ClientCallContext | None
    ) -> str | None:
        del context
        scheme = self._card.security_schemes[security_scheme_name].oauth2_security_scheme
        if not scheme.flows.HasField("client_credentials"):
            return None
        if not self.token:
            flow = scheme.flows.client_credentials
            form = {"grant_type": "client_credentials", "scope": " ".join(flow.scopes)}
            named = re.search(r"resource=(\S+)\.$", scheme.description)
            assert named, scheme.description
            form["resource"] = named[1]
            async with httpx.AsyncClient() as http:
                answer = await http.post(flow.token_url, data=form, auth=self._client)
            self.token = answer.json()["access_token"]
        return self.token


async def test_an_a2a_client_gets_its_token_where_the_card_says(system: RunningSystem) -> None:
    """The SDK's client with a token for an API key; the key itself never reaches the agent."""
    async with aiohttp.ClientSession() as session:
        client_id = await key_id(session, system)
    async with asyncio.timeout(60), httpx.AsyncClient(timeout=30) as http:
        answer = await http.get(f"{system.a2a}/.well-known/agent-card.json")
        card = ParseDict(answer.json(), a2a_pb2.AgentCard())
        credentials = _FromTheCard(card, client_id, system.api_key)
        factory = ClientFactory(ClientConfig(httpx_client=http, streaming=True))
        client = factory.create(card, interceptors=[AuthInterceptor(credentials)])
        free = await A2aStory(client).availability(**window())
    assert "available" in free
    assert credentials.token.startswith("mat_")


# --- another issuer, for the MCP edge alone


ISSUER = "http://127.0.0.1/realm"


@asynccontextmanager
async def another_issuer(folder: Path) -> AsyncIterator[tuple[RunningSystem, IntrospectionHost]]:
    """A system whose MCP edge takes OAuth tokens alone, and the issuer that it asks about them."""
    async with serving_introspection() as host:
        settings = {
            "MCP_AUTH_MODE": "oauth",
            "MCP_OAUTH_INTROSPECTION_URL": host.url,
            "MCP_OAUTH_ISSUER": ISSUER,
            "MCP_OAUTH_CLIENT_ID": "mailwarden",
            "MCP_OAUTH_CLIENT_SECRET": "a-secret-between-the-two",
            "MCP_OAUTH_TIMEOUT_SECONDS": "1",
            "MCP_ENABLE_MUTATION_TOOLS": "true",
        }
        starting = running_system(folder, **settings)
        system = await asyncio.to_thread(starting.__enter__)
        try:
            yield system, host
        finally:
            await asyncio.to_thread(starting.__exit__, None, None, None)


@pytest.mark.promise("rights.modes", "rights.introspection", "rights.audience", "secrets.logs")
async def test_tokens_of_another_issuer_at_the_mcp_edge(tmp_path: Path) -> None:
    """Taken by introspection, refused by audience, never taken in an outage; keys are not taken there."""
    async with another_issuer(tmp_path) as (system, host), aiohttp.ClientSession() as session:
        good = {"active": True, "iss": ISSUER, "aud": [system.mcp], "sub": "alice", "scope": "mail:scan"}
        host.known |= {
            "good-token": good,
            "token-for-others": good | {"aud": "https://elsewhere.example"},
            "token-without-scope": good | {"scope": "openid"},
            "token-in-an-outage": good,
        }

        async def mcp(token: str) -> tuple[int, str, str]:
            status, challenge, body = await knock(session, system, "mcp", token)
            return status, challenge, body["reason"] if status != 200 else ""

        assert (await mcp("good-token"))[0] == 200
        assert host.authorizations == ["Basic bWFpbHdhcmRlbjphLXNlY3JldC1iZXR3ZWVuLXRoZS10d28="]
        assert (await mcp("unknown-token"))[::2] == (401, "CREDENTIAL_INVALID")
        assert (await mcp("token-for-others"))[::2] == (401, "TOKEN_AUDIENCE_REFUSED")
        status, challenge, reason = await mcp(system.api_key)
        assert (status, reason) == (401, "CREDENTIAL_KIND_REFUSED")
        async with session.get(parameter(challenge, "resource_metadata")) as answer:
            assert (await answer.json())["authorization_servers"] == [ISSUER, system.oauth]
        assert system.api_key not in host.asked

        headers = {"Accept": "application/json, text/event-stream"}
        headers["Authorization"] = "Bearer token-without-scope"
        async with session.post(system.mcp, json=SCAN, headers=headers) as answer:
            assert answer.status == 403
            assert parameter(answer.headers["WWW-Authenticate"], "scope") == "mail:scan"

        own = await token_for_key(session, system, resource=system.mcp)
        assert (await mcp(own))[0] == 200
        assert own not in host.asked
        assert (await knock(session, system, "rest", "good-token"))[0] == 401

        for outage in ({"status": 500}, {"status": 200, "raw": b"<html>"}):
            for name, value in outage.items():
                setattr(host, name, value)
            assert (await mcp("token-in-an-outage"))[::2] == (503, "ISSUER_DOWN")
        host.raw = None
        host.may_answer.clear()
        assert (await mcp("token-in-an-outage"))[::2] == (503, "ISSUER_DOWN")
        assert (await mcp(own))[0] == 200
        host.may_answer.set()
        assert (await mcp("token-in-an-outage"))[0] == 200
        written = "".join(system.log(name) for name in ("auth", "edge_mcp"))
        for secret in ("good-token", "token-in-an-outage", "a-secret-between-the-two", own, "alice"):
            assert secret not in written
