"""Page tokens: where a listing goes on, bound to the listing that gave them."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from services.common.errors import AppError, invalid

DEFAULT_PAGE_SIZE: Final = 50
MAX_PAGE_SIZE: Final = 200


@dataclass(frozen=True, slots=True)
class Position:
    """The last row of the page before: rows are ordered by time, then by id."""

    created_at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows are asked for."""

    size: int = DEFAULT_PAGE_SIZE
    after: Position | None = None


def page_of(listing: str, size: int, token: str) -> Page:
    """Read what a client asks for. Raises AppError PAGE_SIZE_OUT_OF_RANGE, PAGE_TOKEN_INVALID."""
    if not 0 <= size <= MAX_PAGE_SIZE:
        message = f"page_size must be 1 to {MAX_PAGE_SIZE}."
        raise invalid("PAGE_SIZE_OUT_OF_RANGE", message, field="page_size")
    return Page(size or DEFAULT_PAGE_SIZE, _read(listing, token) if token else None)


def token_after(listing: str, position: Position) -> str:
    """Write the token of the page behind a row."""
    content = json.dumps([listing, position.created_at.isoformat(), position.id])
    return urlsafe_b64encode(content.encode()).decode().rstrip("=")


def _read(listing: str, token: str) -> Position:
    try:
        named, created_at, row_id = json.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        position = Position(datetime.fromisoformat(created_at), str(UUID(row_id)))
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise _invalid_token() from None
    if named != listing or position.created_at.tzinfo is None:
        raise _invalid_token()
    return position


def _invalid_token() -> AppError:
    return invalid("PAGE_TOKEN_INVALID", "page_token does not belong to this listing.", field="page_token")
