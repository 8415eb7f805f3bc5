"""Names for rights that other issuers gave, and what is remembered of those that were revoked here.

We keep no row of such a token, so that it is known by a hash of its text alone.
"""

import hashlib
import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from services.auth.domain.revocation import in_team
from services.auth.domain.strict_json import read_object
from services.common.audit import actor_of

KEEP_DAYS: Final = 366
MAX_KEEP_DAYS: Final = 3_660
# JWS and JWE in compact form (RFC 7515 §7.1, RFC 7516 §7.1): what a reader sees, and what proves it.
_COMPACT: Final = re.compile(r"(([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)(?:\.[A-Za-z0-9_-]*){0,2})\.[A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class ForeignRight:
    """A right of another issuer at the moment of its use. `issued_at` is unix time; None when not said."""

    token_root: str
    principal_root: str
    issued_at: float | None

    @classmethod
    def of(cls, token: str, principal: str, issued_at: float | None) -> "ForeignRight":
        """Name a token and whom it names."""
        return cls(token_root(token), principal_root(principal), issued_at)

    @property
    def roots(self) -> frozenset[str]:
        """What it falls with, in any team."""
        return frozenset({self.token_root, self.principal_root})

    def roots_in(self, team_id: str) -> frozenset[str]:
        """What a passport hangs on that is issued for this, in one team."""
        return frozenset(in_team(team_id, root) for root in self.roots)

    def is_revoked(self, revoked_at: Mapping[str, datetime], leeway_s: float) -> bool:
        """Whether it fell to one of these revocations. The issuer's clock may differ by the leeway."""
        if self.token_root in revoked_at:
            return True
        since = revoked_at.get(self.principal_root)
        if since is None:
            return False
        return self.issued_at is None or self.issued_at <= since.timestamp() + leeway_s


def token_root(text: str) -> str:
    """Name the root of one token.

    What proves a signed token is left out of the hash: the last character of base64url has bits that nobody
    reads, and ECDSA has two signatures for each, so that a revoked token would go on under another text.
    """
    compact = _COMPACT.fullmatch(text)
    known_by = compact[1] if compact is not None and "alg" in _json(compact[2]) else text
    return f"token:{hashlib.sha256(known_by.encode()).hexdigest()}"


def principal_root(principal: str) -> str:
    """Name the root of everything that names this principal. The name of audit events gives the same."""
    return f"principal:{hashlib.sha256(actor_of(principal).encode()).hexdigest()}"


def remembered_until(text: str, now: datetime, keep: timedelta) -> datetime:
    """Say how long a token has to be remembered: until it ends when its text says so, else for `keep`.

    The text is not verified. It need not be: another end would make it another token.
    """
    compact = _COMPACT.fullmatch(text)
    ends = _json(compact[3]).get("exp") if compact is not None else None
    if isinstance(ends, bool) or not isinstance(ends, int | float) or not ends >= 0:
        return now + keep
    # A day more than it says, for whatever leeway and clock there may be. "Never" is written as any far time.
    a_day, latest = timedelta(days=1), now + timedelta(days=MAX_KEEP_DAYS)
    stated = datetime.fromtimestamp(min(ends, latest.timestamp()), now.tzinfo)
    return min(max(stated, now) + a_day, latest)


def _json(segment: str) -> Mapping[str, Any]:
    try:
        return read_object(urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except ValueError:
        return {}
