"""Auth refuses to start on what is half set or weak, says what to set, and shows no secret."""

import os
from pathlib import Path
from typing import Any

import pytest

from services.auth.domain.modes import AuthMode, McpAuthMode
from services.auth.settings import AuthSettings, describe
from services.common.settings import MigrationSettings, read_settings

KEY = "p7Qw2-eR9tY4uI1oA6sD3fG8"
OTHER_KEY = "zX5cV0bN-mK2jH7gF4dS9aP6"
SECRET = "Vq3xN8ZtRk1mYw5cB7eJ2uHdL9sGaTf0"
PREVIOUS = "h4Jr9WzK2vQx7MtYb5NcE8gDs1LpAf3U"
JWKS = {
    "AUTH_JWT_JWKS_URL": "https://issuer.example/jwks.json",
    "AUTH_JWT_ISSUER": "https://issuer.example/",
    "AUTH_JWT_AUDIENCE": "mailwarden",
}
ISSUER = {
    "MCP_AUTH_MODE": "oauth",
    "MCP_OAUTH_INTROSPECTION_URL": "https://idp.example/introspect",
    "MCP_OAUTH_ISSUER": "https://idp.example",
    "MCP_RESOURCE_SERVER_URL": "https://mail.example/mcp",
}
NEEDED = {
    "DATABASE_URL": "postgresql://app:database-password@/auth",
    "TLS_CERT_FILE": "/c",
    "TLS_KEY_FILE": "/k",
    "TLS_CA_FILE": "/a",
    "PASSPORT_KEY_FILE": "/p",
}
OWNED = ("AUTH_", "MCP_", "AGENT_", "PASSPORT_", "TLS_", "DATABASE_", "MAILWARDEN_", "LISTEN")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in list(os.environ):
        if name.startswith(OWNED):
            monkeypatch.delenv(name)
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def settings(monkeypatch: pytest.MonkeyPatch, **values: str) -> AuthSettings:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return read_settings(AuthSettings)


def refusal(monkeypatch: pytest.MonkeyPatch, **values: str) -> str:
    with pytest.raises(SystemExit) as caught:
        settings(monkeypatch, **values)
    return str(caught.value)


def test_with_nothing_set_keys_of_the_database_are_taken(environment: pytest.MonkeyPatch) -> None:
    """The default mode needs no key in the environment."""
    read = settings(environment)
    assert (read.auth_mode, read.mcp_auth_mode) == (AuthMode.API_KEY, McpAuthMode.INHERIT)
    assert (read.agent_api_keys, read.jwt_secrets, read.auth_jwt_leeway_s) == ((), (), 30.0)


