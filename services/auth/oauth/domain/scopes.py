"""Which scopes a client can get, and what each lets it do in plain words."""

from collections.abc import Iterable
from typing import Final

from services.auth.oauth.domain.errors import invalid_scope

WORDS: Final = {
    "availability:read": "See when you are free or busy. Not what your events are about.",
    "available_meeting_intervals:read": "Work out times at which you could meet.",
    "mail:scan": "Look through your mail to find senders and newsletters, and put labels on it.",
    "unsubscribe:read": "See which mailing lists you could leave, and which ones you have left.",
    "unsubscribe:execute": "Unsubscribe you from mailing lists. This cannot always be undone.",
    "unsubscribe:digest": "Write you a digest of your mailing lists.",
    "team:read": "See your team, its plan and the names of its keys. Never the keys themselves.",
    "audit:read": "Read the record of what was done in your team.",
}
"""`team:admin` is not here: whoever holds it can make keys, and a token must never make credentials."""

GRANTABLE: Final = frozenset(WORDS)
CHANGING: Final = frozenset({"mail:scan", "unsubscribe:execute", "unsubscribe:digest"})
"""Those that are marked on the page, and never ticked unless the client asked for them by name."""


def requested_scopes(text: str, allowed: Iterable[str]) -> frozenset[str]:
    """Read what a client asks for: nothing named means all that are allowed.

    What we do not know (`offline_access`, say) grants nothing. Raises OAuthError invalid_scope when
    nothing is left.
    """
    possible = frozenset(allowed) & GRANTABLE
    found = (frozenset(text.split()) & possible) if text.strip() else possible
    if not found:
        raise invalid_scope()
    return found


def in_order(scopes: Iterable[str]) -> tuple[str, ...]:
    """Put scopes into the order in which people read them."""
    held = frozenset(scopes)
    return tuple(name for name in WORDS if name in held)
