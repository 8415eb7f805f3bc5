"""What a person gave to a client, and the one-time codes and refresh tokens that stand for it."""

import hashlib
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

CODE_LIFE: Final = timedelta(seconds=60)
REFRESH_LIFE: Final = timedelta(days=30)
GRANT_LIFE: Final = timedelta(days=180)
SESSION_LIFE: Final = timedelta(hours=1)
"""So long after signing in a person can allow and take back without signing in again."""
USE_NOTED_EVERY: Final = timedelta(minutes=1)
SECRET_BYTES: Final = 32
CODE_PREFIX: Final = "mac_"
REFRESH_PREFIX: Final = "mrt_"
CLIENT_SECRET_PREFIX: Final = "mcs_"  # noqa: S105  what it begins with
ACCESS_PREFIX: Final = "mat_"
_SECRET: Final = re.compile(r"(mac|mrt|mcs)_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who signed in. `key_id` is set when they did so with an admin key.

    `session_id` names the sign-in; it is empty until the sign-in was written down.
    """

    team_id: str
    team_name: str
    principal: str
    shown_as: str
    scopes: frozenset[str]
    key_id: str = ""
    session_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One sign-in of a person. What they allow in it hangs on it. Times are aware."""

    id: str
    team_id: str
    principal: str
    key_id: str
    method: Literal["key", "oidc"]
    created_at: datetime
    expires_at: datetime

    @property
    def root(self) -> str:
        """What rights that were given in this sign-in hang on."""
        return f"session:{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What one person allows one client at one resource. Times are aware.

    `person` is what the person is called where their team reads it: an e-mail address, or a key's hint.
    """

    id: str
    team_id: str
    client_id: str
    client_name: str
    principal: str
    key_id: str
    scopes: frozenset[str]
    resource: str
    created_at: datetime
    expires_at: datetime
    session_id: str = ""
    person: str = ""
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    @property
    def root(self) -> str:
        """What rights that come from this grant hang on."""
        return f"grant:{self.id}"

    def roots(self) -> tuple[str, ...]:
        """What the grant hangs on."""
        of_key = (f"key:{self.key_id}",) if self.key_id else ()
        of_session = (f"session:{self.session_id}",) if self.session_id else ()
        return (f"team:{self.team_id}", self.root, f"client:{self.client_id}", *of_key, *of_session)

    def counts(self, now: datetime) -> bool:
        """Whether it still stands."""
        return self.revoked_at is None and self.expires_at > now

    def needs_use_noted(self, now: datetime) -> bool:
        """Whether the last noted use is so old that this one should be written down."""
        return self.last_used_at is None or now - self.last_used_at >= USE_NOTED_EVERY


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldClient:
    """A client of which a team holds grants that stand. `last_used_at` is that of any of them."""

    id: str
    name: str
    grant_count: int
    since: datetime
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """An authorization code without its secret, and what it is bound to."""

    code_hash: bytes = field(repr=False)
    redirect_uri: str
    challenge: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token without its secret."""

    token_hash: bytes = field(repr=False)
    expires_at: datetime


def secret_of(prefix: str, random_bytes: bytes) -> str:
    """Write 32 random bytes as a secret of one kind."""
    return prefix + urlsafe_b64encode(random_bytes).rstrip(b"=").decode()


def has_form(text: str, prefix: str) -> bool:
    """Whether text looks like a secret of one kind."""
    return text.startswith(prefix) and _SECRET.fullmatch(text) is not None


def hash_of(secret: str) -> bytes:
    """Hash a secret for keeping and finding. It is 256 random bits, so nothing slower protects it better."""
    return hashlib.sha256(secret.encode()).digest()
