"""The endpoint by raw HTTP: who gets in, what is refused and how, and the probes."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from services.common.errors import unavailable
from tests.fakes.grpc_backends import API_KEY
from tests.integration.edge_mcp.harness import (
    ERAS,
    HANDSHAKE,
    MODERN,
    WINDOW,
    Edge,
    StartEdge,
    headers_of,
    request,
)

LIST = request("tools/list")


async def _problem(response: aiohttp.ClientResponse) -> dict[str, Any]:
    assert response.content_type == "application/problem+json"
    problem = await response.json(content_type=None)
    assert problem["status"] == response.status
    assert problem["request_id"] == response.headers["X-Request-Id"]
    return problem


BAD_CREDENTIALS: list[tuple[dict[str, str | None], str]] = [
    ({"X-API-Key": None}, "CREDENTIAL_MISSING"),
    ({"X-API-Key": "wrong"}, "CREDENTIAL_INVALID"),
    ({"X-API-Key": None, "Authorization": "Bearer wrong"}, "CREDENTIAL_INVALID"),
    ({"X-API-Key": None, "Authorization": "Basic dXNlcjpwdw=="}, "CREDENTIAL_INVALID"),
]


@pytest.mark.parametrize("era", ERAS)
async def test_without_a_good_credential_no_tool_is_reached(edge: Edge, era: str) -> None:
    """401 with WWW-Authenticate before the protocol is looked at (RFC 6750 §3)."""
    body = request("tools/call", {"name": "check_availability", "arguments": WINDOW}, era)
    for headers, reason in BAD_CREDENTIALS:
        async with edge.post(body, {**headers_of(body, era), **headers}) as response:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
            assert (await _problem(response))["reason"] == reason
    assert edge.backends.mail.requests == []


async def test_two_credentials_are_one_too_many(edge: Edge) -> None:
    """Which of them counts would be a guess."""
    async with edge.post(LIST, {"Authorization": "Bearer other"}) as response:
        assert response.status == 400
        assert (await _problem(response))["reason"] == "CREDENTIAL_AMBIGUOUS"


async def test_a_bearer_token_is_as_good_as_an_api_key(edge: Edge) -> None:
    """`Authorization: Bearer` takes API keys and JWTs; auth judges them."""
    edge.backends.auth.admit("a.b.c", scopes=["availability:read"])
    async with edge.post(LIST, {"X-API-Key": None, "Authorization": "Bearer a.b.c"}) as response:
        assert response.status == 200


async def test_auth_being_down_is_503_and_not_401(edge: Edge) -> None:
    """A client must not throw away a good key because we cannot check it."""
    edge.backends.auth.failure = unavailable("DATABASE_DOWN", "The database does not answer.")
    async with edge.post(LIST) as response:
        assert response.status == 503
        assert int(response.headers["Retry-After"]) >= 1
        assert (await _problem(response))["reason"] == "DATABASE_DOWN"


BAD_HEADERS: list[tuple[dict[str, str | None], int, str]] = [
    ({"Host": "evil.example.com"}, 421, "HOST_NOT_ALLOWED"),
    ({"Host": "localhost.evil.example.com"}, 421, "HOST_NOT_ALLOWED"),
    ({"Origin": "https://evil.example.com"}, 403, "ORIGIN_NOT_ALLOWED"),
    ({"Origin": "http://localhost.evil.example.com"}, 403, "ORIGIN_NOT_ALLOWED"),
    ({"Content-Type": "text/plain"}, 415, "MEDIA_TYPE_UNSUPPORTED"),
    ({"Content-Type": "application/jsonp"}, 415, "MEDIA_TYPE_UNSUPPORTED"),
    ({"Content-Type": None}, 415, "MEDIA_TYPE_UNSUPPORTED"),
    ({"Accept": "application/json"}, 406, "NOT_ACCEPTABLE"),
]


@pytest.mark.parametrize("era", ERAS)
async def test_wrong_headers_are_refused_with_a_problem(edge: Edge, era: str) -> None:
    """What HTTP knows is refused as HTTP, the same in both eras."""
    body = request("tools/list", era=era)
    for headers, status, reason in BAD_HEADERS:
        sent = {**headers_of(body, era), **headers}
        async with edge.post(json.dumps(body).encode(), sent) as response:
            assert response.status == status, headers
            assert (await _problem(response))["reason"] == reason


async def test_configured_hosts_and_origins_are_served(start_edge: StartEdge) -> None:
    """MCP_ALLOWED_HOSTS, MCP_ALLOWED_ORIGINS, and the host of MCP_RESOURCE_SERVER_URL."""
    settings = {
        "MCP_ALLOWED_HOSTS": "mcp.internal, other.internal",
        "MCP_ALLOWED_ORIGINS": "https://app.example.com",
        "MCP_RESOURCE_SERVER_URL": "https://mcp.example.com/mcp",
    }
    async with start_edge(**settings) as edge:
        for host in ("mcp.internal", "other.internal:8443", "mcp.example.com", "127.0.0.1:80"):
            async with edge.post(LIST, {"Host": host, "Origin": "https://app.example.com"}) as response:
                assert response.status == 200, host


async def test_only_post_is_served(edge: Edge) -> None:
    """No sessions, so nothing to open by GET or to end by DELETE (MCP, streamable HTTP)."""
    headers = {"X-API-Key": API_KEY, "Accept": "text/event-stream"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for method in ("GET", "DELETE", "PUT", "PATCH", "OPTIONS"):
            async with session.request(method, edge.url) as response:
                assert response.status == 405
                assert response.headers["Allow"] == "POST"
                assert (await _problem(response))["reason"] == "METHOD_NOT_ALLOWED"


async def test_other_paths_are_unknown_and_guarded(edge: Edge) -> None:
    """404 with a credential, 401 without: paths are not to be explored by strangers."""
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{edge.base_url}/admin") as response:
            assert response.status == 401
        headers = {"X-API-Key": API_KEY}
        async with session.post(f"{edge.base_url}/admin", headers=headers) as response:
            assert response.status == 404
            assert (await _problem(response))["reason"] == "PATH_UNKNOWN"


async def test_a_trailing_slash_does_no_harm(edge: Edge) -> None:
    """`/mcp/` is `/mcp`, without a redirect that would drop the credential."""
    other = Edge(edge.url + "/", edge.backends)
    async with other.post(LIST) as response:
        assert response.status == 200


BAD_BODIES = [
    (b"", -32700, "JSON_INVALID"),
    (b"{", -32700, "JSON_INVALID"),
    (b"\xff\xfe", -32700, "JSON_INVALID"),
    (b"[" * 100_000, -32700, "JSON_INVALID"),
    (b"[]", -32600, "BATCH_NOT_SUPPORTED"),
    (json.dumps([LIST, LIST]).encode(), -32600, "BATCH_NOT_SUPPORTED"),
    (b"3", -32600, "MESSAGE_INVALID"),
    (b'{"jsonrpc":"1.0","id":1,"method":"tools/list"}', -32600, "MESSAGE_INVALID"),
    (b'{"jsonrpc":"2.0","id":1}', -32600, "MESSAGE_INVALID"),
    (b'{"jsonrpc":"2.0","id":{"a":1},"method":"tools/list"}', -32600, "MESSAGE_INVALID"),
    (b'{"jsonrpc":"2.0","id":null,"method":"tools/list"}', -32600, "MESSAGE_INVALID"),
    (b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":[1]}', -32600, "MESSAGE_INVALID"),
]


@pytest.mark.promise("input.typed")
@pytest.mark.parametrize("version", [HANDSHAKE, MODERN])
async def test_a_body_that_is_no_message_is_a_json_rpc_error(edge: Edge, version: str) -> None:
    """400 with a JSON-RPC error, a reason and the request id; the parser's words stay here."""
    for body, code, reason in BAD_BODIES:
        sent = {"MCP-Protocol-Version": version, "Mcp-Method": "tools/list"}
        async with edge.post(body, sent) as response:
            assert response.status == 400, body[:80]
            answer = await response.json()
        assert (answer["jsonrpc"], answer["id"], answer["error"]["code"]) == ("2.0", None, code)
        assert answer["error"]["data"] == {"reason": reason, "request_id": response.headers["X-Request-Id"]}
        assert "pydantic" not in json.dumps(answer)


