"""Who is calling, and how a backend convinces itself of it (ADR 0002).

A passport is a compact JWS: EdDSA, `typ` = `passport+jwt`, `aud` = the backend. Auth writes it from a
`Caller`, backends read it back into one; both directions live here so that they cannot drift.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Protocol
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.common.errors import AppError, unauthenticated

PASSPORT_TYPE: Final = "passport+jwt"
PASSPORT_ISSUER: Final = "mailwarden-auth"
PASSPORT_LIFE_S: Final = 60
PASSPORT_ALGORITHM: Final = "EdDSA"
AUDIENCES: Final = ("mail_core", "auth")
PASSPORT_LEEWAY_S: Final = 5
_MAX_CACHED: Final = 10_000
_MAX_TOKEN_BYTES: Final = 10_240


@dataclass(frozen=True, slots=True)
class Restrictions:
    """What a credential narrows beyond its scopes. Empty fields restrict nothing."""

    read_only: bool = False
    label_prefix: str = ""
    mailbox_ids: frozenset[str] = frozenset()

    @property
    def is_within_team(self) -> bool:
        """Whether only a part of what the team owns is in reach."""
        return bool(self.label_prefix or self.mailbox_ids)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the team's plan allows. 0 means none."""

    requests_per_minute: int = 0
    team_requests_per_minute: int = 0
    max_keys: int = 0
    max_mailboxes: int = 0
    max_inboxes: int = 0

    @classmethod
    def from_claim(cls, claim: Mapping[str, Any]) -> "Limits":
        """Read a passport's claim. Raises TypeError when a limit is missing or is no whole number."""
        limits = cls(**claim)
        if set(claim) != _LIMIT_NAMES or any(type(value) is not int for value in claim.values()):
            raise TypeError("limits are whole numbers, all of them")
        return limits


_LIMIT_NAMES: Final = frozenset(field.name for field in fields(Limits))


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling. `credential_kind` is `api_key`, `jwt` or `access_token`.

    `roots` is all that this right hangs on, as `<kind>:<id>`; when one is revoked, so is the passport.
    `issued_at` is when a passport said so, in unix time; 0 before there is one.
    """

    team_id: str
    team_name: str
    principal: str
    key_id: str
    credential_kind: str
    scopes: frozenset[str]
    restrictions: Restrictions = Restrictions()
    roots: frozenset[str] = frozenset()
    limits: Limits = Limits()
    issued_at: float = field(default=0.0, compare=False)

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
            "roots": sorted(self.roots),
            "limits": asdict(self.limits),
        }

    @classmethod
    def from_claims(cls, claims: Mapping[str, Any]) -> "Caller":
        """Read the caller from passport claims. Raises KeyError, TypeError, ValueError when one is unfit."""
        team_id = str(UUID(claims["team"]))
        return cls(
            team_id=team_id,
            team_name=claims["team_name"],
            principal=claims["sub"],
            key_id=claims["key"],
            credential_kind=claims["kind"],
            scopes=frozenset(claims["scope"].split()),
            restrictions=Restrictions(
                claims["read_only"], claims["label_prefix"], frozenset(claims["mailboxes"])
            ),
            roots=_roots(claims["roots"], team_id),
            limits=Limits.from_claim(claims["limits"]),
            issued_at=float(claims.get("iat", 0.0)),
        )


def team_root(team_id: str) -> str:
    """Name the root that every right of a team hangs on."""
    return f"team:{team_id}"


def _roots(claim: Any, team_id: str) -> frozenset[str]:
    """Read the roots. A passport without them could not be revoked, so there is none."""
    roots = frozenset(claim)
    if not isinstance(claim, list) or team_root(team_id) not in roots:
        raise ValueError("a passport hangs on its team at least")
    return roots


class Revoked(Protocol):
    """Knows what was revoked lately."""

    def voids(self, roots: Iterable[str], issued_at: float) -> bool:
        """Whether a right of these roots, given at that unix time, was taken back since."""
        ...

    def watched(self, roots: frozenset[str], lost: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `lost` when one of these roots is revoked while the block runs."""
        ...


