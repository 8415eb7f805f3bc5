"""Free time: busy intervals merged, windows judged, meetings suggested in the owner's local hours."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from services.mail_core.domain.errors import DomainError

MAX_WINDOW = timedelta(days=92)
MAX_CALENDARS = 50
WEEKDAYS = (1, 2, 3, 4, 5)
_DAY = timedelta(days=1)
_MINUTES_A_DAY = 1440
_SUNDAY = 7
# Beyond this, zones cannot be reckoned with (a datetime ends with the year 9999).
_HORIZON = datetime(9999, 1, 1, tzinfo=UTC)
_FIRST = datetime(1, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|(24):(00)", re.ASCII)
_ZONE_NAME = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+){0,3}", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """A stretch of time, start included, end excluded; both aware and kept in UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", _utc(self.start))
        object.__setattr__(self, "end", _utc(self.end))

    @property
    def duration(self) -> timedelta:
        """Length."""
        return self.end - self.start

    def overlaps(self, other: "Interval") -> bool:
        """Say whether the two share any time; touching is not sharing."""
        return self.start < other.end and other.start < self.end

    def widened(self, by: timedelta) -> "Interval":
        """Give this interval with time added on both sides, as far as dates go."""
        return Interval(_shifted(self.start, -by), _shifted(self.end, by))


@dataclass(frozen=True, slots=True)
class WorkingHours:
    """Hours of the day in which a meeting may lie, local to a zone; ISO days, 1 is Monday.

    Raises DomainError: WORKING_HOURS_INVALID.
    """

    start: str = "09:00"
    end: str = "18:00"
    days: tuple[int, ...] = WEEKDAYS

    def __post_init__(self) -> None:
        if _minute_of_day(self.start, "start") >= _minute_of_day(self.end, "end"):
            raise _hours_error("The working hours must end after they start, on the same day.", "end")
        if not self.days or not all(1 <= day <= _SUNDAY for day in self.days):
            raise _hours_error("Working days are ISO days, 1 (Monday) to 7 (Sunday).", "days")

    @property
    def span(self) -> tuple[timedelta, timedelta]:
        """Start and end as time since local midnight on the clock."""
        start, end = _minute_of_day(self.start, "start"), _minute_of_day(self.end, "end")
        return timedelta(minutes=start), timedelta(minutes=end)


@dataclass(frozen=True, slots=True)
class MeetingRequest:
    """What kind of meeting time is wanted.

    Raises DomainError: DURATION_OUT_OF_RANGE, BUFFER_OUT_OF_RANGE, STEP_OUT_OF_RANGE, COUNT_OUT_OF_RANGE,
    TIME_ZONE_UNKNOWN.
    """

    duration_minutes: int = 30
    time_zone: str = "UTC"
    working_hours: WorkingHours = field(default_factory=WorkingHours)
    buffer_minutes: int = 0
    step_minutes: int = 30
    max_intervals: int = 5

    def __post_init__(self) -> None:
        _in_range(self.duration_minutes, 5, _MINUTES_A_DAY, "DURATION_OUT_OF_RANGE", "duration_minutes")
        _in_range(self.buffer_minutes, 0, 240, "BUFFER_OUT_OF_RANGE", "buffer_minutes")
        _in_range(self.step_minutes, 5, 240, "STEP_OUT_OF_RANGE", "step_minutes")
        _in_range(self.max_intervals, 1, 100, "COUNT_OUT_OF_RANGE", "max_intervals")
        zone_of(self.time_zone)

    @property
    def duration(self) -> timedelta:
        """Length of the meeting."""
        return timedelta(minutes=self.duration_minutes)

    @property
    def buffer(self) -> timedelta:
        """Free time to keep before and after."""
        return timedelta(minutes=self.buffer_minutes)


