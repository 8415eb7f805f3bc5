"""The MCP edge as an OAuth resource server: metadata, challenges, step-up for each tool."""

from typing import Any

import aiohttp
import pytest

from services.edge_mcp.catalog import make_tools
from services.edge_mcp.settings import McpSettings
from tests.fakes.grpc_backends import API_KEY, SUBSCRIPTION_IDS
from tests.integration.edge_mcp.harness import ERAS, TOOL_NAMES, WINDOW, Edge, StartEdge, headers_of, request
from tests.unit.common.test_protected_resource import parameters

RESOURCE = "https://mail.example/mcp"
ISSUER = "https://login.example"
PUBLISHED = {"MCP_RESOURCE_SERVER_URL": RESOURCE, "OAUTH_ISSUER": ISSUER}
METADATA = "/.well-known/oauth-protected-resource"
TOKEN = "mat_a-token-of-our-own"
BEARER: dict[str, str | None] = {"X-API-Key": None, "Authorization": f"Bearer {TOKEN}"}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "check_availability": WINDOW,
    "available_meeting_intervals": WINDOW,
    "scan_mailbox": {},
    "list_unsubscribe_candidates": {},
    "execute_unsubscribe": {"subscription_ids": list(SUBSCRIPTION_IDS)},
}


def call(tool: str, era: str = "auto") -> dict[str, Any]:
    return request("tools/call", {"name": tool, "arguments": ARGUMENTS.get(tool, {})}, era)


@pytest.mark.promise("rights.discovery")
@pytest.mark.parametrize("path", [METADATA, f"{METADATA}/mcp"])
async def test_the_metadata_needs_no_credential_and_is_for_every_origin(
    start_edge: StartEdge, path: str
) -> None:
    """RFC 9728 §3; clients inside a browser look first whether they may (CORS)."""
    async with start_edge(**PUBLISHED) as edge, aiohttp.ClientSession() as session:
        async with session.get(edge.base_url + path, headers={"Origin": "https://page.example"}) as answer:
            assert answer.status == 200
            assert answer.content_type == "application/json"
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            said = await answer.json()
        assert (said["resource"], said["authorization_servers"]) == (RESOURCE, [ISSUER])
        assert said["scopes_supported"] == sorted(
            {scope for tool in _tools(mutations=True) for scope in tool.policy.any_scope}
        )
        preflight = {"Origin": "https://page.example", "Access-Control-Request-Method": "GET"}
        async with session.options(edge.base_url + path, headers=preflight) as answer:
            assert answer.status == 204
            assert "MCP-Protocol-Version" in answer.headers["Access-Control-Allow-Headers"]
        async with session.post(edge.base_url + path) as answer:
            assert answer.status == 405


def _tools(*, mutations: bool) -> Any:
    return make_tools(None, None, with_mutations=mutations)  # type: ignore[arg-type]


async def test_an_issuer_for_mcp_alone_is_named_first(start_edge: StartEdge) -> None:
    """Clients take the first."""
    async with (
        start_edge(**PUBLISHED, MCP_OAUTH_ISSUER="https://idp.example/realm") as edge,
        aiohttp.ClientSession() as session,
        session.get(edge.base_url + METADATA) as answer,
    ):
        assert (await answer.json())["authorization_servers"] == ["https://idp.example/realm", ISSUER]


async def test_where_no_issuer_is_set_nothing_is_published(edge: Edge) -> None:
    """An edge for API keys alone leads nobody astray."""
    async with aiohttp.ClientSession() as session, session.get(edge.base_url + METADATA) as answer:
        assert answer.status == 401
        assert parameters(answer.headers["WWW-Authenticate"]) == {"realm": "mailwarden"}


