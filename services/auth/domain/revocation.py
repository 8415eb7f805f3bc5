"""Entries of the log of revocations, and cursors into it."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from services.common.errors import invalid

_CURSOR: Final = re.compile(r"rev([0-9]{1,18})", re.ASCII)

RIGHTS_REMEMBERED: Final = timedelta(days=30)
"""Work that waited for longer begins no more: upkeep removes revocations a day later (migration 0007)."""


class RightState(StrEnum):
    """What became of a right."""

    STANDS = "stands"
    REVOKED = "revoked"
    TOO_OLD = "too_old"


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


def in_team(team_id: str, subject: str) -> str:
    """Name a token or a person as one team knows them: another team takes nothing from this one."""
    return f"{subject}@{team_id}"


def write_cursor(position: int) -> str:
    """Write a cursor. It says what it is into: a place in another list must not be taken for one in this."""
    return f"rev{position}"


def read_cursor(text: str) -> int:
    """Read a cursor; empty is the beginning. Raises AppError INVALID_ARGUMENT CURSOR_INVALID."""
    found = _CURSOR.fullmatch(text)
    if text and found is None:
        raise invalid("CURSOR_INVALID", "cursor must be one of an earlier answer.", field="cursor")
    return int(found[1]) if found else 0