@pytest.mark.parametrize("era", ERAS)
async def test_unknown_methods_and_malformed_params_are_protocol_errors(edge: Edge, era: str) -> None:
    """-32601 and -32602, without the validator's text."""
    for body, code in (
        (request("tools/drop", era=era), -32601),
        (request("tools/call", {"name": 5}, era), -32602),
        (request("tools/call", {"name": "check_availability", "arguments": "all"}, era), -32602),
    ):
        headers = headers_of(body, era)
        if not isinstance(headers.get("Mcp-Name", ""), str):
            headers["Mcp-Name"] = "5"
        async with edge.post(body, headers) as response:
            text = await response.text()
        assert f'"code":{code}' in text or f'"code":{-32020}' in text, text
        assert "pydantic" not in text
        assert "validation error" not in text


async def test_an_unknown_protocol_version_is_told_which_are_served(edge: Edge) -> None:
    """A future client learns what it can speak (MCP 2026-07-28, versioning)."""
    body = request("tools/list", era="auto")
    body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2031-01-01"
    async with edge.post(
        body, {"MCP-Protocol-Version": "2031-01-01", "Mcp-Method": "tools/list"}
    ) as response:
        assert response.status == 400
        assert MODERN in await response.text()


async def test_a_huge_body_is_refused_by_its_declared_length(start_edge: StartEdge) -> None:
    """413 without reading it."""
    async with start_edge(MAX_BODY_BYTES="2048") as edge, edge.post(b" " * 4096) as response:
        assert response.status == 413
        assert (await _problem(response))["reason"] == "BODY_TOO_LARGE"


