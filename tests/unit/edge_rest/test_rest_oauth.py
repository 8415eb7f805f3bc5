"""REST as an OAuth resource server: metadata, and challenges that name what a route needs."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.common.identity import Restrictions
from services.common.policy import policy_of
from services.edge_rest.routes import ROUTES, Route
from tests.fakes.grpc_backends import API_KEY, MAILBOX_ID
from tests.fakes.rest_edge import RestEdge, running_rest_edge
from tests.unit.common.test_protected_resource import parameters

RESOURCE = "https://mail.example/api"
ISSUER = "https://login.example"
METADATA = "/.well-known/oauth-protected-resource"
TOKEN = "mat_a-token-of-our-own"
SCANS = f"/v1/mailboxes/{MAILBOX_ID}/scans"


@pytest.fixture
async def published(certificate_folder: Path) -> AsyncIterator[RestEdge]:
    """An edge for whose tokens there is an authorization server."""
    async with running_rest_edge(certificate_folder, public_url=RESOURCE, oauth_issuer=ISSUER) as running:
        yield running


@pytest.mark.promise("rights.discovery")
async def test_the_metadata_is_public_and_for_every_origin(published: RestEdge) -> None:
    """RFC 9728 §3, at the path of the resource and at the root."""
    for path in (METADATA, f"{METADATA}/api"):
        answer = await published.get(path, headers={"Origin": "https://page.example"})
        assert answer.status == 200
        assert (answer.body["resource"], answer.body["authorization_servers"]) == (RESOURCE, [ISSUER])
        assert "team:admin" not in answer.body["scopes_supported"]
        assert {"mail:scan", "team:read", "audit:read"} <= set(answer.body["scopes_supported"])
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert (await published.ask("OPTIONS", path, headers={})).status == 204
        assert (await published.post(path)).status == 405


async def test_without_an_issuer_there_is_no_metadata(edge: RestEdge) -> None:
    """And challenges name none."""
    assert (await edge.get(METADATA)).status == 404
    answer = await edge.get("/v1/me", headers={})
    assert parameters(answer.headers["WWW-Authenticate"]) == {"realm": "mailwarden"}


@pytest.mark.promise("rights.discovery")
@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.rpc], ids=lambda route: route.name if route else ""
)
async def test_a_401_names_the_scope_of_its_route(published: RestEdge, route: Route) -> None:
    """One of those that will do, and none that nobody can get."""
    path = re.sub(r"\{(?:mailbox|key|grant)_id\}", MAILBOX_ID, route.path)
    answer = await published.ask(route.method, path.replace("{operation_id}", MAILBOX_ID), headers={})
    assert answer.status == 401
    said = parameters(answer.headers["WWW-Authenticate"])
    assert "error" not in said
    assert said["resource_metadata"] == f"https://mail.example{METADATA}/api"
    assert route.rpc is not None
    possible = policy_of(route.rpc).any_scope - {"team:admin"}
    assert (said["scope"] in possible) if possible else ("scope" not in said)


async def test_a_refused_token_is_called_invalid(published: RestEdge) -> None:
    """RFC 6750 §3.1."""
    answer = await published.get("/v1/me", headers={"Authorization": "Bearer unknown"})
    assert parameters(answer.headers["WWW-Authenticate"])["error"] == "invalid_token"


@pytest.mark.promise("rights.step-up")
async def test_a_missing_scope_is_named_beside_those_held(published: RestEdge) -> None:
    """RFC 6750 §3.1: the client asks for what is named, and keeps what it has."""
    published.backends.auth.admit(TOKEN, scopes=["availability:read"])
    answer = await published.post(SCANS, headers={"Authorization": f"Bearer {TOKEN}"})
    assert (answer.status, answer.body["reason"]) == (403, "SCOPE_MISSING")
    said = parameters(answer.headers["WWW-Authenticate"])
    assert (said["error"], said["scope"]) == ("insufficient_scope", "availability:read mail:scan")


async def test_what_no_token_can_mend_is_a_plain_403(published: RestEdge) -> None:
    """A read-only credential, and what only an admin key may do."""
    published.backends.auth.admit(TOKEN, restrictions=Restrictions(read_only=True))
    answer = await published.post(SCANS, headers={"Authorization": f"Bearer {TOKEN}"})
    assert (answer.status, answer.body["reason"]) == (403, "READ_ONLY")
    assert "WWW-Authenticate" not in answer.headers


async def test_keys_work_on_where_tokens_are_taken(published: RestEdge) -> None:
    """Publishing metadata closes no door."""
    assert (await published.get("/v1/me", headers={"X-API-Key": API_KEY})).status == 200
