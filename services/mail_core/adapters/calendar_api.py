"""The Calendar port on Google's API. What is not clearly readable is an error, never free time."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from services.common.errors import invalid
from services.mail_core.adapters.google_client import GoogleClient
from services.mail_core.adapters.google_errors import no_answer
from services.mail_core.adapters.google_services import GoogleServices
from services.mail_core.domain.availability import MAX_CALENDARS, Interval, merge
from services.mail_core.ports import FreeBusy

# Google refuses long ranges (timeRangeTooLong) without saying where the limit lies; two months pass.
_MAX_RANGE: Final = timedelta(days=60)
_GROUP_MEMBERS: Final = 100


class _UnreadableError(Exception):
    """A calendar that cannot be read; the text is Google's reason."""


@dataclass(frozen=True, slots=True)
class CalendarApi:
    """The calendars that one owner can see."""

    client: GoogleClient
    services: GoogleServices

    async def free_busy(self, calendar_ids: Sequence[str], start: datetime, end: datetime) -> FreeBusy:
        """Ask when calendars are busy. An error in any part of the window makes a calendar unreadable."""
        ids = tuple(dict.fromkeys(calendar_ids))
        if len(ids) > MAX_CALENDARS:
            raise invalid("TOO_MANY_CALENDARS", f"Google answers about {MAX_CALENDARS} calendars at most.")
        answers = await asyncio.gather(
            *(self._query(ids, since, until) for since, until in _ranges(start, end))
        )
        busy: dict[str, tuple[Interval, ...]] = {}
        errors: dict[str, str] = {}
        for calendar_id in ids:
            try:
                busy[calendar_id] = merge(each for answer in answers for each in _busy(answer, calendar_id))
            except _UnreadableError as unreadable:
                errors[calendar_id] = str(unreadable)
        return FreeBusy(busy, errors)

    async def _query(self, ids: Sequence[str], start: datetime, end: datetime) -> dict[str, Any]:
        body = {
            "timeMin": _instant(start),
            "timeMax": _instant(end),
            "timeZone": "UTC",
            "calendarExpansionMax": MAX_CALENDARS,
            "groupExpansionMax": _GROUP_MEMBERS,
            "items": [{"id": calendar_id} for calendar_id in ids],
        }
        answer = await self.client.call(self.services.freebusy.query(body=body))
        if not isinstance(answer, dict):
            raise no_answer("calendar")
        return answer


def _ranges(start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    ranges: list[tuple[datetime, datetime]] = []
    while start < end:
        until = end if end - start <= _MAX_RANGE else start + _MAX_RANGE
        ranges.append((start, until))
        start = until
    return ranges


def _busy(answer: dict[str, Any], calendar_id: str) -> list[Interval]:
    """Give the busy time of a calendar, or of all members of a group. Raises _UnreadableError."""
    group = _entry(answer, "groups", calendar_id)
    if group is None:
        return _busy_of_one(_entry(answer, "calendars", calendar_id))
    _raise_reason(group)
    members = group.get("calendars")
    if not isinstance(members, list):
        raise _UnreadableError("absent")
    return [each for member in members for each in _busy_of_one(_entry(answer, "calendars", member))]


def _entry(answer: dict[str, Any], kind: str, name: Any) -> dict[str, Any] | None:
    entries = answer.get(kind)
    entry = entries.get(name) if isinstance(entries, dict) else None
    return entry if isinstance(entry, dict) else None


def _busy_of_one(calendar: dict[str, Any] | None) -> list[Interval]:
    if calendar is None:
        raise _UnreadableError("absent")
    _raise_reason(calendar)
    try:
        return [
            Interval(_read_instant(busy["start"]), _read_instant(busy["end"])) for busy in calendar["busy"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise _UnreadableError("malformed") from error


def _raise_reason(entry: dict[str, Any]) -> None:
    errors = entry.get("errors")
    if errors:
        first = errors[0] if isinstance(errors, list) else None
        reason = first.get("reason") if isinstance(first, dict) else None
        raise _UnreadableError(reason if isinstance(reason, str) and reason else "unknown")


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _read_instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no offset")
    return moment
