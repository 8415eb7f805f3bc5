"""What each plan allows, as data."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from services.common.errors import invalid
from services.common.identity import Limits

FREE: Final = "free"
TEAM_FACTOR: Final = 5
"""All credentials of a team together make as many requests as this many of them could."""


def _limits(requests_per_minute: int, *, keys: int, mailboxes: int, inboxes: int) -> Limits:
    return Limits(
        requests_per_minute=requests_per_minute,
        team_requests_per_minute=TEAM_FACTOR * requests_per_minute,
        max_keys=keys,
        max_mailboxes=mailboxes,
        max_inboxes=inboxes,
    )


PLANS: Final[Mapping[str, Limits]] = MappingProxyType(
    {
        FREE: _limits(60, keys=5, mailboxes=1, inboxes=10),
        "pro": _limits(300, keys=20, mailboxes=5, inboxes=100),
        "enterprise": _limits(600, keys=50, mailboxes=25, inboxes=500),
    }
)


def checked_plan(name: str) -> str:
    """Take a plan's name. Raises AppError INVALID_ARGUMENT PLAN_UNKNOWN."""
    if name not in PLANS:
        raise invalid("PLAN_UNKNOWN", f"There are the plans {', '.join(PLANS)}.", field="plan")
    return name
