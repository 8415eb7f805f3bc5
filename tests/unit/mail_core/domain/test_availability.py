"""Free time, and meetings that fit a person's day."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mail_core.domain.availability import (
    Interval,
    MeetingRequest,
    WorkingHours,
    busy_within,
    calendars_of,
    is_free,
    merge,
    suggest,
    window_of,
    window_to_read,
    zone_of,
)
from services.mail_core.domain.errors import DomainError

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
PARIS = "Europe/Paris"
ALL_DAYS = (1, 2, 3, 4, 5, 6, 7)
DEFAULTS = MeetingRequest()
WHOLE_DAY = WorkingHours("00:00", "24:00", ALL_DAYS)


def at(text, zone="UTC", fold=0):
    """Read `2026-05-04 09:00` as time on the wall of a zone."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)


def span(start, end, zone="UTC"):
    return Interval(at(start, zone), at(end, zone))


MONDAY = span("2026-05-04 00:00", "2026-05-05 00:00")


def starts(window, request=DEFAULTS, busy=(), now=LONG_AGO):
    """Give the starts of the suggestions as the zone's wall clocks show them."""
    zone = ZoneInfo(request.time_zone)
    return [each.start.astimezone(zone).strftime("%d %H:%M") for each in suggest(window, busy, request, now)]


def test_overlapping_and_touching_intervals_are_merged():
    """In order; what holds no time is left out."""
    given_intervals = [
        span("2026-05-04 11:00", "2026-05-04 12:00"),
        span("2026-05-04 09:00", "2026-05-04 10:00"),
        span("2026-05-04 09:30", "2026-05-04 11:00"),
        span("2026-05-04 09:30", "2026-05-04 09:45"),
        span("2026-05-04 14:00", "2026-05-04 14:00"),
        span("2026-05-04 15:00", "2026-05-04 16:00"),
    ]
    assert merge(given_intervals) == (
        span("2026-05-04 09:00", "2026-05-04 12:00"),
        span("2026-05-04 15:00", "2026-05-04 16:00"),
    )


@pytest.mark.parametrize(
    ("busy", "expected"),
    [
        ([], True),
        ([span("2026-05-03 23:00", "2026-05-04 00:00")], True),  # ends as the window starts
        ([span("2026-05-05 00:00", "2026-05-05 01:00")], True),  # starts as the window ends
        ([span("2026-05-04 12:00", "2026-05-04 12:00")], True),  # holds no time
        ([span("2026-05-04 12:00", "2026-05-04 12:01")], False),
        ([span("2026-05-01 00:00", "2026-05-09 00:00")], False),
    ],
)
def test_a_window_is_free_when_no_busy_time_lies_in_it(busy, expected):
    """Start included, end excluded."""
    assert is_free(MONDAY, busy) is expected


def test_busy_time_is_cut_to_the_window():
    """An answer shows nothing beyond what was asked about."""
    assert busy_within(
        MONDAY, [span("2026-05-03 12:00", "2026-05-04 01:00"), span("2026-06-01 00:00", "2026-06-02 00:00")]
    ) == (span("2026-05-04 00:00", "2026-05-04 01:00"),)


def test_intervals_of_different_zones_are_compared_as_instants():
    """Kept in UTC, whatever they came in."""
    paris = span("2026-05-04 10:00", "2026-05-04 11:00", PARIS)
    assert paris == span("2026-05-04 08:00", "2026-05-04 09:00")
    assert paris.overlaps(span("2026-05-04 08:30", "2026-05-04 10:00"))
    assert not paris.overlaps(span("2026-05-04 09:00", "2026-05-04 10:00"))


def test_the_first_free_half_hours_of_the_working_day_are_suggested():
    """Defaults: 30 minutes, every half hour, 09:00 to 18:00, five of them."""
    assert starts(MONDAY) == ["04 09:00", "04 09:30", "04 10:00", "04 10:30", "04 11:00"]


