"""What an edge publishes as a protected resource, and how it challenges."""

import re

import orjson
import pytest

from protos.auth.v1 import auth_pb2
from protos.mail.v1 import mail_pb2
from services.auth.domain.scopes import ALL_SCOPES
from services.auth.oauth.domain.scopes import GRANTABLE
from services.common.errors import AppError, denied, unauthenticated
from services.common.policy import policy_of
from services.common.protected_resource import NEVER_GRANTED, ProtectedResource, least_scope
from services.common.web_address import is_identifier

MAIL = mail_pb2.DESCRIPTOR.services_by_name["MailService"].methods_by_name
TEAM = auth_pb2.DESCRIPTOR.services_by_name["TeamService"].methods_by_name
POLICIES = [
    policy_of(method)
    for method in (MAIL["CheckAvailability"], MAIL["Unsubscribe"], TEAM["GetTeam"], TEAM["CreateKey"])
]
MCP = ProtectedResource.of("MCP", "https://mail.example/mcp/", ["https://login.example"], POLICIES)
UNPUBLISHED = ProtectedResource.of("MCP", "", [], POLICIES)
PARAMETER = re.compile(r'([a-z_]+)="([\x20\x21\x23-\x5b\x5d-\x7e]*)"')
"""RFC 9110 §11.2: a name and a quoted string, in which nothing is escaped."""


def parameters(challenge: str) -> dict[str, str]:
    """Read a challenge strictly."""
    scheme, _, rest = challenge.partition(" ")
    assert scheme == "Bearer"
    parts = rest.split(", ")
    found = [PARAMETER.fullmatch(part) for part in parts]
    assert all(found), challenge
    read = [(match[1], match[2]) for match in found if match]
    assert len(dict(read)) == len(read)
    return dict(read)


def test_the_metadata_says_where_to_get_a_token_and_for_what() -> None:
    """RFC 9728 §2; scopes are those of the policies, less what is never granted."""
    assert orjson.loads(MCP.document()) == {
        "resource": "https://mail.example/mcp",
        "authorization_servers": ["https://login.example"],
        "scopes_supported": ["availability:read", "team:read", "unsubscribe:execute"],
        "bearer_methods_supported": ["header"],
        "resource_name": "MCP",
        "resource_documentation": "https://mailwarden.dev/docs/oauth",
    }


@pytest.mark.parametrize(
    ("uri", "url", "paths"),
    [
        ("https://h/mcp", "https://h/.well-known/oauth-protected-resource/mcp", {"", "/mcp"}),
        ("https://h:8/a/b", "https://h:8/.well-known/oauth-protected-resource/a/b", {"", "/a/b"}),
        ("https://h/", "https://h/.well-known/oauth-protected-resource", {""}),
    ],
)
def test_the_metadata_is_found_by_the_path_of_the_resource_and_at_the_root(
    uri: str, url: str, paths: set[str]
) -> None:
    """RFC 9728 §3.1."""
    resource = ProtectedResource.of("", uri, ["https://login.example"], [])
    assert resource.metadata_url == url
    assert resource.metadata_paths == {f"/.well-known/oauth-protected-resource{path}" for path in paths}


def test_without_an_authorization_server_nothing_is_published() -> None:
    """There is nowhere to send clients."""
    assert UNPUBLISHED.metadata_paths == frozenset()
    refused = UNPUBLISHED.challenge(unauthenticated("CREDENTIAL_MISSING", "m"))
    assert parameters(refused) == {"realm": "mailwarden"}


@pytest.mark.promise("rights.discovery")
def test_without_a_credential_a_client_is_told_where_to_begin() -> None:
    """No error code (RFC 6750 §3.1), the metadata (RFC 9728 §5.1), the scopes that change nothing."""
    assert parameters(MCP.challenge(unauthenticated("CREDENTIAL_MISSING", "m"))) == {
        "realm": "mailwarden",
        "scope": "availability:read team:read",
        "resource_metadata": "https://mail.example/.well-known/oauth-protected-resource/mcp",
    }


