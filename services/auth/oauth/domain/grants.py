"""What a person gave to a client, and the one-time codes and refresh tokens that stand for it."""

import hashlib
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

CODE_LIFE: Final = timedelta(seconds=60)
REFRESH_LIFE: Final = timedelta(days=30)
GRANT_LIFE: Final = timedelta(days=180)
SECRET_BYTES: Final = 32
CODE_PREFIX: Final = "mac_"
REFRESH_PREFIX: Final = "mrt_"
CLIENT_SECRET_PREFIX: Final = "mcs_"  # noqa: S105  what it begins with
ACCESS_PREFIX: Final = "mat_"
_SECRET: Final = re.compile(r"(mac|mrt|mcs)_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who signed in. `key_id` is set when they did so with an admin key."""

    team_id: str
    team_name: str
    principal: str
    shown_as: str
    scopes: frozenset[str]
    key_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What one person allows one client at one resource. Times are aware."""

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

    def roots(self) -> tuple[str, ...]:
        """What the grant hangs on."""
        of_key = (f"key:{self.key_id}",) if self.key_id else ()
        return (f"team:{self.team_id}", f"grant:{self.id}", f"client:{self.client_id}", *of_key)


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
