"""The account's calendars, and free/busy as Google reports it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Event:
    """One event. An all-day event has dates, end excluded: from midnight to midnight of its calendar."""

    summary: str
    start: datetime | date
    end: datetime | date
    is_tentative: bool = False
    is_transparent: bool = False
    is_declined: bool = False

    def span(self, zone: ZoneInfo) -> tuple[datetime, datetime]:
        return _instant(self.start, zone), _instant(self.end, zone)

    @property
    def counts_as_busy(self) -> bool:
        """Tentative events do; those shown as available, and those declined, do not."""
        return not (self.is_transparent or self.is_declined)


@dataclass(slots=True)
class Calendar:
    """A calendar that the account can read."""

    id: str
    summary: str
    time_zone: str
    access_role: str = "owner"
    is_primary: bool = False
    events: list[Event] = field(default_factory=list)

    def busy(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """Busy stretches inside the window, sorted, merged and cut to it."""
        zone = ZoneInfo(self.time_zone)
        spans = (event.span(zone) for event in self.events if event.counts_as_busy)
        inside = [(max(start, begin), min(end, finish)) for begin, finish in spans]
        return _merged(span for span in inside if span[0] < span[1])


@dataclass(slots=True)
class CalendarBook:
    """Calendars by id, and groups of them."""

    owner: str
    calendars: dict[str, Calendar] = field(default_factory=dict)
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    failing: dict[str, str] = field(default_factory=dict)

    def find(self, calendar_id: str) -> Calendar | None:
        return self.calendars.get(self.owner if calendar_id == "primary" else calendar_id)


def _instant(moment: datetime | date, zone: ZoneInfo) -> datetime:
    if isinstance(moment, datetime):
        return moment.astimezone(UTC)
    return datetime.combine(moment, time(), tzinfo=zone).astimezone(UTC)


def _merged(spans: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    merged: list[tuple[datetime, datetime]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def working_weeks(now: datetime, owner: str) -> CalendarBook:
    """Ordinary weeks around now: meetings, a tentative, a free, an all-day one, and a family calendar."""
    zone = ZoneInfo("Europe/Paris")
    monday = now.astimezone(zone).date() - timedelta(days=now.astimezone(zone).weekday())
    work = Calendar(owner, owner, "Europe/Paris", is_primary=True)
    family = Calendar("family@group.calendar.sandbox.example", "Famille", "Europe/Paris", "reader")
    for week in range(-1, 4):
        _fill_week(work, family, monday + timedelta(weeks=week), zone)
    book = CalendarBook(owner, {work.id: work, family.id: family})
    book.groups["home@groups.sandbox.example"] = (work.id, family.id)
    return book


def _fill_week(work: Calendar, family: Calendar, monday: date, zone: ZoneInfo) -> None:
    def at(day: int, hour: int, minute: int = 0) -> datetime:
        return datetime.combine(monday + timedelta(days=day), time(hour, minute), tzinfo=zone)

    for day in range(5):
        work.events.append(Event("Stand-up", at(day, 9, 30), at(day, 9, 45)))
        work.events.append(Event("Lunch", at(day, 12, 30), at(day, 13, 30), is_transparent=True))
    work.events += [
        Event("Weekly planning", at(0, 10), at(0, 11)),
        Event("Design review", at(1, 14), at(1, 15, 30)),
        Event("Design review, second half", at(1, 15), at(1, 16)),
        Event("Interview (to be confirmed)", at(2, 11), at(2, 12), is_tentative=True),
        Event("Vendor call", at(3, 16), at(3, 16, 30), is_declined=True),
        Event("Quarterly numbers", at(3, 14), at(3, 15)),
        Event("Offsite", monday + timedelta(days=4), monday + timedelta(days=5)),
        Event("Jour du marché", monday + timedelta(days=2), monday + timedelta(days=3), is_transparent=True),
    ]
    family.events += [
        Event("Dentiste", at(1, 8, 30), at(1, 9, 15)),
        Event("Sortie d'école", at(3, 16, 30), at(3, 17, 15)),
        Event("Randonnée", monday + timedelta(days=5), monday + timedelta(days=6)),
    ]