def window_of(start: datetime | None, end: datetime | None) -> Interval:
    """Check the window of a request.

    Raises DomainError: WINDOW_REQUIRED, WINDOW_INVERTED, WINDOW_TOO_LONG (92 days).
    """
    if start is None or end is None:
        missing = "start_time" if start is None else "end_time"
        raise DomainError("WINDOW_REQUIRED", "The window needs a start and an end.", missing)
    window = Interval(start, end)
    if window.end <= window.start:
        raise DomainError("WINDOW_INVERTED", "The window must end after it starts.", "end_time")
    if window.duration > MAX_WINDOW:
        raise DomainError("WINDOW_TOO_LONG", "The window may be at most 92 days long.", "end_time")
    return window


def calendars_of(calendar_ids: Iterable[str]) -> tuple[str, ...]:
    """Give the calendars to ask about, each once; `primary` when none is named.

    Raises DomainError: TOO_MANY_CALENDARS (50).
    """
    unique = tuple(dict.fromkeys(calendar_ids)) or ("primary",)
    if len(unique) > MAX_CALENDARS:
        raise DomainError("TOO_MANY_CALENDARS", "At most 50 calendars can be asked about.", "calendar_ids")
    return unique


def zone_of(name: str) -> ZoneInfo:
    """Find an IANA zone.

    Raises DomainError: TIME_ZONE_UNKNOWN.
    """
    error = DomainError(
        "TIME_ZONE_UNKNOWN", "The time zone is not an IANA zone such as Europe/Paris.", "time_zone"
    )
    if not _ZONE_NAME.fullmatch(name):
        raise error
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise error from None


