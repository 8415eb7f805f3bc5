"""Who is calling, and how a backend convinces itself of it (ADR 0002).

A passport is a compact JWS: EdDSA, `typ` = `passport+jwt`, `aud` = the backend. Auth writes it from a
`Caller`, backends read it back into one; both directions live here so that they cannot drift.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.common.errors import AppError, unauthenticated

PASSPORT_TYPE: Final = "passport+jwt"
PASSPORT_ISSUER: Final = "mailwarden-auth"
PASSPORT_LIFE_S: Final = 60
PASSPORT_ALGORITHM: Final = "EdDSA"
AUDIENCES: Final = ("mail_core", "auth")
_LEEWAY_S: Final = 5
_MAX_CACHED: Final = 10_000
_MAX_TOKEN_BYTES: Final = 8_192


@dataclass(frozen=True, slots=True)
class Restrictions:
    """What a credential narrows beyond its scopes. Empty fields restrict nothing."""

    read_only: bool = False
    label_prefix: str = ""
    mailbox_ids: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling. `credential_kind` is `api_key` or `jwt`."""

    team_id: str
    team_name: str
    principal: str
    key_id: str
    credential_kind: str
    scopes: frozenset[str]
    restrictions: Restrictions = Restrictions()

    @property
    def log_name(self) -> str:
        """How logs name the caller: a token's principal is its issuer's to choose, and often an address."""
        if self.credential_kind == "api_key":
            return self.principal
        return f"{self.credential_kind}:{hashlib.sha256(self.principal.encode()).hexdigest()[:12]}"

    def to_claims(self) -> dict[str, Any]:
        """Write the caller as passport claims."""
        return {
            "sub": self.principal,
            "team": self.team_id,
            "team_name": self.team_name,
            "key": self.key_id,
            "kind": self.credential_kind,
            "scope": " ".join(sorted(self.scopes)),
            "read_only": self.restrictions.read_only,
            "label_prefix": self.restrictions.label_prefix,
            "mailboxes": sorted(self.restrictions.mailbox_ids),
        }

    @classmethod
    def from_claims(cls, claims: Mapping[str, Any]) -> "Caller":
        """Read the caller from passport claims. Raises KeyError, TypeError, ValueError when one is unfit."""
        return cls(
            team_id=str(UUID(claims["team"])),
            team_name=claims["team_name"],
            principal=claims["sub"],
            key_id=claims["key"],
            credential_kind=claims["kind"],
            scopes=frozenset(claims["scope"].split()),
            restrictions=Restrictions(
                claims["read_only"], claims["label_prefix"], frozenset(claims["mailboxes"])
            ),
        )


FindPassportKey = Callable[[str], Awaitable[Ed25519PublicKey | None]]
"""Gives auth's public key of a key id, or None when auth does not know it."""


class PassportVerifier:
    """Checks passports for one backend. A passport that was checked is remembered for its life."""

    def __init__(
        self, audience: str, find_key: FindPassportKey, clock: Callable[[], float] = time.time
    ) -> None:
        """Check passports for `audience`. `clock` says how long a checked one is remembered, in unix time."""
        self._audience = audience
        self._find_key = find_key
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()

    async def verify(self, token: str) -> Caller:
        """Give the caller that a passport names.

        Raises UNAUTHENTICATED: PASSPORT_MISSING, PASSPORT_EXPIRED, PASSPORT_INVALID.
        """
        if not token:
            raise unauthenticated("PASSPORT_MISSING", "The call carries no passport.")
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None and known[0] > self._clock():
            return known[1]
        claims = await self._check(token)
        caller = _caller_from(claims)
        self._remember(digest, float(claims["exp"]), caller)
        return caller

    async def _check(self, token: str) -> dict[str, Any]:
        if len(token) > _MAX_TOKEN_BYTES:
            raise _invalid_passport()
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError:
            raise _invalid_passport() from None
        if header.get("typ") != PASSPORT_TYPE or header.get("alg") != PASSPORT_ALGORITHM:
            raise _invalid_passport()
        key = await self._find_key(str(header.get("kid", "")))
        if key is None:
            raise _invalid_passport()
        return self._decode(token, key)

    def _decode(self, token: str, key: Ed25519PublicKey) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[PASSPORT_ALGORITHM],
                audience=self._audience,
                issuer=PASSPORT_ISSUER,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iat", "aud", "iss", "sub"], "strict_aud": True},
            )
        except jwt.ExpiredSignatureError:
            raise unauthenticated("PASSPORT_EXPIRED", "The passport has expired.") from None
        except jwt.InvalidTokenError:
            raise _invalid_passport() from None

    def _remember(self, digest: bytes, expires_at: float, caller: Caller) -> None:
        self._known[digest] = (expires_at, caller)
        if len(self._known) > _MAX_CACHED:
            self._known.popitem(last=False)


def _caller_from(claims: Mapping[str, Any]) -> Caller:
    try:
        return Caller.from_claims(claims)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _invalid_passport() from None


def _invalid_passport() -> AppError:
    return unauthenticated("PASSPORT_INVALID", "The passport cannot be accepted.")
