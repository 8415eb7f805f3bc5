"""Clients that live in a page: MCP Inspector in direct mode, web applications (CORS)."""

from typing import Any

import aiohttp
import pytest
from pydantic import ValidationError

from services.edge_mcp.settings import McpSettings
from tests.fakes.grpc_backends import API_KEY
from tests.integration.edge_mcp.harness import MODERN, Edge, StartEdge, headers_of, request

APP = "http://localhost:6274"
OTHER = "http://localhost:6275"
LIST = request("tools/list", era="auto")
PUBLISHED = {
    "MCP_RESOURCE_SERVER_URL": "https://mcp.example.com/mcp",
    "OAUTH_ISSUER": "https://login.example.com",
}


async def _ask(
    edge: Edge, method: str, headers: dict[str, str], path: str = "/mcp", **options: Any
) -> aiohttp.ClientResponse:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, edge.base_url + path, headers=headers, **options) as answer,
    ):
        await answer.read()
        return answer


async def _preflight(edge: Edge, origin: str, path: str = "/mcp") -> aiohttp.ClientResponse:
    asking = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,mcp-protocol-version",
    }
    return await _ask(edge, "OPTIONS", asking, path)


async def _list(edge: Edge, origin: str, key: str = API_KEY) -> aiohttp.ClientResponse:
    headers = {
        "Origin": origin,
        "X-API-Key": key,
        "Accept": "application/json, text/event-stream",
        **headers_of(LIST, "auto"),
    }
    return await _ask(edge, "POST", headers, json=LIST)


def _names(answer: aiohttp.ClientResponse, header: str) -> set[str]:
    return {name.strip().lower() for name in answer.headers.get(header, "").split(",") if name.strip()}


@pytest.mark.promise("rights.pages")
async def test_a_page_of_a_configured_origin_may_ask_and_read(start_edge: StartEdge) -> None:
    """A preflight shows no credential and reaches nobody; then the page calls and reads the answer."""
    async with start_edge(MCP_ALLOWED_ORIGINS=f"https://app.example.com, {APP}") as edge:
        told = await _preflight(edge, APP)
        assert told.status == 204
        assert edge.backends.auth.exchanges == []
        assert told.headers["Access-Control-Allow-Origin"] == APP
        assert told.headers["Vary"] == "Origin"
        assert "Access-Control-Allow-Credentials" not in told.headers
        assert "post" in _names(told, "Access-Control-Allow-Methods")
        assert {
            "authorization",
            "x-api-key",
            "content-type",
            "mcp-protocol-version",
            "mcp-session-id",
            "mcp-method",
            "mcp-name",
            "last-event-id",
        } <= _names(told, "Access-Control-Allow-Headers")
        answer = await _list(edge, APP)
        assert answer.status == 200
        assert answer.headers.getall("Access-Control-Allow-Origin") == [APP]
        assert {"mcp-session-id", "www-authenticate", "retry-after", "x-ratelimit-limit"} <= _names(
            answer, "Access-Control-Expose-Headers"
        )


async def test_a_page_reads_refusals_too(start_edge: StartEdge) -> None:
    """Or it would never see the challenge that tells where tokens are given."""
    async with start_edge(MCP_ALLOWED_ORIGINS=APP) as edge:
        answer = await _list(edge, APP, key="ma_wrong")
        assert answer.status == 401
        assert answer.headers["Access-Control-Allow-Origin"] == APP
        assert "www-authenticate" in _names(answer, "Access-Control-Expose-Headers")
        other = await _ask(edge, "GET", {"Origin": APP, "X-API-Key": API_KEY, "MCP-Protocol-Version": MODERN})
        assert other.status == 405
        assert other.headers["Access-Control-Allow-Origin"] == APP


@pytest.mark.promise("rights.pages")
@pytest.mark.parametrize("origin", [OTHER, "http://localhost", "https://evil.example", "null"])
async def test_pages_of_other_origins_read_nothing(start_edge: StartEdge, origin: str) -> None:
    """Exactly the configured ones: not another port, not loopback as such."""
    async with start_edge(MCP_ALLOWED_ORIGINS=APP) as edge:
        told = await _preflight(edge, origin)
        assert told.status == 403
        assert (await told.json(content_type=None))["reason"] == "ORIGIN_NOT_ALLOWED"
        answer = await _list(edge, origin)
        for refused in (told, answer):
            assert refused.headers["Vary"] == "Origin"
            assert not [name for name in refused.headers if name.startswith("Access-Control-")]


@pytest.mark.promise("rights.pages")
async def test_no_page_may_call_by_default(edge: Edge) -> None:
    """A preflight is then a request without a credential."""
    for answer in (await _preflight(edge, APP), await _list(edge, APP, key="ma_wrong")):
        assert answer.status == 401
        assert not [name for name in answer.headers if name.startswith("Access-Control-")]


async def test_a_preflight_counts_against_its_address(start_edge: StartEdge) -> None:
    """It costs nothing more, and is not free either."""
    async with start_edge(MCP_ALLOWED_ORIGINS=APP, RATE_LIMIT_ADDRESS_PER_MINUTE="2") as edge:
        statuses = [(await _preflight(edge, APP)).status for _ in range(3)]
        assert statuses == [204, 204, 429]
        assert (await _list(edge, APP)).status == 200


async def test_the_metadata_is_for_every_page(start_edge: StartEdge) -> None:
    """It is public, and says so once, whatever is configured for /mcp."""
    path = "/.well-known/oauth-protected-resource/mcp"
    async with start_edge(MCP_ALLOWED_ORIGINS=APP, **PUBLISHED) as edge:
        for answer in (
            await _preflight(edge, "https://any.example", path),
            await _ask(edge, "GET", {"Origin": "https://any.example"}, path),
        ):
            assert answer.status in {200, 204}
            assert answer.headers.getall("Access-Control-Allow-Origin") == ["*"]


@pytest.mark.parametrize(
    "origins", ["*", "https://*.example.com", "http://localhost:*", "app.example.com", "null"]
)
def test_what_is_no_origin_is_refused_at_start(monkeypatch: pytest.MonkeyPatch, origins: str) -> None:
    """It would match nothing, or too much."""
    monkeypatch.setenv("MCP_ALLOWED_ORIGINS", origins)
    with pytest.raises(ValidationError, match="must be origins as browsers write them"):
        McpSettings()  # type: ignore[call-arg]
