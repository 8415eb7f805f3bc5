"""What clients that live in a page may do: MCP Inspector in direct mode, web applications."""

from collections.abc import Iterable
from typing import Final

from services.common.cross_origin import CrossOrigin

_METHODS: Final = ("GET", "POST", "DELETE")
"""GET and DELETE are answered 405; a client that may not even ask takes that for a broken network."""
_ACCEPTED: Final = (
    "Authorization",
    "X-API-Key",
    "Content-Type",
    "MCP-Protocol-Version",
    "Mcp-Session-Id",
    "Mcp-Method",
    "Mcp-Name",
    "Last-Event-ID",
    "X-Request-Id",
)
"""What browsers need leave for. `Mcp-Method` and `Mcp-Name` come with MCP 2026-07-28."""
_EXPOSED: Final = (
    "WWW-Authenticate",
    "Mcp-Session-Id",
    "Retry-After",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Request-Id",
)


def pages_of(origins: Iterable[str]) -> CrossOrigin | None:
    """Say what pages of these origins may do; None where there are none."""
    allowed = frozenset(origins)
    return CrossOrigin(_METHODS, _ACCEPTED, _EXPOSED, allowed) if allowed else None
