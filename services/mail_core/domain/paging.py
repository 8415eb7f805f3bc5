"""Page tokens: where a listing goes on, bound to the listing that gave them."""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Final

from services.mail_core.domain.errors import DomainError

DEFAULT_PAGE_SIZE: Final = 50
MAX_PAGE_SIZE: Final = 200


def page_size_of(asked: int) -> int:
    """Give the page size to use: the default for 0. Raises DomainError PAGE_SIZE_OUT_OF_RANGE."""
    if not 0 <= asked <= MAX_PAGE_SIZE:
        raise DomainError("PAGE_SIZE_OUT_OF_RANGE", f"page_size must be 1 to {MAX_PAGE_SIZE}.", "page_size")
    return asked or DEFAULT_PAGE_SIZE


def write_token(listing: str, position: Sequence[str | int]) -> str:
    """Write a token; `listing` names the listing and its filters."""
    return base64.urlsafe_b64encode(json.dumps([listing, *position]).encode()).decode().rstrip("=")


def read_token(token: str, listing: str, types: Sequence[type]) -> list[str | int] | None:
    """Read the position out of a token of this listing; None for the first page.

    Raises DomainError PAGE_TOKEN_INVALID.
    """
    if not token:
        return None
    try:
        decoded = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        raise _invalid() from None
    if not isinstance(decoded, list) or len(decoded) != len(types) + 1 or decoded[0] != listing:
        raise _invalid()
    if any(type(value) is not kind for value, kind in zip(decoded[1:], types, strict=True)):
        raise _invalid()
    return decoded[1:]


def _invalid() -> DomainError:
    return DomainError("PAGE_TOKEN_INVALID", "page_token does not belong to this listing.", "page_token")