def merge(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """Join intervals that overlap or touch, in order; empty ones hold no time and are left out."""
    merged: list[Interval] = []
    for interval in sorted(interval for interval in intervals if interval.start < interval.end):
        if merged and interval.start <= merged[-1].end:
            merged[-1] = Interval(merged[-1].start, max(merged[-1].end, interval.end))
        else:
            merged.append(interval)
    return tuple(merged)


def busy_within(window: Interval, busy: Iterable[Interval]) -> tuple[Interval, ...]:
    """Give the busy time inside a window, merged and cut to it."""
    cut = (Interval(max(window.start, each.start), min(window.end, each.end)) for each in busy)
    return merge(cut)


def is_free(window: Interval, busy: Iterable[Interval]) -> bool:
    """Say whether no busy time lies in the window."""
    return not busy_within(window, busy)


def window_to_read(window: Interval, request: MeetingRequest) -> Interval:
    """Give the window whose busy time must be known: buffers reach beyond the one that was asked for."""
    return window.widened(request.buffer)


def suggest(
    window: Interval, busy: Iterable[Interval], request: MeetingRequest, now: datetime
) -> list[Interval]:
    """Suggest the earliest meetings that fit, in order, not overlapping each other.

    Each lies in the window and wholly in working hours, starts at a multiple of the step after local
    midnight by the clock on the wall, keeps the buffer free on both sides and starts no earlier than `now`.
    Over a change of clocks, skipped hours do not exist and repeated hours come twice.
    """
    taken = merge(busy)
    suggestions: list[Interval] = []
    earliest = max(window.start, _utc(now))
    for start in _candidate_starts(Interval(earliest, min(window.end, _HORIZON)), request):
        meeting = Interval(start, start + request.duration)
        if start < earliest or meeting.end > window.end or _is_taken(meeting.widened(request.buffer), taken):
            continue
        suggestions.append(meeting)
        earliest = meeting.end
        if len(suggestions) == request.max_intervals:
            break
    return suggestions


def _candidate_starts(window: Interval, request: MeetingRequest) -> Iterator[datetime]:
    """Give the starts, on the grid, of all meetings that lie in working hours, in order."""
    zone = zone_of(request.time_zone)
    spans = [
        (offset, hours)
        for span, offset in _constant_offsets(window, zone)
        for hours in _working_hours(span, offset, request.working_hours)
    ]
    opening = merge(hours for _, hours in spans)
    for offset, hours in spans:
        for start in _grid(hours, offset, timedelta(minutes=request.step_minutes)):
            if _is_inside(Interval(start, start + request.duration), opening):
                yield start


def _constant_offsets(window: Interval, zone: ZoneInfo) -> Iterator[tuple[Interval, timedelta]]:
    """Cut a window where the zone's offset changes; within a cut, wall clock and time run alike."""
    start = window.start
    while start < window.end:
        end = _end_of_offset(start, window.end, zone)
        yield Interval(start, end), _offset(start, zone)
        start = end


def _end_of_offset(start: datetime, limit: datetime, zone: ZoneInfo) -> datetime:
    """Find where the offset of `start` ends. Looks once a day: no zone changes twice within one."""
    last = start
    while last < limit:
        following = min(last + _DAY, limit)
        if _offset(following, zone) != _offset(start, zone):
            return _first_other_offset(last, following, zone)
        last = following
    return limit


def _first_other_offset(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Find the second at which the offset of `before` ends, known to be over at `after`."""
    low, high = 0, int((after - before).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        is_same = _offset(before + timedelta(seconds=middle), zone) == _offset(before, zone)
        low, high = (middle, high) if is_same else (low, middle)
    return (before + timedelta(seconds=high)).replace(microsecond=0)


def _working_hours(span: Interval, offset: timedelta, hours: WorkingHours) -> Iterator[Interval]:
    """Give the working hours within a span of constant offset, day by day."""
    opens, closes = hours.span
    for day in _local_days(span, offset):
        if day.isoweekday() in hours.days:
            midnight = _midnight(day, offset)
            start, end = max(span.start, midnight + opens), min(span.end, midnight + closes)
            if start < end:
                yield Interval(start, end)


def _grid(hours: Interval, offset: timedelta, step: timedelta) -> Iterator[datetime]:
    """Give the multiples of a step after local midnight within one day's hours."""
    midnight = _midnight((hours.start + offset).date(), offset)
    start = midnight + -(-(hours.start - midnight) // step) * step
    while start < hours.end:
        yield start
        start += step


def _local_days(span: Interval, offset: timedelta) -> Iterator[date]:
    day, last = (span.start + offset).date(), (span.end + offset).date()
    while day <= last:
        yield day
        day += _DAY


def _midnight(day: date, offset: timedelta) -> datetime:
    return datetime.combine(day, time(), UTC) - offset


def _is_inside(meeting: Interval, merged: tuple[Interval, ...]) -> bool:
    index = bisect_right(merged, meeting.start, key=lambda interval: interval.start) - 1
    return index >= 0 and meeting.end <= merged[index].end


def _is_taken(meeting: Interval, merged: tuple[Interval, ...]) -> bool:
    index = bisect_right(merged, meeting.start, key=lambda interval: interval.end)
    return index < len(merged) and merged[index].start < meeting.end


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()


def _utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise DomainError("TIME_WITHOUT_OFFSET", "A time needs a zone or an offset.")
    return instant.astimezone(UTC)


def _shifted(instant: datetime, by: timedelta) -> datetime:
    """Add to an instant, stopping at the first and the last that a datetime can hold."""
    try:
        return instant + by
    except OverflowError:
        return _LAST if by > timedelta() else _FIRST


def _minute_of_day(clock: str, field: str) -> int:
    match = _CLOCK.fullmatch(clock)
    if match is None or (field == "start" and match[3]):
        raise _hours_error(
            "Working hours are written HH:MM, 00:00 to 23:59, and up to 24:00 at the end.", field
        )
    return int(match[1] or match[3]) * 60 + int(match[2] or match[4])


def _hours_error(message: str, field: str) -> DomainError:
    return DomainError("WORKING_HOURS_INVALID", message, f"working_hours.{field}")


def _in_range(value: int, low: int, high: int, reason: str, field: str) -> None:
    if not low <= value <= high:
        raise DomainError(reason, f"{field} must be between {low} and {high}.", field)
