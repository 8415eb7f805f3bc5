"""Calendars in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.common.errors import AppError, invalid
from services.mail_core.domain.availability import MAX_CALENDARS, Interval, busy_within
from services.mail_core.ports import FreeBusy


@dataclass
class FakeCalendar:
    """The Calendar port. `busy` has the calendars that exist, `unreadable` the reasons of those that fail."""

    busy: dict[str, list[Interval]] = field(default_factory=lambda: {"primary": []})
    unreadable: dict[str, str] = field(default_factory=dict)
    trouble: AppError | None = None

    async def free_busy(self, calendar_ids: Sequence[str], start: datetime, end: datetime) -> FreeBusy:
        if self.trouble is not None:
            raise self.trouble
        ids = tuple(dict.fromkeys(calendar_ids))
        if len(ids) > MAX_CALENDARS:
            raise invalid("TOO_MANY_CALENDARS", "Google answers about 50 calendars at most.")
        errors = {each: self._problem(each) for each in ids if self._problem(each)}
        window = Interval(start, end)
        busy = {each: busy_within(window, self.busy[each]) for each in ids if each not in errors}
        return FreeBusy(busy, errors)

    def _problem(self, calendar_id: str) -> str:
        return self.unreadable.get(calendar_id) or ("" if calendar_id in self.busy else "notFound")
