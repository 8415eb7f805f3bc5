"""A2A as an OAuth resource server: card, metadata, challenges on every binding."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from a2a.types import a2a_pb2, a2a_pb2_grpc
from google.protobuf.json_format import ParseDict
from grpc import aio

from services.auth.oauth.http.client_routes import metadata_of
from services.auth.oauth.http.server import WELL_KNOWN
from services.edge_a2a.agent_card import OAUTH, OAUTH_CLIENT, agent_card
from tests.fakes.a2a_edge import CARD_PATH, RPC_PATH, VERSION, A2aEdge, message_of, running_a2a_edge
from tests.unit.common.test_protected_resource import parameters

RESOURCE = "https://mail.example"
ISSUER = "https://login.example"
METADATA = "/.well-known/oauth-protected-resource"
READING = "availability:read available_meeting_intervals:read unsubscribe:read"
TOKEN = "mat_a-token-of-our-own"
SCAN = {"message": message_of({"action": "scan_mailbox"})}


@pytest.fixture
async def published(certificates: Path) -> AsyncIterator[A2aEdge]:
    """An edge for whose tokens there is an authorization server."""
    async with running_a2a_edge(certificates, public_url=RESOURCE, oauth_issuer=ISSUER) as edge:
        yield edge


async def scan(edge: A2aEdge, binding: str, **headers: str) -> Any:
    """Ask for a scan by a binding of HTTP; the answer."""
    if binding == "HTTP+JSON":
        return await edge.ask("POST", "/a2a/v1/message:send", json=SCAN, headers={**VERSION, **headers})
    body = {"jsonrpc": "2.0", "id": 1, "method": binding, "params": SCAN}
    return await edge.ask("POST", RPC_PATH, json=body, headers={**VERSION, **headers})


@pytest.mark.promise("rights.discovery")
async def test_the_card_names_oauth_beside_keys(published: A2aEdge) -> None:
    """A2A 1.0 §4.5: a scheme for each flow, any one of the schemes will do."""
    card = ParseDict((await published.ask("GET", CARD_PATH, headers={})).body, a2a_pb2.AgentCard())
    assert set(card.security_schemes) == {"apiKey", "bearer", OAUTH, OAUTH_CLIENT}
    assert [set(requirement.schemes) for requirement in card.security_requirements] == [
        {"apiKey"},
        {"bearer"},
        {OAUTH},
        {OAUTH_CLIENT},
    ]
    people = card.security_schemes[OAUTH].oauth2_security_scheme
    keys = card.security_schemes[OAUTH_CLIENT].oauth2_security_scheme
    assert people.flows.authorization_code.pkce_required
    # The very text of the metadata, which a token's audience is compared with.
    assert f"resource={RESOURCE}." in people.description
    assert f"resource={RESOURCE}." in keys.description
    assert dict(people.flows.authorization_code.scopes)["mail:scan"] == "Scan the mailbox"
    assert keys.flows.client_credentials.scopes == people.flows.authorization_code.scopes


@pytest.mark.parametrize("issuer", ["https://login.example", "https://login.example/tenant"])
def test_the_card_s_addresses_are_those_of_the_server(issuer: str) -> None:
    """Two processes that know each other by name only; for an issuer with a path too."""
    card, served = agent_card("https://x", "x:1", issuer), metadata_of(issuer, registers=True)
    people = card.security_schemes[OAUTH].oauth2_security_scheme
    keys = card.security_schemes[OAUTH_CLIENT].oauth2_security_scheme.flows.client_credentials
    code = people.flows.authorization_code
    assert code.authorization_url == served["authorization_endpoint"]
    assert code.token_url == code.refresh_url == keys.token_url == served["token_endpoint"]
    path = issuer.removeprefix("https://login.example")
    assert people.oauth2_metadata_url == f"https://login.example{WELL_KNOWN}{path}"
    assert set(code.scopes) <= set(served["scopes_supported"])


async def test_without_an_issuer_the_card_names_none(edge: A2aEdge) -> None:
    """And there is no metadata."""
    card = (await edge.ask("GET", CARD_PATH, headers={})).body
    assert set(card["securitySchemes"]) == {"apiKey", "bearer"}
    assert (await edge.ask("GET", METADATA, headers={})).status == 401
    assert (await edge.ask("GET", METADATA)).status == 404


@pytest.mark.promise("rights.discovery")
async def test_the_metadata_is_public_and_for_every_origin(published: A2aEdge) -> None:
    """RFC 9728 §3."""
    answer = await published.ask("GET", METADATA, headers={})
    assert (answer.body["resource"], answer.body["authorization_servers"]) == (RESOURCE, [ISSUER])
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert (await published.ask("OPTIONS", METADATA, headers={})).status == 204


@pytest.mark.promise("rights.discovery")
@pytest.mark.parametrize("binding", ["SendMessage", "SendStreamingMessage", "HTTP+JSON"])
async def test_a_401_leads_to_the_metadata(published: A2aEdge, binding: str) -> None:
    """The same on every binding of HTTP."""
    answer = await scan(published, binding)
    assert answer.status == 401
    said = parameters(answer.headers["WWW-Authenticate"])
    assert said == {
        "realm": "mailwarden",
        "scope": READING,
        "resource_metadata": f"{RESOURCE}{METADATA}",
    }


@pytest.mark.promise("rights.step-up")
@pytest.mark.parametrize("binding", ["SendMessage", "SendStreamingMessage", "HTTP+JSON"])
async def test_a_missing_scope_is_named_beside_those_held(published: A2aEdge, binding: str) -> None:
    """RFC 6750 §3.1."""
    published.backends.auth.admit(TOKEN, scopes=["availability:read"])
    answer = await scan(published, binding, Authorization=f"Bearer {TOKEN}")
    assert (answer.status, answer.body["reason"]) == (403, "SCOPE_MISSING")
    said = parameters(answer.headers["WWW-Authenticate"])
    assert (said["error"], said["scope"]) == ("insufficient_scope", "availability:read mail:scan")


@pytest.mark.promise("rights.step-up", "rights.discovery")
async def test_grpc_carries_the_challenge_in_its_metadata(published: A2aEdge) -> None:
    """For want of headers."""
    published.backends.auth.admit(TOKEN, scopes=["availability:read"])
    request = ParseDict(SCAN, a2a_pb2.SendMessageRequest())
    bearer = (("authorization", f"Bearer {TOKEN}"),)
    async with aio.insecure_channel(published.grpc_address) as channel:
        stub = a2a_pb2_grpc.A2AServiceStub(channel)
        for metadata, code, error in (
            (bearer, grpc.StatusCode.PERMISSION_DENIED, "insufficient_scope"),
            ((), grpc.StatusCode.UNAUTHENTICATED, None),
        ):
            with pytest.raises(aio.AioRpcError) as refused:
                await stub.SendMessage(request, metadata=metadata)
            assert refused.value.code() is code
            metadata_of_refusal = list(refused.value.trailing_metadata() or ())
            (challenge,) = [value for key, value in metadata_of_refusal if key == "www-authenticate"]
            assert parameters(str(challenge)).get("error") == error
