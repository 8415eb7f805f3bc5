"""What a credential may do: the scopes that exist, and how a token names them."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from services.common.errors import invalid

MAIL_SCOPES: Final = frozenset(
    {
        "availability:read",
        "available_meeting_intervals:read",
        "mail:scan",
        "unsubscribe:read",
        "unsubscribe:execute",
        "unsubscribe:digest",
    }
)
TEAM_ADMIN: Final = "team:admin"
ALL_SCOPES: Final = MAIL_SCOPES | {"team:read", TEAM_ADMIN, "audit:read"}
_CLAIMS: Final = ("scope", "scopes", "scp")
"""RFC 8693 §4.2 and the two names that issuers use instead of it."""


def chosen_scopes(names: Iterable[str]) -> frozenset[str]:
    """Take the scopes that an operator chose; none chosen means those for mail.

    What reaches over the team and its history is given by name only.

    Raises AppError INVALID_ARGUMENT SCOPE_UNKNOWN.
    """
    chosen = frozenset(names)
    if unknown := chosen - ALL_SCOPES:
        message = f"{len(unknown)} of the scopes do not exist. There are: {', '.join(sorted(ALL_SCOPES))}."
        raise invalid("SCOPE_UNKNOWN", message, field="scopes")
    return chosen or MAIL_SCOPES


def granted_scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Read the scopes of a token. What we do not know, or cannot read, grants nothing."""
    return frozenset(name for claim in _CLAIMS for name in _names(claims.get(claim))) & ALL_SCOPES


def _names(value: object) -> list[str]:
    if isinstance(value, str):
        return value.split()
    if isinstance(value, list):
        return [name for name in value if isinstance(name, str)]
    return []
