"""Access tokens: `mat_` and a JWS whose claims follow RFC 9068. No cryptography here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from services.auth.oauth.domain.grants import ACCESS_PREFIX

TYPE: Final = "at+jwt"
ALGORITHM: Final = "ES256"
MIN_LIFE_S: Final = 300
MAX_LIFE_S: Final = 86_400
DEFAULT_LIFE_S: Final = 3_600
MAX_CHARS: Final = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """What an access token says. Times are unix time in whole seconds."""

    issuer: str
    resource: str
    principal: str
    client_id: str
    scopes: frozenset[str]
    issued_at: int
    expires_at: int
    id: str
    team_id: str
    roots: tuple[str, ...]

    def root(self, kind: str) -> str:
        """Give the id of the root of one kind; empty when there is none."""
        return next((root.removeprefix(f"{kind}:") for root in self.roots if root.startswith(f"{kind}:")), "")

    def to_claims(self) -> dict[str, Any]:
        """Write the claims to sign."""
        return {
            "iss": self.issuer,
            "aud": self.resource,
            "sub": self.principal,
            "client_id": self.client_id,
            "scope": " ".join(sorted(self.scopes)),
            "iat": self.issued_at,
            "exp": self.expires_at,
            "jti": self.id,
            "team": self.team_id,
            "roots": list(self.roots),
        }

    @classmethod
    def from_claims(cls, claims: Mapping[str, Any]) -> "AccessToken":
        """Read verified claims. Raises KeyError, TypeError, ValueError, AttributeError when one is unfit."""
        return cls(
            issuer=claims["iss"],
            resource=claims["aud"],
            principal=claims["sub"],
            client_id=claims["client_id"],
            scopes=frozenset(claims["scope"].split()),
            issued_at=int(claims["iat"]),
            expires_at=int(claims["exp"]),
            id=claims["jti"],
            team_id=str(UUID(claims["team"])),
            roots=tuple(str(root) for root in claims["roots"]),
        )


def is_access_token(text: str) -> bool:
    """Whether text looks like an access token of ours."""
    return text.startswith(ACCESS_PREFIX)
