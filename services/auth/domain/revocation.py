"""Entries of the log of revocations, and cursors into it."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.common.errors import invalid

_CURSOR: Final = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Revocation:
    """Everything whose roots hold `subject` is void."""

    cursor: int
    subject: str
    revoked_at: datetime


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """All up to `cursor` has been told."""

    cursor: int


def read_cursor(text: str) -> int:
    """Read a cursor; empty is the beginning. Raises AppError INVALID_ARGUMENT CURSOR_INVALID."""
    if text and not (text.isascii() and _CURSOR.fullmatch(text)):
        raise invalid("CURSOR_INVALID", "cursor must be one of an earlier answer.", field="cursor")
    return int(text or 0)