@pytest.mark.promise("rights.configuration")
@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"AUTH_MODE": "jwt"}, ["AUTH_MODE", "set AUTH_JWT_SECRET or AUTH_JWT_JWKS_URL"]),
        ({"AUTH_MODE": "hybrid"}, ["AUTH_MODE", "set AUTH_JWT_SECRET or AUTH_JWT_JWKS_URL"]),
        ({"MCP_AUTH_MODE": "jwt"}, ["MCP_AUTH_MODE", "set AUTH_JWT_SECRET or AUTH_JWT_JWKS_URL"]),
        ({"AUTH_MODE": "jwt", "AUTH_JWT_SECRET": SECRET, **JWKS}, ["both set", "unset one"]),
        ({**JWKS, "AUTH_JWT_ISSUER": ""}, ["needs AUTH_JWT_ISSUER"]),
        ({**JWKS, "AUTH_JWT_AUDIENCE": ""}, ["needs AUTH_JWT_AUDIENCE"]),
        ({"AUTH_JWT_SECRET": SECRET[:31]}, ["AUTH_JWT_SECRET is shorter than 32 bytes", "openssl rand"]),
        ({"AUTH_JWT_SECRET": "changeme" * 8}, ["AUTH_JWT_SECRET is made of well-known words"]),
        ({"AUTH_JWT_SECRET": "ab" * 32}, ["AUTH_JWT_SECRET has too few different characters"]),
        ({"AUTH_JWT_SECRET": SECRET[:16] * 4}, ["AUTH_JWT_SECRET repeats itself"]),
        (
            {"AUTH_JWT_SECRET": SECRET, "AUTH_JWT_SECRET_PREVIOUS": "weak"},
            ["AUTH_JWT_SECRET_PREVIOUS is shorter"],
        ),
        (
            {"AUTH_JWT_SECRET_PREVIOUS": PREVIOUS},
            ["AUTH_JWT_SECRET_PREVIOUS is set without", "set AUTH_JWT_SECRET"],
        ),
        ({"AUTH_JWT_SECRET": SECRET, "AGENT_API_KEY": SECRET}, ["are the same"]),
        ({"AGENT_API_KEY": KEY[:23]}, ["AGENT_API_KEY is shorter than 24 bytes", "openssl rand"]),
        ({"AGENT_API_KEY": "changeme-changeme-changeme"}, ["AGENT_API_KEY is made of well-known words"]),
        ({"AGENT_API_KEY": f"{KEY},weak"}, ["AGENT_API_KEY (number 2) is shorter"]),
        ({"AGENT_API_KEY": f"{KEY} {OTHER_KEY}"}, ["one word"]),
        ({"AGENT_API_KEY": f"{KEY}é"}, ["printable ASCII"]),
        ({"AGENT_API_KEY": KEY, "AGENT_API_KEY_FILE": "/nowhere"}, ["both set", "unset one"]),
        ({"AGENT_API_KEY_FILE": "/nowhere/keys"}, ["AGENT_API_KEY_FILE", "/nowhere/keys", "cannot be read"]),
        ({"AUTH_JWT_SECRET_FILE": "/nowhere/secret"}, ["AUTH_JWT_SECRET_FILE", "cannot be read"]),
        ({"AUTH_MODE": "open"}, ["AUTH_MODE", "'api_key', 'jwt' or 'hybrid'"]),
        ({"AUTH_MODE": "oauth"}, ["AUTH_MODE"]),
        ({"MCP_AUTH_MODE": "oauth"}, ["nobody to take tokens from", "OAUTH_LISTEN or MCP_OAUTH_INTROSP"]),
        ({**ISSUER, "MCP_AUTH_MODE": "jwt", "AUTH_JWT_SECRET": SECRET}, ["set MCP_AUTH_MODE=oauth or unset"]),
        ({"MCP_OAUTH_AUDIENCE": "x"}, ["MCP_OAUTH_AUDIENCE is set but", "set MCP_AUTH_MODE=oauth or unset"]),
        ({"MCP_OAUTH_CLIENT_SECRET": SECRET}, ["MCP_OAUTH_CLIENT_SECRET is set but MCP_AUTH_MODE"]),
        (
            {**ISSUER, "MCP_OAUTH_INTROSPECTION_URL": ""},
            ["nobody to take tokens from", "MCP_OAUTH_ISSUER is set without MCP_OAUTH_INTROSPECTION_URL"],
        ),
        (
            {**ISSUER, "MCP_OAUTH_INTROSPECTION_URL": "http://idp.example/i"},
            ["MCP_OAUTH_INTROSPECTION_URL must be https://"],
        ),
        (
            {**ISSUER, "MCP_OAUTH_INTROSPECTION_URL": "https://me:secret-word@idp.example/i"},
            ["MCP_OAUTH_INTROSPECTION_URL must be https:// without user name"],
        ),
        (
            {
                **ISSUER,
                "MCP_OAUTH_INTROSPECTION_URL": "http://127.0.0.1/i",
                "MAILWARDEN_ENV": "production",
            },
            ["MCP_OAUTH_INTROSPECTION_URL must be https://"],
        ),
        ({**ISSUER, "MCP_OAUTH_ISSUER": ""}, ["MCP_OAUTH_ISSUER is missing"]),
        ({**ISSUER, "MCP_OAUTH_ISSUER": "https://idp.example/#x"}, ["MCP_OAUTH_ISSUER must be https://"]),
        ({**ISSUER, "MCP_RESOURCE_SERVER_URL": ""}, ["MCP_RESOURCE_SERVER_URL is missing"]),
        ({**ISSUER, "MCP_RESOURCE_SERVER_URL": "mail"}, ["MCP_RESOURCE_SERVER_URL must be https://"]),
        ({**ISSUER, "MCP_OAUTH_CLIENT_ID": "us"}, ["is set without MCP_OAUTH_CLIENT_SECRET"]),
        ({**ISSUER, "MCP_OAUTH_CLIENT_SECRET": SECRET}, ["is set without MCP_OAUTH_CLIENT_ID"]),
        (
            {
                **ISSUER,
                "MCP_OAUTH_CLIENT_ID": "us",
                "MCP_OAUTH_CLIENT_SECRET": SECRET,
                "MCP_OAUTH_CLIENT_SECRET_FILE": "/nowhere",
            },
            ["MCP_OAUTH_CLIENT_SECRET and MCP_OAUTH_CLIENT_SECRET_FILE are both set"],
        ),
        ({**ISSUER, "MCP_OAUTH_TIMEOUT_SECONDS": "0"}, ["MCP_OAUTH_TIMEOUT_SECONDS"]),
        ({**ISSUER, "MCP_OAUTH_TIMEOUT_SECONDS": "31"}, ["MCP_OAUTH_TIMEOUT_SECONDS"]),
        ({**ISSUER, "MCP_OAUTH_TEAM_ID": "default"}, ["MCP_OAUTH_TEAM_ID"]),
        ({"AUTH_JWT_LEEWAY_S": "121"}, ["AUTH_JWT_LEEWAY_S", "120"]),
        ({"AUTH_JWT_LEEWAY_S": "-1"}, ["AUTH_JWT_LEEWAY_S", "0"]),
        ({"AUTH_JWT_LEEWAY_S": "nan"}, ["AUTH_JWT_LEEWAY_S"]),
        ({"AUTH_JWT_SECRET": SECRET, "AUTH_JWT_ALGORITHMS": "RS256"}, ["AUTH_JWT_ALGORITHMS", "HS256"]),
        ({**JWKS, "AUTH_JWT_ALGORITHMS": "RS256,HS256"}, ["AUTH_JWT_ALGORITHMS", "RS256, ES256, EdDSA"]),
        ({**JWKS, "AUTH_JWT_ALGORITHMS": "none"}, ["AUTH_JWT_ALGORITHMS"]),
        ({**JWKS, "AUTH_JWT_JWKS_URL": "http://issuer.example/jwks"}, ["must be https://"]),
        ({**JWKS, "AUTH_JWT_JWKS_URL": "https://user:pw@issuer.example/"}, ["without user name"]),
        ({**JWKS, "AUTH_JWT_JWKS_URL": "file:///etc/passwd"}, ["must be https://"]),
        ({**JWKS, "AUTH_JWT_JWKS_URL": "https://"}, ["must be https://"]),
        ({**JWKS, "AUTH_JWT_JWKS_URL": "https://[::1"}, ["must be https://"]),
        (
            {**JWKS, "AUTH_JWT_JWKS_URL": "http://127.0.0.1/jwks", "MAILWARDEN_ENV": "production"},
            ["must be https://"],
        ),
        ({"AUTH_JWT_ISSUER": "https://issuer.example/\n"}, ["AUTH_JWT_ISSUER"]),
        ({"PASSPORT_KEY_FILE": ""}, ["PASSPORT_KEY_FILE"]),
        ({"DATABASE_URL": "mysql://app:database-password@/auth"}, ["DATABASE_URL", "postgres"]),
    ],
)
def test_a_bad_configuration_is_refused_with_what_to_set(
    environment: pytest.MonkeyPatch, values: dict[str, str], told: list[str]
) -> None:
    """Each half-configured or weak case has its own words, none of them a secret."""
    message = refusal(environment, **values)
    for part in told:
        assert part in message
    for secret in (KEY[:23], OTHER_KEY, SECRET[:16], PREVIOUS, "changeme", "database-password", "user:pw"):
        assert secret not in message


