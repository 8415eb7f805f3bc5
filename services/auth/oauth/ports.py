"""What the authorization server wants from the world outside of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from services.auth.oauth.domain.clients import Client
from services.auth.oauth.domain.grants import Code, Grant, Person, RefreshToken
from services.common.audit import AuditEvent
from services.common.identity import Caller

Clock = Callable[[], datetime]
"""Gives the time, aware."""

RandomBytes = Callable[[int], bytes]
"""Gives that many unpredictable bytes."""


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Whom an API key names, and when it ends by itself."""

    caller: Caller
    expires_at: datetime | None = None


class ApiKeys(Protocol):
    """API keys, by secret and by id."""

    async def by_secret(self, secret: str) -> KeyHolder | None:
        """Give whom a key names now; None when it is none, revoked or expired."""
        ...

    async def by_id(self, team_id: str, key_id: str) -> KeyHolder | None:
        """Give whom a key names now; None when it is none of the team, revoked or expired."""
        ...


class Clients(Protocol):
    """Clients that registered."""

    async def find(self, client_id: str) -> Client | None:
        """Give a client."""
        ...

    async def add(self, client: Client, at: datetime) -> bool:
        """Keep a new client; False when there are as many as may be."""
        ...

    async def note_use(self, client_id: str, at: datetime) -> None:
        """Write down that a person agreed to a client. One that did not register is passed over."""
        ...


class ClientDocuments(Protocol):
    """Clients that describe themselves at an address of theirs."""

    async def fetch(self, url: str) -> Client:
        """Give the client. Raises OAuthError."""
        ...


@dataclass(frozen=True, slots=True)
class Redemption:
    """What a code must be bound to, and what it gives. `proves` judges the challenge."""

    client_id: str
    redirect_uri: str
    resource: str
    proves: Callable[[str], bool]
    refresh: RefreshToken
    at: datetime


class Grants(Protocol):
    """Grants, codes and refresh tokens. Each method is one transaction."""

    async def add(self, grant: Grant, code: Code, event: AuditEvent) -> None:
        """Keep what a person gave, and the code for it."""
        ...

    async def redeem(self, code_hash: bytes, redemption: Redemption) -> Grant | None:
        """Take a code, once, and keep the refresh token that it gives.

        A code that was used before revokes its grant. None when it is unknown, used, expired, or bound to
        something else.
        """
        ...

    async def rotate(
        self, token_hash: bytes, client_id: str, fresh: RefreshToken, at: datetime
    ) -> Grant | None:
        """Put a refresh token in the place of another, once.

        One that was used before revokes its grant. None when it is unknown, used, expired, of another
        client, or its grant ended.
        """
        ...

    async def find(self, team_id: str, grant_id: str, at: datetime) -> Grant | None:
        """Give a grant that still counts."""
        ...

    async def find_by_refresh(self, token_hash: bytes, at: datetime) -> Grant | None:
        """Give the grant of a refresh token that still counts."""
        ...

    async def revoke(self, grant: Grant, at: datetime, event: AuditEvent) -> None:
        """End a grant and all that came of it."""
        ...

    async def revoke_token(
        self, team_id: str, token_id: str, expires_at: datetime, event: AuditEvent
    ) -> None:
        """End one access token, which would have ended by itself then."""
        ...

    async def is_token_revoked(self, team_id: str, token_id: str) -> bool:
        """Whether an access token was ended."""
        ...


class TokenKeys(Protocol):
    """The keys that access tokens are signed with."""

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Make the JWS that says this."""
        ...

    def verify(self, token: str) -> dict[str, Any] | None:
        """Give what a genuine token says, its times unjudged; None for any other."""
        ...

    def public_jwks(self) -> dict[str, Any]:
        """Write the public keys as a JWK Set, the newest first."""
        ...


class Seals(Protocol):
    """Writes down what a browser carries for us, so that it can neither be read nor changed."""

    def seal(self, purpose: str, content: Mapping[str, Any], life_s: int) -> str:
        """Write it down for one purpose and a time."""
        ...

    def open(self, purpose: str, sealed: str) -> dict[str, Any] | None:
        """Read it back; None when it is not ours, for another purpose, or too old."""
        ...


class IdentityProvider(Protocol):
    """Signs people in elsewhere (OpenID Connect)."""

    async def start(self, state: Callable[[str, str], str]) -> str:
        """Give the address to send a person to. `state(nonce, verifier)` writes what is remembered."""
        ...

    async def finish(self, code: str, nonce: str, verifier: str, iss: str) -> Person:
        """Give who signed in. Raises OAuthError access_denied, temporarily_unavailable."""
        ...


class Events(Protocol):
    """The audit log, for what happens outside of any transaction of ours."""

    async def tell(self, event: AuditEvent) -> None:
        """Append an event. Never raises: a refusal stays a refusal when it cannot be written down."""
        ...
