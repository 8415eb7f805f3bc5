"""Which process gets which of the person's settings."""

import pytest

from services.cli.environment import OWNERS, ROOT, environment_of


@pytest.mark.parametrize(
    ("name", "owners"),
    [
        ("AUTH_JWT_SECRET", {"auth"}),
        ("AGENT_API_KEY", {"auth"}),
        ("MCP_AUTH_MODE", {"auth"}),
        ("GMAIL_QUERY", {"mail_core"}),
        ("GOOGLE_TOKEN_URI", {"mail_core"}),
        ("MCP_ENABLE_MUTATION_TOOLS", {"edge_mcp"}),
        ("MCP_RESOURCE_SERVER_URL", {"auth", "edge_mcp"}),
        ("SANDBOX_QUOTA_TABLE", {"sandbox"}),
        ("MCP_OAUTH_CLIENT_SECRET", {"auth"}),
        ("MCP_OAUTH_ISSUER", {"auth", "edge_mcp"}),
        ("OIDC_CLIENT_SECRET", {"auth"}),
        ("OAUTH_TOKEN_TTL_S", {"auth"}),
        ("OAUTH_ISSUER", {"auth", "edge_rest", "edge_mcp", "edge_a2a"}),
        ("REDIS_URL", {"auth", "edge_rest", "edge_mcp", "edge_a2a"}),
        ("LOG_LEVEL", set(OWNERS)),
        ("HTTPS_PROXY", set(OWNERS)),
    ],
)
def test_a_setting_reaches_its_owners_and_nobody_else(name: str, owners: set[str]) -> None:
    """A secret of one service is not in the memory of another."""
    assert {service for service in OWNERS if name in environment_of(service, {name: "x"})} == owners


@pytest.mark.parametrize("name", ["DATABASE_URL", "LISTEN", "READY_FILE", "TLS_KEY_FILE", "AUTH_ADDRESS"])
def test_what_the_command_decides_is_not_taken_from_the_shell(name: str) -> None:
    """The administrator's DATABASE_URL, above all, is for provisioning only."""
    assert all(name not in environment_of(service, {name: "x"}) for service in OWNERS)


def test_services_find_our_code_wherever_the_command_was_called() -> None:
    """`mailwarden` may run in any folder."""
    assert environment_of("auth", {})["PYTHONPATH"] == str(ROOT)
    assert (ROOT / "services" / "cli").is_dir()
