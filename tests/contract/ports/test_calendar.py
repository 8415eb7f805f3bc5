"""What every Calendar port keeps, in memory and against a Google."""

from datetime import UTC, datetime, timedelta

import pytest

from services.common.errors import AppError, Kind
from services.mail_core.domain.availability import Interval
from tests.contract.ports.worlds import World

# Far from whatever else the calendars hold.
DAY = datetime(2031, 3, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)


async def test_busy_time_is_what_the_calendar_holds(world: World):
    """Busy stretches come merged, in order and with their offset."""
    start = DAY + 9 * HOUR
    await world.busy(start, start + HOUR)
    await world.busy(start + HOUR / 2, start + 2 * HOUR)
    found = await world.calendar().free_busy(["primary"], DAY, DAY + 24 * HOUR)
    assert found.busy == {"primary": (Interval(start, start + 2 * HOUR),)}
    assert found.errors == {}


@pytest.mark.promise("story.busy")
async def test_an_unknown_calendar_is_an_error_and_not_free(world: World):
    """A calendar that errors inside a 200 is not free."""
    found = await world.calendar().free_busy(["primary", "nobody@nowhere.example"], DAY, DAY + HOUR)
    assert set(found.busy) == {"primary"}
    assert found.errors == {"nobody@nowhere.example": "notFound"}


@pytest.mark.promise("story.busy")
async def test_a_failing_calendar_is_an_error_and_not_free(world: World):
    """Google's reason is passed on."""
    await world.calendar_fails("primary", "internalError")
    found = await world.calendar().free_busy(["primary"], DAY, DAY + HOUR)
    assert (found.busy, found.errors) == ({}, {"primary": "internalError"})


async def test_a_long_window_is_answered_whole(world: World):
    """Windows longer than Google takes are split; busy time over a seam stays one stretch."""
    since = DAY + timedelta(days=400)
    seam = since + timedelta(days=60)
    await world.busy(seam - HOUR, seam + HOUR)
    found = await world.calendar().free_busy(["primary"], since, since + timedelta(days=92))
    assert found.busy["primary"] == (Interval(seam - HOUR, seam + HOUR),)


async def test_a_calendar_named_twice_is_asked_about_once(world: World):
    """Repeats do not count towards the limit."""
    found = await world.calendar().free_busy(["primary"] * 60, DAY, DAY + HOUR)
    assert set(found.busy) == {"primary"}


async def test_too_many_calendars_are_refused(world: World):
    """Google reads 50 at most; the 51st would silently be missing."""
    with pytest.raises(AppError) as refused:
        await world.calendar().free_busy([f"{n}@example.com" for n in range(51)], DAY, DAY + HOUR)
    assert (refused.value.kind, refused.value.reason) == (Kind.INVALID_ARGUMENT, "TOO_MANY_CALENDARS")


async def test_a_revoked_grant_is_said_to_be_revoked(world: World):
    """The same reason as for mail: it is the same grant."""
    await world.revoke()
    with pytest.raises(AppError, match="GMAIL_GRANT_REVOKED"):
        await world.calendar().free_busy(["primary"], DAY, DAY + HOUR)