@pytest.mark.promise("input.size")
async def test_a_huge_body_without_a_length_is_refused_as_it_arrives(start_edge: StartEdge) -> None:
    """Chunked bodies meet the same limit."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield b" " * 1024

    async with start_edge(MAX_BODY_BYTES="2048") as edge, aiohttp.ClientSession() as session:
        headers = {"X-API-Key": API_KEY, "Content-Type": "application/json"}
        headers["Accept"] = "application/json, text/event-stream"
        async with session.post(edge.url, data=chunks(), headers=headers) as response:
            assert response.status == 413
            assert (await _problem(response))["reason"] == "BODY_TOO_LARGE"


async def test_the_clients_request_id_comes_back(edge: Edge) -> None:
    """A harmless id is kept, another is replaced."""
    async with edge.post(LIST, {"X-Request-Id": "mine-3"}) as response:
        assert response.headers["X-Request-Id"] == "mine-3"
    async with edge.post(LIST, {"X-Request-Id": "mine 3; drop"}) as response:
        assert response.headers["X-Request-Id"] != "mine 3; drop"


async def test_an_answer_without_progress_is_plain_json_on_the_modern_wire(edge: Edge) -> None:
    """Streams only when there is something to stream."""
    body = request("tools/call", {"name": "check_availability", "arguments": WINDOW}, "auto")
    async with edge.post(body, headers_of(body, "auto")) as response:
        assert response.content_type == "application/json"
        assert (await response.json())["result"]["structuredContent"]["available"] is True


async def test_a_legacy_client_needs_no_session(edge: Edge) -> None:
    """Any replica serves any request: no handshake before, no session id after."""
    async with edge.post(LIST, {"MCP-Protocol-Version": HANDSHAKE}) as response:
        assert response.status == 200
        assert "Mcp-Session-Id" not in response.headers
        assert '"check_availability"' in await response.text()


async def _probe(edge: Edge, path: str) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(edge.base_url + path) as response:
        return response.status, await response.json(content_type=None)


async def test_health_needs_no_credential_and_no_backend(edge: Edge) -> None:
    """A dead dependency never restarts us."""
    await edge.backends.stop_mail()
    assert await _probe(edge, "/health") == (200, {"status": "ok"})


@pytest.mark.promise("outages.health")
async def test_ready_follows_the_backends(edge: Edge) -> None:
    """503 names the backend that does not serve, and ends by itself."""
    assert await _probe(edge, "/ready") == (200, {"status": "ready"})
    await edge.backends.stop_mail()
    status, problem = await _probe(edge, "/ready")
    assert (status, problem["reason"], problem["detail"]) == (503, "NOT_READY", "Not reachable: mail_core.")
    await edge.backends.start_mail()
    async with asyncio.timeout(5):
        while (await _probe(edge, "/ready"))[0] != 200:
            pass


@pytest.mark.promise("outages.typed")
async def test_a_dead_core_is_a_typed_error_and_not_a_hang(edge: Edge) -> None:
    """MAIL_CORE_DOWN within moments, retryable."""
    await edge.backends.stop_mail()
    async with asyncio.timeout(5), edge.client() as client:
        result = await client.call_tool("check_availability", WINDOW)
    assert result.structured_content is not None
    assert result.structured_content["reason"] == "MAIL_CORE_DOWN"
    assert result.structured_content["retryable"] is True