@pytest.mark.promise("rights.discovery")
@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"X-API-Key": None}, None),
        ({"X-API-Key": "wrong"}, "invalid_token"),
        ({"X-API-Key": None, "Authorization": "Bearer wrong"}, "invalid_token"),
        ({"X-API-Key": None, "Authorization": 'Bearer x", scope="team:admin'}, "invalid_token"),
        ({"X-API-Key": None, "Authorization": 'Bearer \\",\\'}, "invalid_token"),
        ({"X-API-Key": None, "Authorization": "Basic dXNlcjpwdw=="}, "invalid_token"),
    ],
)
async def test_a_401_leads_to_the_metadata_and_names_what_changes_nothing(
    start_edge: StartEdge, headers: dict[str, str | None], error: str | None
) -> None:
    """A well-formed challenge, whatever was sent; more is asked for when a tool needs it."""
    async with start_edge(**PUBLISHED) as edge, edge.post(request("tools/list"), headers) as response:
        assert response.status == 401
        (header,) = response.headers.getall("WWW-Authenticate")
        said = parameters(header)
        assert said["resource_metadata"] == f"https://mail.example{METADATA}/mcp"
        assert said["scope"] == "availability:read available_meeting_intervals:read unsubscribe:read"
        assert said.get("error") == error


@pytest.mark.promise("rights.step-up")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("tool", TOOL_NAMES)
async def test_a_token_without_a_tool_s_scope_is_sent_for_it(
    start_edge: StartEdge, tool: str, era: str
) -> None:
    """403 before the tool runs, naming the tool's scope beside those held (RFC 6750 §3.1)."""
    needed = {t.name: t.policy.any_scope for t in _tools(mutations=True)}[tool]
    async with start_edge(**PUBLISHED) as edge:
        edge.backends.auth.admit(TOKEN, scopes=["audit:read"])
        body = call(tool, era)
        async with edge.post(body, {**headers_of(body, era), **BEARER}) as response:
            assert response.status == 403
            said = parameters(response.headers["WWW-Authenticate"])
            problem = await response.json(content_type=None)
        assert said["error"] == "insufficient_scope"
        assert set(said["scope"].split()) == {"audit:read", *needed}
        assert said["resource_metadata"].endswith(f"{METADATA}/mcp")
        assert problem["reason"] == "SCOPE_MISSING"
        assert edge.backends.mail.requests == []


@pytest.mark.parametrize("tool", TOOL_NAMES)
async def test_a_token_with_the_tool_s_scope_and_no_other_runs_it(start_edge: StartEdge, tool: str) -> None:
    """The scope that we ask for is the one that the backend wants; the RPC is the one that the tool names."""
    policy = {t.name: t.policy for t in _tools(mutations=True)}[tool]
    async with start_edge(**PUBLISHED) as edge:
        edge.backends.auth.admit(TOKEN, scopes=policy.any_scope)
        body = call(tool, "legacy")
        async with edge.post(body, {**headers_of(body, "legacy"), **BEARER}) as response:
            assert response.status == 200
            assert '"isError":true' not in (await response.text()).replace(" ", "")
        asked = edge.backends.mail.requests[0].DESCRIPTOR.name
        assert asked == f"{policy.name}Request"


async def test_listing_tools_needs_no_scope(start_edge: StartEdge) -> None:
    """A client asks for a scope when it sees what it is for."""
    async with start_edge(**PUBLISHED) as edge:
        edge.backends.auth.admit(TOKEN, scopes=["audit:read"])
        async with edge.post(request("tools/list"), BEARER) as response:
            assert response.status == 200


@pytest.mark.parametrize("secret", ["ma_narrow", "a.b.c"])
async def test_who_cannot_get_more_reads_an_error_result(start_edge: StartEdge, secret: str) -> None:
    """Behind an API key, or a JWT of the operator's, is nobody to ask."""
    async with start_edge(**PUBLISHED) as edge:
        edge.backends.auth.admit(secret, scopes=["audit:read"])
        body = call("scan_mailbox", "legacy")
        sent = {**headers_of(body, "legacy"), "X-API-Key": None, "Authorization": f"Bearer {secret}"}
        async with edge.post(body, sent) as response:
            assert response.status == 200
            assert "SCOPE_MISSING" in await response.text()


