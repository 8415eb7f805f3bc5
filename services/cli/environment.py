"""Which of the person's settings reach which process.

A variable that belongs to some processes is withheld from the others: mail_core never sees an API key,
auth never sees a Google secret. What belongs to nobody (PATH, proxies, LOG_LEVEL, OTEL_…) reaches all.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import services

ROOT: Final = Path(services.__path__[0]).parent

_COUNTING: Final = ("REDIS_URL", "TRUSTED_PROXIES", "RATE_LIMIT_")
_EDGE: Final = (*_COUNTING, "MAX_STREAMS_PER_CREDENTIAL", "OAUTH_ISSUER")

OWNERS: Final[Mapping[str, tuple[str, ...]]] = {
    "auth": (
        "AUTH_", "AUDIT_", "AGENT_API_KEY", "MCP_AUTH_MODE", "MCP_OAUTH_", "MCP_RESOURCE_SERVER_URL",
        "OAUTH_", "OIDC_", "PASSPORT_", *_COUNTING,
    ),
    "mail_core": (
        "GOOGLE_", "GMAIL_", "SCAN_", "TRIAGE_", "LABEL_", "EGRESS_", "MASTER_KEY_", "STRANDS_",
        "UNSUBSCRIBE_", "WORKER_",
    ),
    "edge_rest": _EDGE,
    "edge_mcp": (
        *_EDGE, "MCP_ENABLE_MUTATION_TOOLS", "MCP_ALLOWED_", "MCP_RESOURCE_SERVER_URL", "MCP_OAUTH_ISSUER",
    ),
    "edge_a2a": (*_EDGE, "A2A_"),
    "sandbox": ("SANDBOX_",),
}  # fmt: skip
"""Prefixes of the variables that belong to a process and to it alone, unless others name them too."""

_OURS: Final = frozenset(
    {
        "DATABASE_URL", "DATABASE_OWNER_URL", "AUTH_ADDRESS", "MAIL_CORE_ADDRESS", "LISTEN", "SENDERS_LISTEN",
        "A2A_GRPC_LISTEN", "READY_FILE", "PUBLIC_URL", "TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CA_FILE",
        "OAUTH_LISTEN", "OAUTH_RESOURCES", "OAUTH_KEY_FILE",
        "MAKEFLAGS", "MAKELEVEL", "MFLAGS",
    }
)  # fmt: skip
"""Variables that this command decides, so that what the person's shell holds of them is not passed on."""


def environment_of(service: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """Choose what a process gets of the person's environment, and where it finds our code."""
    chosen = {name: value for name, value in inherited.items() if _is_for(service, name)}
    return chosen | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def _is_for(service: str, name: str) -> bool:
    if name in _OURS:
        return False
    owners = {owner for owner, prefixes in OWNERS.items() if name.startswith(prefixes)}
    return not owners or service in owners
