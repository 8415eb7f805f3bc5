"""What auth wants from the world outside of it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.auth.domain.api_key import ApiKey
from services.auth.domain.team import Team

Clock = Callable[[], datetime]
"""Gives the time, aware."""

RandomBytes = Callable[[int], bytes]
"""Gives that many unpredictable bytes."""


class Keys(Protocol):
    """Where API keys are kept."""

    async def find(self, key_hash: bytes) -> ApiKey | None:
        """Give the one key with this hash, also when it is revoked or expired."""
        ...

    async def add(self, key: ApiKey) -> None:
        """Keep a new key. Raises AppError NOT_FOUND TEAM_NOT_FOUND."""
        ...

    async def note_use(self, key: ApiKey, at: datetime) -> None:
        """Write down when a key was last used."""
        ...


class Teams(Protocol):
    """Where teams are kept."""

    async def get(self, team_id: str) -> Team:
        """Give a team. Raises AppError NOT_FOUND TEAM_NOT_FOUND."""
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