@pytest.mark.parametrize("name", ["no_such_tool", "", 5, None, ["scan_mailbox"], {"a": 1}])
async def test_a_call_of_no_tool_is_not_answered_by_a_challenge(start_edge: StartEdge, name: Any) -> None:
    """Tools that are not here have no scopes, and names of any shape are met."""
    async with start_edge(**PUBLISHED) as edge:
        edge.backends.auth.admit(TOKEN, scopes=["audit:read"])
        body = request("tools/call", {"name": name, "arguments": {}})
        async with edge.post(body, {**headers_of(body, "legacy"), **BEARER}) as response:
            assert response.status in {200, 400}
            assert "WWW-Authenticate" not in response.headers


async def test_a_tool_that_is_not_enabled_asks_for_nothing(start_edge: StartEdge) -> None:
    """Neither in the metadata nor by a challenge."""
    async with start_edge(**PUBLISHED, MCP_ENABLE_MUTATION_TOOLS="false") as edge:
        edge.backends.auth.admit(TOKEN, scopes=["audit:read"])
        async with edge.post(call("scan_mailbox", "legacy"), BEARER) as response:
            assert response.status == 200
        async with (
            aiohttp.ClientSession() as session,
            session.get(edge.base_url + METADATA) as answer,
        ):
            scopes = (await answer.json())["scopes_supported"]
        assert scopes == ["availability:read", "available_meeting_intervals:read"]


@pytest.mark.usefixtures("edge_environment")
@pytest.mark.promise("rights.configuration")
@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"OAUTH_ISSUER": ISSUER}, "MCP_RESOURCE_SERVER_URL is missing"),
        ({"OAUTH_ISSUER": ISSUER, "PUBLIC_URL": RESOURCE}, "MCP_RESOURCE_SERVER_URL is missing"),
        ({"MCP_OAUTH_ISSUER": ISSUER}, "MCP_RESOURCE_SERVER_URL is missing"),
        ({**PUBLISHED, "OAUTH_ISSUER": "http://login.example"}, "OAUTH_ISSUER must be https://"),
        ({**PUBLISHED, "MCP_OAUTH_ISSUER": "https://a/?b"}, "MCP_OAUTH_ISSUER must be https://"),
        ({**PUBLISHED, "MCP_RESOURCE_SERVER_URL": "https://a b"}, "MCP_RESOURCE_SERVER_URL must be https://"),
    ],
)
def test_half_a_set_up_is_refused_with_what_to_set(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], told: str
) -> None:
    """A client would find out later, and less clearly."""
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=told):
        McpSettings()  # type: ignore[call-arg]


@pytest.fixture
def edge_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE", "AUTH_ADDRESS", "MAIL_CORE_ADDRESS"):
        monkeypatch.setenv(name, "x:1")


async def test_an_api_key_is_as_good_as_ever_where_tokens_are_taken(start_edge: StartEdge) -> None:
    """Publishing metadata closes no door."""
    async with (
        start_edge(**PUBLISHED) as edge,
        edge.post(request("tools/list"), {"X-API-Key": API_KEY}) as response,
    ):
        assert response.status == 200


async def test_a_scope_that_was_missing_is_in_the_audit_log(start_edge: StartEdge) -> None:
    """By tool and caller, as other refusals are: the backend never hears of the call."""
    async with start_edge(**PUBLISHED) as edge:
        edge.backends.auth.admit(TOKEN, scopes=["audit:read"])
        async with edge.post(call("scan_mailbox", "legacy"), BEARER) as response:
            assert response.status == 403
        backends = edge.backends
    (event,) = [sent.event for sent in backends.audit.appended if sent.event.reason == "SCOPE_MISSING"]
    assert (event.action, event.outcome) == ("request.refused", "denied")
    assert event.facts["route"] == "mcp.scan_mailbox"
    assert TOKEN not in str(event)
