"""What auth wants of its own authorization server: whom an access token names."""

from typing import Final, Protocol

from services.auth.domain.passport import Authenticated

ACCESS_TOKEN_PREFIX: Final = "mat_"  # noqa: S105  what it begins with


class AccessTokens(Protocol):
    """Checks access tokens of our own."""

    async def __call__(self, text: str, resource: str) -> Authenticated:
        """Say whom a token names that was shown at a resource. Raises AppError UNAUTHENTICATED."""
        ...
