"""Instants as text and back, the same on every edge (RFC 3339)."""

from datetime import UTC, datetime
from typing import Final

from services.common.errors import invalid

MAX_TEXT_CHARS: Final = 64


def parse_instant(text: object, field: str) -> datetime:
    """Parse RFC 3339 text with an offset into an aware UTC datetime.

    Raises AppError INVALID_ARGUMENT: TIME_INVALID, or TIME_WITHOUT_OFFSET for a naive time, whose
    instant nobody can know.
    """
    if not isinstance(text, str) or not text or len(text) > MAX_TEXT_CHARS:
        raise invalid("TIME_INVALID", f"{field} must be an RFC 3339 time.", field=field)
    try:
        parsed = datetime.fromisoformat(text.upper())  # RFC 3339 §5.6 allows t and z
    except ValueError:
        raise invalid(
            "TIME_INVALID",
            f"{field} must be an RFC 3339 time, for example 2026-03-10T09:00:00+01:00.",
            field=field,
        ) from None
    if parsed.tzinfo is None or parsed.utcoffset() is None:
        raise invalid(
            "TIME_WITHOUT_OFFSET", f"{field} must carry an offset, for example Z or +01:00.", field=field
        )
    try:
        return parsed.astimezone(UTC)
    except OverflowError:
        raise invalid("TIME_INVALID", f"{field} is out of range.", field=field) from None


def format_instant(instant: datetime) -> str:
    """Write an aware datetime as RFC 3339 in UTC with milliseconds and `Z`."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
