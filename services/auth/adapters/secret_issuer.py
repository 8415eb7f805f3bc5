"""JWTs signed with a secret that the issuer and we share (HS256)."""

from collections.abc import Sequence
from typing import Final

from services.auth.adapters.verification_keys import BoundKey

ALGORITHMS: Final = frozenset({"HS256"})
_NAMES: Final = ("secret:current", "secret:previous")


class SecretIssuer:
    """The shared secret, and during a rotation the one before it."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = tuple(
            BoundKey(name, "HS256", secret.encode()) for name, secret in zip(_NAMES, secrets, strict=False)
        )

    async def candidates(self, algorithm: str, key_id: str | None) -> tuple[BoundKey, ...]:
        """Give both secrets for HS256, none for anything else. The token's `kid` chooses nothing."""
        del key_id
        return self._keys if algorithm in ALGORITHMS else ()
