"""Instants as text."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import AppError, Kind
from services.common.times import format_instant, parse_instant

OFFSETS = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(
    lambda offset: timezone(timedelta(minutes=offset // timedelta(minutes=1)))
)


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-10T09:00:00Z",
        "2026-03-10T09:00:00z",
        "2026-03-10T10:00:00+01:00",
        "2026-03-10T04:30:00-04:30",
        "2026-03-10T09:00:00.000000Z",
        "2026-03-10 09:00:00+00:00",
    ],
)
def test_an_instant_is_the_same_whatever_its_offset(text: str) -> None:
    """RFC 3339 §5.6, the letter of the separator and of Z included."""
    assert parse_instant(text, "start") == datetime(2026, 3, 10, 9, tzinfo=UTC)


@pytest.mark.promise("input.times")
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("2026-03-10T09:00:00", "TIME_WITHOUT_OFFSET"),
        ("2026-03-10", "TIME_WITHOUT_OFFSET"),
        ("", "TIME_INVALID"),
        ("tomorrow", "TIME_INVALID"),
        ("2026-02-30T09:00:00Z", "TIME_INVALID"),
        ("2026-03-10T25:00:00Z", "TIME_INVALID"),
        ("0001-01-01T00:00:00+23:00", "TIME_INVALID"),  # before the first year, in UTC
        ("9999-12-31T23:59:59-23:00", "TIME_INVALID"),
        ("2026-03-10T09:00:00Z" + " " * 100, "TIME_INVALID"),
        (1_773_133_200, "TIME_INVALID"),
        (None, "TIME_INVALID"),
        (["2026-03-10T09:00:00Z"], "TIME_INVALID"),
    ],
)
def test_what_is_no_instant_is_refused_by_field(value: object, reason: str) -> None:
    """A naive time is told apart, because the cure is another."""
    with pytest.raises(AppError) as caught:
        parse_instant(value, "start_time")
    assert (caught.value.kind, caught.value.reason) == (Kind.INVALID_ARGUMENT, reason)
    assert [field.field for field in caught.value.fields] == ["start_time"]


@given(st.text(max_size=70))
def test_any_text_is_an_instant_or_a_typed_error(text: str) -> None:
    """Nothing else comes out, and no error repeats the text."""
    try:
        outcome: object = parse_instant(text, "start").tzinfo
    except AppError as error:
        outcome = error.reason
    assert outcome in {UTC, "TIME_INVALID", "TIME_WITHOUT_OFFSET"}


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=OFFSETS))  # noqa: DTZ001 hypothesis wants them so
def test_what_is_written_reads_back_to_the_millisecond(instant: datetime) -> None:
    """Cut, not rounded: an end never moves past itself."""
    written = format_instant(instant)
    assert written.endswith("Z")
    assert timedelta() <= instant - parse_instant(written, "x") < timedelta(milliseconds=1)
