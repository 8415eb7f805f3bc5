"""What auth wants from the world outside of it."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.auth.domain.api_key import ApiKey
from services.auth.domain.paging import Page
from services.auth.domain.revocation import CaughtUp, Revocation
from services.auth.domain.team import Team
from services.common.audit import AuditEvent

Clock = Callable[[], datetime]
"""Gives the time, aware."""

RandomBytes = Callable[[int], bytes]
"""Gives that many unpredictable bytes."""


class OperatorKeys(Protocol):
    """The API keys that the operator put into the environment."""

    def find(self, key_hash: bytes) -> str | None:
        """Give the id of the key with this hash."""
        ...


class Keys(Protocol):
    """Where API keys are kept."""

    async def find(self, key_hash: bytes) -> ApiKey | None:
        """Give the one key with this hash, also when it is revoked or expired."""
        ...

    async def list(self, team_id: str, page: Page) -> Sequence[ApiKey]:
        """Give a team's keys, newest first, one more than the page holds when there are more."""
        ...

    async def count_working(self, team_id: str, now: datetime) -> int:
        """Count the keys of a team that work."""
        ...

    async def note_use(self, key: ApiKey, at: datetime) -> None:
        """Write down when a key was last used."""
        ...


class Teams(Protocol):
    """Where teams are kept."""

    async def get(self, team_id: str) -> Team:
        """Give a team. Raises AppError NOT_FOUND TEAM_NOT_FOUND."""
        ...

    async def list(self, page: Page) -> Sequence[Team]:
        """Give the teams, oldest first, one more than the page holds when there are more."""
        ...

    async def add(self, team: Team, event: AuditEvent) -> None:
        """Keep a new team and write that down."""
        ...

    def changing(self, team_id: str) -> AbstractAsyncContextManager["TeamChange"]:
        """Change one team in one transaction, while nobody else changes it.

        Raises AppError NOT_FOUND TEAM_NOT_FOUND.
        """
        ...


class TeamChange(Protocol):
    """One team that is locked until the end of the transaction. What is decided here cannot be overtaken."""

    @property
    def team(self) -> Team:
        """The team as it is."""
        ...

    async def save_team(self, team: Team) -> None:
        """Change plan and switch."""
        ...

    async def working_keys(self, now: datetime) -> Sequence[ApiKey]:
        """Give the keys that work."""
        ...

    async def find_key(self, key_id: str) -> ApiKey | None:
        """Give a key of this team, also when it is revoked or expired."""
        ...

    async def add_key(self, key: ApiKey) -> None:
        """Keep a new key."""
        ...

    async def save_key(self, key: ApiKey) -> None:
        """Change the end of a key's life and what replaced it."""
        ...

    async def revoke(self, subject: str) -> None:
        """Void everything that hangs on a subject, everywhere."""
        ...

    async def record(self, event: AuditEvent) -> None:
        """Write down what was done. Comes last."""
        ...


class Revocations(Protocol):
    """The log of revocations, oldest first."""

    def watch(self, cursor: int) -> AsyncIterator[Revocation | CaughtUp]:
        """Give what was revoked behind a cursor, then what is revoked from now on.

        `CaughtUp` says that all up to it has been told.
        """
        ...

    async def has_any(self, subjects: Collection[str], since: datetime) -> bool:
        """Whether one of these was revoked at that time or later."""
        ...


class RevokedRights(Protocol):
    """Tokens and principals of other issuers that were revoked here, as `token:…` and `principal:…`."""

    async def find(self, team_id: str, subjects: Collection[str]) -> Mapping[str, datetime]:
        """Give when each of these was revoked that was."""
        ...

    async def revoke(
        self, team_id: str, subject: str, at: datetime, until: datetime, event: AuditEvent
    ) -> None:
        """Revoke, remember it until then, and write it down."""
        ...


class VerificationKey(Protocol):
    """A key that an issuer signs with, bound to one algorithm."""

    @property
    def id(self) -> str:
        """Name for logs and passports; never key material."""
        ...

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        """Whether the signature is of these bytes and by this key."""
        ...


class IssuerKeys(Protocol):
    """The keys of whoever issues the JWTs that we accept."""

    async def candidates(self, algorithm: str, key_id: str | None) -> Sequence[VerificationKey]:
        """Give the keys that may have signed such a token. An algorithm that is not pinned has none.

        Raises AppError UNAVAILABLE ISSUER_DOWN when the keys cannot be had.
        """
        ...


class PassportKeys(Protocol):
    """Our own keys, which passports are signed with."""

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Make the passport that says this."""
        ...

    def public_jwks(self) -> str:
        """Write the public keys as a JWK Set, the newest first."""
        ...

    async def find(self, key_id: str) -> Ed25519PublicKey | None:
        """Give a public key by its id."""
        ...