def test_a_refused_credential_is_an_invalid_token() -> None:
    """RFC 6750 §3.1, whatever was wrong with it."""
    for reason in ("CREDENTIAL_INVALID", "TOKEN_EXPIRED", "TOKEN_AUDIENCE_REFUSED", "PASSPORT_REVOKED"):
        assert parameters(MCP.challenge(unauthenticated(reason, "m")))["error"] == "invalid_token"


@pytest.mark.parametrize(
    ("wanted", "scope"),
    [
        (["audit:read"], "audit:read"),
        (["team:admin", "team:read"], "team:read"),
        (["mail:scan", "unsubscribe:execute", "unsubscribe:read"], "unsubscribe:read"),
        (["team:admin"], None),
        ([], None),
    ],
)
def test_a_request_that_is_known_asks_for_the_least_that_it_needs(
    wanted: list[str], scope: str | None
) -> None:
    """Of several that will do, one that reads; what nobody can get is not asked for."""
    challenge = MCP.challenge(unauthenticated("CREDENTIAL_MISSING", "m"), wanted=wanted)
    assert parameters(challenge).get("scope") == scope


@pytest.mark.promise("rights.step-up")
def test_a_missing_scope_is_asked_for_beside_those_held() -> None:
    """A client asks for what the challenge names, and would lose the rest (RFC 6750 §3.1)."""
    error = denied("SCOPE_MISSING", "m", scope="unsubscribe:execute")
    challenge = parameters(MCP.challenge(error, held={"mail:scan", "team:admin"}))
    assert (challenge["error"], challenge["scope"]) == ("insufficient_scope", "mail:scan unsubscribe:execute")
    assert challenge["resource_metadata"] == MCP.metadata_url


@pytest.mark.parametrize(
    "error",
    [
        denied("SCOPE_MISSING", "m", scope="team:admin"),
        denied("SCOPE_MISSING", "m"),
        denied("READ_ONLY", "m", scope="mail:scan"),
        denied("PEER_NOT_ALLOWED", "m"),
    ],
)
def test_what_no_token_can_mend_has_no_challenge(error: AppError) -> None:
    """Else a person would be asked for consent in vain."""
    assert MCP.challenge(error, held={"mail:scan"}) == ""


@pytest.mark.parametrize("scope", ['a" x="y', "a\\", "a\r\nSet-Cookie: b", "é", "a\x7f", "x" * 129])
def test_a_challenge_is_well_formed_whatever_a_scope_looks_like(scope: str) -> None:
    """Nothing that came over a wire gets out of its quotes."""
    error = denied("SCOPE_MISSING", "m", scope=scope)
    for text in (MCP.challenge(error), MCP.challenge(error, held={scope}), UNPUBLISHED.challenge(error)):
        if text:
            parameters(text)


def test_what_is_never_granted_is_what_our_own_server_does_not_grant() -> None:
    """Two processes, one truth."""
    assert ALL_SCOPES - GRANTABLE == NEVER_GRANTED


def test_the_least_scope_does_not_depend_on_the_order() -> None:
    """Policies are sets."""
    names = ["unsubscribe:execute", "mail:scan"]
    assert least_scope(names) == least_scope(reversed(names)) == "mail:scan"


@pytest.mark.parametrize(
    ("uri", "is_fit"),
    [
        ("https://mail.example/mcp", True),
        ("http://127.0.0.1:8001/mcp", True),
        ("http://mail.example/mcp", False),
        ('https://mail.example/"x', False),
        ("https://mail.example/a b", False),
        ("https://mail.example/é", False),
        ("https://mail.example/?a=b", False),
        ("https://mail.example/#", False),
        ("https://me@mail.example/", False),
        ("", False),
    ],
)
def test_only_an_address_that_fits_a_header_names_a_resource(uri: str, is_fit: bool) -> None:
    """RFC 8707 §2; it is written into headers as it is."""
    assert is_identifier(uri, is_production=False) is is_fit
