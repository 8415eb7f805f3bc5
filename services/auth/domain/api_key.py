"""API keys: their form, their hash, when they count, and whom they name."""

import hashlib
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import Final

from services.auth.domain.refusals import key_expired, key_revoked
from services.auth.domain.scopes import TEAM_ADMIN
from services.auth.domain.team import Team
from services.common.identity import Caller, Restrictions, team_root

SECRET_BYTES: Final = 32
USE_NOTED_EVERY: Final = timedelta(minutes=1)
NO_RESTRICTIONS: Final = Restrictions()
OPERATOR: Final = "operator"
"""Creator of the keys that are made on the command line."""
_FORM: Final = re.compile(r"ma_[A-Za-z0-9_-]{43}")


def secret_of(random_bytes: bytes) -> str:
    """Write 32 random bytes as a key: `ma_` and 43 characters of base64url."""
    return "ma_" + urlsafe_b64encode(random_bytes).rstrip(b"=").decode()


def has_key_form(text: str) -> bool:
    """Whether text looks like one of our keys. Says nothing about whether it is one."""
    return _FORM.fullmatch(text) is not None


def key_root(key_id: str) -> str:
    """Name the root that the rights of a key hang on."""
    return f"key:{key_id}"


def hash_of(secret: str) -> bytes:
    """Hash a key for keeping and finding.

    Plain SHA-256: a key is 256 random bits, so there is nothing for a slow or salted hash to protect
    (no dictionary holds it), and the hash must be the same each time to be found by.
    """
    return hashlib.sha256(secret.encode()).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One key of a team, without its secret. Times are aware."""

    id: str
    team_id: str
    team_name: str
    label: str
    key_hash: bytes = field(repr=False)
    scopes: frozenset[str]
    restrictions: Restrictions = NO_RESTRICTIONS
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    creator: str = OPERATOR
    replaced_by: str | None = None

    @property
    def hint(self) -> str:
        """Enough to recognise a key, useless to use it."""
        return self.key_hash.hex()[:8]

    @property
    def root(self) -> str:
        """What rights that come from this key hang on."""
        return key_root(self.id)

    def works(self, now: datetime) -> bool:
        """Whether the key counts."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)

    @property
    def is_lasting_admin(self) -> bool:
        """Whether whoever holds it can always govern the team: an admin key without an end."""
        is_free = self.restrictions == NO_RESTRICTIONS and TEAM_ADMIN in self.scopes
        return is_free and self.revoked_at is None and self.expires_at is None

    def check(self, now: datetime) -> None:
        """Raise KEY_REVOKED or KEY_EXPIRED when the key no longer counts."""
        if self.revoked_at is not None:
            raise key_revoked()
        if self.expires_at is not None and self.expires_at <= now:
            raise key_expired()

    def needs_use_noted(self, now: datetime) -> bool:
        """Whether the last noted use is so old that this one should be written down."""
        return self.last_used_at is None or now - self.last_used_at >= USE_NOTED_EVERY

    def caller(self, team: Team) -> Caller:
        """Who calls with this key."""
        return Caller(
            team_id=team.id,
            team_name=team.name,
            principal=f"key:{self.id}",
            key_id=self.id,
            credential_kind="api_key",
            scopes=self.scopes,
            restrictions=self.restrictions,
            roots=frozenset({team_root(team.id), self.root}),
            limits=team.limits,
        )


class EnvironmentKeys:
    """The keys that the operator put into the environment, several at once for an overlap. Hashes only."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._hashes = tuple(hash_of(secret) for secret in secrets)

    @property
    def ids(self) -> frozenset[str]:
        """Ids of all of them."""
        return frozenset(_environment_id(known) for known in self._hashes)

    def find(self, key_hash: bytes) -> str | None:
        """Give the id of the key with this hash. Compares with every key, whatever matches first."""
        found: str | None = None
        for known in self._hashes:
            if compare_digest(known, key_hash):
                found = _environment_id(known)
        return found


def _environment_id(key_hash: bytes) -> str:
    return f"env:{key_hash.hex()[:8]}"