class _NothingRevoked:
    def voids(self, roots: Iterable[str], issued_at: float) -> bool:
        del roots, issued_at
        return False

    def watched(self, roots: frozenset[str], lost: Callable[[], None]) -> AbstractContextManager[None]:
        del roots, lost
        return nullcontext()


NOTHING_REVOKED: Final[Revoked] = _NothingRevoked()


@dataclass(frozen=True, slots=True)
class _Checked:
    """A passport that was verified. Times are unix time in seconds."""

    caller: Caller
    key_id: str
    issued_at: float
    expires_at: float


FindPassportKey = Callable[[str], Awaitable[Ed25519PublicKey | None]]
"""Gives auth's public key of a key id, or None when auth does not know it."""


class PassportVerifier:
    """Checks passports for one backend. A passport that was checked is remembered for its life."""

    def __init__(
        self,
        audience: str,
        find_key: FindPassportKey,
        revoked: Revoked = NOTHING_REVOKED,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Check passports for `audience`. `clock` says how long a checked one is remembered, in unix time."""
        self._audience = audience
        self._find_key = find_key
        self._revoked = revoked
        self._clock = clock
        self._known: OrderedDict[bytes, _Checked] = OrderedDict()

    async def verify(self, token: str) -> Caller:
        """Give the caller that a passport names.

        Raises UNAUTHENTICATED: PASSPORT_MISSING, PASSPORT_EXPIRED, PASSPORT_INVALID, PASSPORT_REVOKED.
        """
        if not token:
            raise unauthenticated("PASSPORT_MISSING", "The call carries no passport.")
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is None or known.expires_at <= self._clock():
            known = await self._check(token)
            self._remember(digest, known)
        elif await self._find_key(known.key_id) is None:
            # Its key was dropped since: it may have been stolen.
            raise _invalid_passport()
        self.check_standing(known.caller, known.issued_at)
        return known.caller

    def watched(self, caller: Caller, lost: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `lost` when what the caller's right hangs on is revoked while the block runs."""
        return self._revoked.watched(caller.roots, lost)

    def check_standing(self, caller: Caller, since: float) -> None:
        """Raise UNAUTHENTICATED PASSPORT_REVOKED when what the caller's right hangs on was revoked since."""
        if self._revoked.voids(caller.roots, since):
            raise unauthenticated("PASSPORT_REVOKED", "The credential was revoked.")

    async def _check(self, token: str) -> _Checked:
        if len(token) > _MAX_TOKEN_BYTES:
            raise _invalid_passport()
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError:
            raise _invalid_passport() from None
        if header.get("typ") != PASSPORT_TYPE or header.get("alg") != PASSPORT_ALGORITHM:
            raise _invalid_passport()
        key_id = str(header.get("kid", ""))
        key = await self._find_key(key_id)
        if key is None:
            raise _invalid_passport()
        claims = self._decode(token, key)
        return _Checked(_caller_from(claims), key_id, float(claims["iat"]), float(claims["exp"]))

    def _decode(self, token: str, key: Ed25519PublicKey) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[PASSPORT_ALGORITHM],
                audience=self._audience,
                issuer=PASSPORT_ISSUER,
                leeway=PASSPORT_LEEWAY_S,
                options={"require": ["exp", "iat", "aud", "iss", "sub"], "strict_aud": True},
            )
        except jwt.ExpiredSignatureError:
            raise unauthenticated("PASSPORT_EXPIRED", "The passport has expired.") from None
        except jwt.InvalidTokenError:
            raise _invalid_passport() from None

    def _remember(self, digest: bytes, checked: _Checked) -> None:
        self._known[digest] = checked
        if len(self._known) > _MAX_CACHED:
            self._known.popitem(last=False)


def _caller_from(claims: Mapping[str, Any]) -> Caller:
    try:
        return Caller.from_claims(claims)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _invalid_passport() from None


def _invalid_passport() -> AppError:
    return unauthenticated("PASSPORT_INVALID", "The passport cannot be accepted.")