@pytest.mark.parametrize(
    ("request_", "busy", "expected"),
    [
        # longer than the step: suggestions do not overlap each other
        (MeetingRequest(60, max_intervals=3), [], ["04 09:00", "04 10:00", "04 11:00"]),
        # busy time in between
        (
            MeetingRequest(60, max_intervals=2),
            [span("2026-05-04 09:15", "2026-05-04 10:10")],
            ["04 10:30", "04 11:30"],
        ),
        # the buffer stays free on both sides
        (
            MeetingRequest(30, buffer_minutes=15, max_intervals=2),
            [span("2026-05-04 09:00", "2026-05-04 09:30"), span("2026-05-04 10:30", "2026-05-04 11:00")],
            ["04 11:30", "04 12:00"],
        ),
        # it reaches beyond working hours and beyond the window
        (
            MeetingRequest(30, buffer_minutes=60, max_intervals=1),
            [span("2026-05-04 07:30", "2026-05-04 08:30")],
            ["04 09:30"],
        ),
        # the grid starts at midnight, not at nine
        (MeetingRequest(30, step_minutes=50, max_intervals=2), [], ["04 09:10", "04 10:00"]),
        (
            MeetingRequest(30, working_hours=WorkingHours("09:10", "10:20"), step_minutes=15),
            [],
            ["04 09:15", "04 09:45"],
        ),
        # the last must end by the end of the day
        (MeetingRequest(45, working_hours=WorkingHours("17:00", "18:00")), [], ["04 17:00"]),
        (MeetingRequest(90, working_hours=WorkingHours("17:00", "18:00")), [], []),
        (MeetingRequest(30, working_hours=WorkingHours(days=(2,))), [], []),  # not a Monday
        (MeetingRequest(1440, working_hours=WHOLE_DAY), [], ["04 00:00"]),
        (MeetingRequest(30), [MONDAY], []),
    ],
)
def test_a_suggestion_fits_the_request(request_, busy, expected):
    """One row per wish."""
    assert starts(MONDAY, request_, busy) == expected


def test_a_suggestion_lies_wholly_in_the_window():
    """Also when the window cuts the working day."""
    assert starts(span("2026-05-04 09:20", "2026-05-04 10:45")) == ["04 09:30", "04 10:00"]


def test_nothing_is_suggested_in_the_past():
    """Not even when it has only just begun."""
    assert starts(MONDAY, MeetingRequest(max_intervals=1), now=at("2026-05-04 09:00")) == ["04 09:00"]
    assert starts(MONDAY, MeetingRequest(max_intervals=1), now=at("2026-05-04 09:00:01")) == ["04 09:30"]
    assert starts(MONDAY, now=at("2026-05-06 00:00")) == []


def test_weekends_are_skipped_and_days_are_those_of_the_zone():
    """Friday 23:30 in New York is Saturday in Paris."""
    window = span("2026-05-08 16:00", "2026-05-11 12:00")
    assert starts(window, MeetingRequest(60, PARIS, max_intervals=2)) == ["11 09:00", "11 10:00"]
    late = MeetingRequest(30, "America/New_York", WorkingHours("23:00", "24:00"))
    assert starts(window, late) == ["08 23:00", "08 23:30"]


def test_a_night_shift_may_run_into_the_next_day():
    """Days that touch at midnight are one stretch; a day that does not work cuts it."""
    window = span("2026-05-08 22:00", "2026-05-09 03:00")
    assert starts(window, MeetingRequest(180, working_hours=WHOLE_DAY)) == ["08 22:00"]
    assert starts(window, MeetingRequest(180, working_hours=WorkingHours("00:00", "24:00"))) == []


def test_hours_that_spring_forward_skips_do_not_exist():
    """Paris, 2026-03-29: 02:00 to 03:00 is skipped, so 01:30 is followed by 03:00."""
    night = MeetingRequest(30, PARIS, WorkingHours("01:00", "04:00", ALL_DAYS), max_intervals=10)
    window = span("2026-03-29 00:00", "2026-03-29 23:00", PARIS)
    assert starts(window, night) == ["29 01:00", "29 01:30", "29 03:00", "29 03:30"]
    hour = MeetingRequest(60, PARIS, WorkingHours("01:30", "04:00", ALL_DAYS), max_intervals=1)
    assert suggest(window, [], hour, LONG_AGO) == [
        Interval(at("2026-03-29 01:30", PARIS), at("2026-03-29 03:30", PARIS))
    ]


def test_hours_that_fall_back_repeats_come_twice():
    """Paris, 2026-10-25: 02:00 to 03:00 comes twice, and each is an hour of work."""
    night = MeetingRequest(30, PARIS, WorkingHours("01:30", "02:30", ALL_DAYS), max_intervals=10)
    window = span("2026-10-25 00:00", "2026-10-25 12:00", PARIS)
    found = suggest(window, [], night, LONG_AGO)
    assert [each.start for each in found] == [
        at("2026-10-25 01:30", PARIS).astimezone(UTC),
        at("2026-10-25 02:00", PARIS).astimezone(UTC),
        at("2026-10-25 02:00", PARIS, fold=1).astimezone(UTC),
    ]
    # 02:30 to 03:00, the first time, is no working time: nothing may reach across it
    assert all(each.duration == timedelta(minutes=30) for each in found)


