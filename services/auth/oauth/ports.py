"""What the authorization server wants from the world outside of it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from services.auth.domain.paging import Page
from services.auth.oauth.domain.blocking import Blocked
from services.auth.oauth.domain.clients import Client
from services.auth.oauth.domain.grants import Code, Grant, HeldClient, Person, RefreshToken, Session
from services.common.audit import AuditEvent
from services.common.identity import Caller

Clock = Callable[[], datetime]
"""Gives the time, aware."""

RandomBytes = Callable[[int], bytes]
"""Gives that many unpredictable bytes."""

Admits = Callable[[Grant], bool]
"""Whether the person who gave a grant would still be let in. A key that signed in is looked up instead."""


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

    async def add(self, client: Client, at: datetime, event: AuditEvent) -> bool:
        """Keep a new client and write that down; False when there are as many as may be."""
        ...

    async def remove(self, client_id: str, event: AuditEvent) -> bool:
        """Forget a client that registered and write that down; False when there is none."""
        ...


class BlockedClients(Protocol):
    """Addresses of client documents, and hosts, that the operator shut out."""

    async def has_any(self, addresses: Collection[str]) -> bool:
        """Whether one of these is blocked."""
        ...

    async def list(self) -> Sequence[Blocked]:
        """Give all, by address."""
        ...

    async def add(self, blocked: Blocked, event: AuditEvent) -> None:
        """Block, and write that down; nothing when it is blocked already."""
        ...

    async def remove(self, address: str, event: AuditEvent) -> bool:
        """Let in again, and write that down; False when it is not blocked."""
        ...


class ClientDocuments(Protocol):
    """Clients that describe themselves at an address of theirs."""

    async def fetch(self, url: str) -> Client:
        """Give the client. Raises OAuthError."""
        ...


OfGrant = Callable[[Grant], AuditEvent]
"""Says what is to be written down when a grant gives a token."""


@dataclass(frozen=True, slots=True)
class Redemption:
    """What a code must be bound to, and what it gives. `proves` judges the challenge."""

    client_id: str
    redirect_uri: str
    resource: str
    proves: Callable[[str], bool]
    refresh: RefreshToken
    at: datetime
    event: OfGrant


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a refresh token must be bound to, and what takes its place."""

    client_id: str
    refresh: RefreshToken
    at: datetime
    event: OfGrant


class Sessions(Protocol):
    """Sign-ins. Each method is one transaction."""

    async def add(self, session: Session, event: AuditEvent) -> None:
        """Keep a sign-in and write it down."""
        ...

    async def stands(self, team_id: str, session_id: str, at: datetime) -> bool:
        """Whether a sign-in still counts."""
        ...

    async def end(
        self, team_id: str, session_id: str, at: datetime, event: Callable[[Session, int], AuditEvent]
    ) -> int:
        """End a sign-in with all that was allowed in it; gives how many grants ended. Safe to repeat."""
        ...


class Grants(Protocol):
    """Grants, codes and refresh tokens. Each method is one transaction."""

    async def add(self, grant: Grant, code: Code, event: AuditEvent) -> bool:
        """Keep what a person gave, and the code for it. False when their sign-in ended meanwhile."""
        ...

    async def redeem(self, code_hash: bytes, redemption: Redemption) -> Grant | None:
        """Take a code, once, and keep the refresh token that it gives.

        A code that was used before revokes its grant. None when it is unknown, used, expired, or bound to
        something else.
        """
        ...

    async def rotate(self, token_hash: bytes, rotation: Rotation) -> Grant | None:
        """Put a refresh token in the place of another, once.

        One that was used before revokes its grant. None when it is unknown, used, expired, of another
        client, or its grant ended.
        """
        ...

    async def find(self, team_id: str, grant_id: str, at: datetime) -> Grant | None:
        """Give a grant that still counts."""
        ...

    async def find_by_code(self, code_hash: bytes, at: datetime) -> Grant | None:
        """Give the grant of a code that was not used yet."""
        ...

    async def find_by_refresh(
        self, token_hash: bytes, at: datetime, *, also_used: bool = False
    ) -> Grant | None:
        """Give the grant of a refresh token that still counts; with `also_used`, of one that did."""
        ...

    async def note_use(self, grant: Grant, at: datetime) -> None:
        """Write down that a grant was used, at most once a minute."""
        ...

    async def revoke(self, team_id: str, grant_id: str, at: datetime, event: AuditEvent) -> Grant | None:
        """End a grant and all that came of it; gives it as it was before. None when there is none."""
        ...

    async def revoke_client(
        self, team_id: str, client_id: str, at: datetime, event: Callable[[int], AuditEvent]
    ) -> int | None:
        """End all that a team gave to a client; gives how many grants ended. None when it never had any."""
        ...

    async def list(self, team_id: str, page: Page, principal: str = "") -> Sequence[Grant]:
        """Give a team's grants, newest first, ended ones too, one more than the page holds if there are more.

        With a principal, only those that this person gave.
        """
        ...

    async def clients(self, team_id: str, at: datetime, limit: int) -> Sequence[HeldClient]:
        """Give the clients that hold grants of a team which stand, by name."""
        ...

    async def document_clients(self, team_id: str, at: datetime) -> Sequence[str]:
        """Give the ids of clients known by a document that hold grants of a team which stand."""
        ...

    async def revoke_token(
        self, team_id: str, token_id: str, expires_at: datetime, event: AuditEvent
    ) -> None:
        """End one access token, which would have ended by itself then."""
        ...

    async def is_token_revoked(self, team_id: str, token_id: str) -> bool:
        """Whether an access token was ended."""
        ...


class Ended(Protocol):
    """What ended by itself long ago, of all teams."""

    async def remove(self, batch: int) -> Mapping[str, int]:
        """Remove at most so many rows of each kind; gives how many went. Empty while another does it."""
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

    async def record(self, event: AuditEvent) -> None:
        """Append an event in a transaction of its own.

        Raises AppError UNAVAILABLE DATABASE_DOWN: then what it records must not happen.
        """
        ...

    async def tell(self, event: AuditEvent) -> None:
        """Append a refusal. Never raises: a refusal stays a refusal when it cannot be written down."""
        ...