def test_all_problems_are_told_at_once(environment: pytest.MonkeyPatch) -> None:
    """Nobody should have to start it five times."""
    message = refusal(environment, AGENT_API_KEY="weak", AUTH_JWT_SECRET="weak", AUTH_JWT_ALGORITHMS="none")
    assert all(part in message for part in ("AGENT_API_KEY is", "AUTH_JWT_SECRET is", "AUTH_JWT_ALGORITHMS:"))


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8080/jwks", "http://localhost/jwks", "http://[::1]:1/jwks", "https://a.example/j"],
)
def test_plain_http_is_for_loopback_in_development(environment: pytest.MonkeyPatch, url: str) -> None:
    """So that it can be tried without certificates."""
    read = settings(environment, **{**JWKS, "AUTH_MODE": "jwt", "AUTH_JWT_JWKS_URL": url})
    assert read.jwt_algorithms == {"RS256", "ES256", "EdDSA"}


def test_several_keys_count_at_once(environment: pytest.MonkeyPatch) -> None:
    """A rotation has an overlap instead of an outage."""
    assert settings(environment, AGENT_API_KEY=f" {KEY} , {OTHER_KEY},").agent_api_keys == (KEY, OTHER_KEY)


def test_secrets_may_come_from_files(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One key a line; a secret loses its final line break."""
    (tmp_path / "keys").write_text(f"{KEY}\n\n{OTHER_KEY}\n")
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    (tmp_path / "previous").write_text(PREVIOUS)
    read = settings(
        environment,
        AUTH_MODE="hybrid",
        AGENT_API_KEY_FILE=str(tmp_path / "keys"),
        AUTH_JWT_SECRET_FILE=str(tmp_path / "secret"),
        AUTH_JWT_SECRET_PREVIOUS_FILE=str(tmp_path / "previous"),
    )
    assert read.agent_api_keys == (KEY, OTHER_KEY)
    assert read.jwt_secrets == (SECRET, PREVIOUS)


def test_an_empty_secret_file_is_refused(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty mount must not mean "no check"."""
    (tmp_path / "empty").write_text("\n")
    assert "is empty" in refusal(environment, AUTH_JWT_SECRET_FILE=str(tmp_path / "empty"))


def test_modes_are_read_in_any_case(environment: pytest.MonkeyPatch) -> None:
    """As people write them."""
    read = settings(environment, AUTH_MODE=" Hybrid ", MCP_AUTH_MODE="JWT", AUTH_JWT_SECRET=SECRET)
    assert (read.auth_mode, read.mcp_auth_mode) == (AuthMode.HYBRID, McpAuthMode.JWT)


def test_neither_repr_nor_the_first_log_line_shows_a_secret(environment: pytest.MonkeyPatch) -> None:
    """Settings are what people print when they look for a mistake."""
    read = settings(environment, AUTH_MODE="hybrid", AUTH_JWT_SECRET=SECRET, AGENT_API_KEY=KEY)
    for text in (repr(read), str(describe(read))):
        assert SECRET not in text
        assert KEY not in text


@pytest.mark.parametrize(
    ("app", "owner"),
    [
        ("postgresql://a:x@/d", "postgresql://a:y@/d"),
        ("postgresql:///d", "postgresql://o@/d"),
        ("postgresql://a@/d", ""),
        ("sqlite://a@/d", "postgresql://o@/d"),
    ],
)
def test_migrations_need_an_owner_who_is_not_the_application(
    environment: pytest.MonkeyPatch, app: str, owner: str
) -> None:
    """The role that serves owns nothing."""
    environment.setenv("DATABASE_URL", app)
    environment.setenv("DATABASE_OWNER_URL", owner)
    with pytest.raises(SystemExit):
        read_settings(MigrationSettings)


def test_migrations_need_neither_certificates_nor_keys(environment: pytest.MonkeyPatch) -> None:
    """A migration job gets the two addresses and nothing else."""
    for name in NEEDED:
        environment.delenv(name)
    values: dict[str, Any] = {"DATABASE_URL": "postgresql://a@/d", "DATABASE_OWNER_URL": "postgresql://o@/d"}
    for name, value in values.items():
        environment.setenv(name, value)
    assert read_settings(MigrationSettings).database_owner_url == "postgresql://o@/d"


def test_tokens_of_another_issuer_are_for_the_mcp_edge_unless_said_otherwise(
    environment: pytest.MonkeyPatch,
) -> None:
    """The audience is what clients ask for: the canonical address of MCP (RFC 8707)."""
    read = settings(environment, **{**ISSUER, "MCP_RESOURCE_SERVER_URL": "https://mail.example/mcp/"})
    assert read.mcp_auth_mode is McpAuthMode.OAUTH
    assert read.introspection_rules.audience == "https://mail.example/mcp"
    assert read.introspection_rules.issuer == "https://idp.example"
    assert read.mcp_oauth_timeout_seconds == 8
    assert describe(read)["introspection"] is True
    named = settings(environment, **ISSUER, MCP_OAUTH_AUDIENCE="urn:mail")
    assert named.introspection_rules.audience == "urn:mail"


def test_the_secret_that_an_issuer_knows_us_by_comes_from_a_file(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And shows in no repr."""
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    read = settings(environment, **ISSUER, MCP_OAUTH_CLIENT_ID="us", MCP_OAUTH_CLIENT_SECRET_FILE=str(file))
    assert read.introspection_secret == SECRET
    assert SECRET not in repr(read)