def test_working_hours_keep_to_the_wall_over_a_change_of_clocks():
    """09:00 in Paris is 08:00 UTC in winter and 07:00 UTC in summer."""
    request = MeetingRequest(480, PARIS, WorkingHours("09:00", "17:00", ALL_DAYS))
    found = suggest(span("2026-03-28 00:00", "2026-03-31 00:00", PARIS), [], request, LONG_AGO)
    assert [each.start.hour for each in found] == [8, 7, 7]


@pytest.mark.promise("story.intervals")
@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Australia/Lord_Howe", "2026-04-05"),  # half an hour back
        ("America/Santiago", "2026-09-06"),  # midnight itself is skipped
        ("Pacific/Apia", "2011-12-30"),  # a whole day is skipped
        ("Africa/Casablanca", "2026-03-22"),
        ("Asia/Kathmandu", "2026-05-04"),  # +05:45
    ],
)
def test_suggestions_stay_on_the_grid_and_in_hours_in_any_zone(zone, day):
    """Odd zones, odd days."""
    around = at(f"{day} 12:00", "UTC")
    window = Interval(around - timedelta(days=2), around + timedelta(days=2))
    request = MeetingRequest(30, zone, WorkingHours("00:00", "03:00", ALL_DAYS), max_intervals=100)
    found = suggest(window, [], request, datetime(2000, 1, 1, tzinfo=UTC))
    assert found
    for each in found:
        local = each.start.astimezone(ZoneInfo(zone))
        assert local.hour < 3
        assert local.minute in (0, 30)


