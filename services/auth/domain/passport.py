"""What a passport says and how long it lives (ADR 0002)."""

from dataclasses import dataclass
from typing import Any

from services.common.errors import invalid
from services.common.identity import AUDIENCES, PASSPORT_ISSUER, PASSPORT_LIFE_S, Caller


@dataclass(frozen=True, slots=True)
class Authenticated:
    """Whom a credential names, and until when (unix time in seconds; None: no end of its own)."""

    caller: Caller
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """A passport before it is signed. Times are unix time in whole seconds."""

    caller: Caller
    audience: str
    issued_at: int
    expires_at: int
    id: str

    @classmethod
    def about(cls, who: Authenticated, audience: str, now_s: float, statement_id: str) -> "Statement":
        """State who is calling, for at most a minute and never past the credential's own end."""
        ends = [now_s + PASSPORT_LIFE_S]
        if who.expires_at is not None:
            ends.append(who.expires_at)
        return cls(who.caller, audience, int(now_s), int(min(ends)), statement_id)

    def to_claims(self) -> dict[str, Any]:
        """Write the claims to sign."""
        return {
            **self.caller.to_claims(),
            "iss": PASSPORT_ISSUER,
            "aud": self.audience,
            "iat": self.issued_at,
            "exp": self.expires_at,
            "jti": self.id,
        }


def check_audience(audience: str) -> None:
    """Raise INVALID_ARGUMENT AUDIENCE_UNKNOWN for a backend that there is not."""
    if audience not in AUDIENCES:
        raise invalid("AUDIENCE_UNKNOWN", f"The audience must be {' or '.join(AUDIENCES)}.", field="audience")