def test_the_far_future_has_no_suggestions_but_no_error():
    """A timestamp may hold the year 9999; zones end before."""
    window = window_of(
        datetime(9999, 12, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    )
    assert suggest(window, [], MeetingRequest(time_zone="Asia/Tokyo", buffer_minutes=240), LONG_AGO) == []
    assert window_to_read(window, MeetingRequest(buffer_minutes=240)).end.year == 9999
    first = Interval(datetime(1, 1, 1, tzinfo=UTC), datetime(1, 1, 2, tzinfo=UTC))
    assert first.widened(timedelta(hours=1)).start == first.start


def test_buffers_need_busy_time_from_beyond_the_window():
    """Whoever reads the calendar has to read that far."""
    assert window_to_read(MONDAY, MeetingRequest(buffer_minutes=30)) == span(
        "2026-05-03 23:30", "2026-05-05 00:30"
    )


MINUTES = st.integers(0, 14 * 1440)
BUSY = st.lists(st.tuples(MINUTES, st.integers(0, 600)), max_size=20)


REQUESTS = st.builds(
    MeetingRequest,
    duration_minutes=st.sampled_from([5, 15, 25, 30, 60, 240]),
    time_zone=st.sampled_from(["UTC", PARIS, "America/St_Johns", "Australia/Lord_Howe"]),
    working_hours=st.just(WorkingHours("08:00", "20:00")),
    buffer_minutes=st.sampled_from([0, 10, 60]),
    step_minutes=st.sampled_from([5, 7, 30, 45]),
    max_intervals=st.just(50),
)


@pytest.mark.promise("story.intervals")
@given(BUSY, REQUESTS, MINUTES)
def test_suggestions_never_meet_busy_time_nor_each_other(busy, request_, now):
    """Two weeks around the change of clocks in Europe."""
    base = at("2026-03-23 00:00")
    taken = [
        Interval(base + timedelta(minutes=start), base + timedelta(minutes=start + length))
        for start, length in busy
    ]
    window = Interval(base, base + timedelta(days=14))
    instant = base + timedelta(minutes=now)
    found = suggest(window, taken, request_, instant)
    for each in found:
        assert each.duration == request_.duration
        assert each.start >= instant
        assert is_free(each.widened(request_.buffer), taken)
        assert window.start <= each.start < each.end <= window.end
        local = each.start.astimezone(ZoneInfo(request_.time_zone))
        assert local.isoweekday() <= 5
        assert 8 <= local.hour < 20
        assert (local.hour * 60 + local.minute) % request_.step_minutes == 0
    assert all(before.end <= after.start for before, after in pairwise(found))


@pytest.mark.promise("input.times")
@pytest.mark.parametrize(
    ("make", "reason", "field"),
    [
        (lambda: window_of(None, at("2026-05-04 09:00")), "WINDOW_REQUIRED", "start_time"),
        (lambda: window_of(at("2026-05-04 09:00"), None), "WINDOW_REQUIRED", "end_time"),
        (lambda: window_of(at("2026-05-04 09:00"), at("2026-05-04 09:00")), "WINDOW_INVERTED", "end_time"),
        (lambda: window_of(at("2026-05-04 09:00"), at("2026-05-03 09:00")), "WINDOW_INVERTED", "end_time"),
        (
            lambda: window_of(LONG_AGO, LONG_AGO + timedelta(days=92, seconds=1)),
            "WINDOW_TOO_LONG",
            "end_time",
        ),
        (lambda: window_of(LONG_AGO, datetime.fromisoformat("2020-02-01")), "TIME_WITHOUT_OFFSET", ""),
        (lambda: calendars_of(f"c{n}" for n in range(51)), "TOO_MANY_CALENDARS", "calendar_ids"),
        (lambda: MeetingRequest(4), "DURATION_OUT_OF_RANGE", "duration_minutes"),
        (lambda: MeetingRequest(1441), "DURATION_OUT_OF_RANGE", "duration_minutes"),
        (lambda: MeetingRequest(buffer_minutes=-1), "BUFFER_OUT_OF_RANGE", "buffer_minutes"),
        (lambda: MeetingRequest(buffer_minutes=241), "BUFFER_OUT_OF_RANGE", "buffer_minutes"),
        (lambda: MeetingRequest(step_minutes=4), "STEP_OUT_OF_RANGE", "step_minutes"),
        (lambda: MeetingRequest(step_minutes=241), "STEP_OUT_OF_RANGE", "step_minutes"),
        (lambda: MeetingRequest(max_intervals=0), "COUNT_OUT_OF_RANGE", "max_intervals"),
        (lambda: MeetingRequest(max_intervals=101), "COUNT_OUT_OF_RANGE", "max_intervals"),
        (lambda: MeetingRequest(time_zone="Europe/Nowhere"), "TIME_ZONE_UNKNOWN", "time_zone"),
        (lambda: zone_of(""), "TIME_ZONE_UNKNOWN", "time_zone"),
        (lambda: zone_of("Europe"), "TIME_ZONE_UNKNOWN", "time_zone"),  # a folder of zones
        (lambda: zone_of("../etc/passwd"), "TIME_ZONE_UNKNOWN", "time_zone"),
        (lambda: zone_of("/etc/localtime"), "TIME_ZONE_UNKNOWN", "time_zone"),
        (lambda: zone_of("UTC\x00"), "TIME_ZONE_UNKNOWN", "time_zone"),
        (lambda: WorkingHours("9:00", "18:00"), "WORKING_HOURS_INVALID", "working_hours.start"),
        (lambda: WorkingHours("24:00", "24:00"), "WORKING_HOURS_INVALID", "working_hours.start"),
        (lambda: WorkingHours("09:00", "24:01"), "WORKING_HOURS_INVALID", "working_hours.end"),
        (lambda: WorkingHours("09:00", "09:60"), "WORKING_HOURS_INVALID", "working_hours.end"),
        (lambda: WorkingHours("09:00", "09:00"), "WORKING_HOURS_INVALID", "working_hours.end"),
        (lambda: WorkingHours("18:00", "09:00"), "WORKING_HOURS_INVALID", "working_hours.end"),
        (lambda: WorkingHours("٠٩:00", "18:00"), "WORKING_HOURS_INVALID", "working_hours.start"),
        (lambda: WorkingHours(days=()), "WORKING_HOURS_INVALID", "working_hours.days"),
        (lambda: WorkingHours(days=(0,)), "WORKING_HOURS_INVALID", "working_hours.days"),
        (lambda: WorkingHours(days=(8,)), "WORKING_HOURS_INVALID", "working_hours.days"),
    ],
)
def test_what_the_contract_refuses_is_an_error_with_its_reason(make, reason, field):
    """Reasons are those that the proto names."""
    with pytest.raises(DomainError) as caught:
        make()
    assert (caught.value.reason, caught.value.field) == (reason, field)
    assert str(caught.value) == caught.value.message


def test_bounds_themselves_are_allowed():
    """92 days, 24:00, 50 calendars, each once, `primary` by default."""
    assert window_of(LONG_AGO, LONG_AGO + timedelta(days=92)).duration == timedelta(days=92)
    assert WorkingHours("00:00", "24:00", (7,)).span == (timedelta(0), timedelta(days=1))
    assert calendars_of([]) == ("primary",)
    assert calendars_of(["a", "b", "a"]) == ("a", "b")
    MeetingRequest(5, buffer_minutes=240, step_minutes=240, max_intervals=100)
    MeetingRequest(1440, step_minutes=5, max_intervals=1)
