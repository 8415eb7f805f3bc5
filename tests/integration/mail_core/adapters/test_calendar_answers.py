"""Answers of Google about free time that are not quite answers: none of them may read as free."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from services.common.errors import AppError
from services.mail_core.domain.availability import Interval
from tests.integration.mail_core.adapters.scripted_google import Said, scripted_google

PATH = "/calendar/v3/freeBusy"
DAY = datetime(2026, 11, 23, tzinfo=UTC)
NINE, TEN = "2026-11-23T09:00:00Z", "2026-11-23T10:00:00Z"
NINE_TO_TEN = Interval(DAY + timedelta(hours=9), DAY + timedelta(hours=10))


async def ask(answer: object, *ids: str):
    async with scripted_google() as scripted:
        scripted.says(PATH, Said(body=answer))
        return await scripted.calendar().free_busy(ids or ("primary",), DAY, DAY + timedelta(days=1))


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (None, "absent"),
        ([], "absent"),
        ({}, "malformed"),
        ({"busy": None}, "malformed"),
        ({"busy": [{}]}, "malformed"),
        ({"busy": [{"start": NINE}]}, "malformed"),
        ({"busy": [{"start": "2026-11-23T09:00:00", "end": TEN}]}, "malformed"),
        ({"busy": [{"start": "soon", "end": TEN}]}, "malformed"),
        ({"busy": ["x"]}, "malformed"),
        ({"busy": [], "errors": [{"reason": "notFound"}]}, "notFound"),
        ({"busy": [], "errors": [{}]}, "unknown"),
        ({"busy": [], "errors": "x"}, "unknown"),
    ],
)
async def test_a_calendar_without_a_clear_answer_is_an_error(entry, reason):
    """Errors inside a 200, absent calendars and nonsense are errors, never free time."""
    found = await ask({"calendars": {"primary": entry} if entry is not None else {}})
    assert (found.busy, found.errors) == ({}, {"primary": reason})


@pytest.mark.parametrize("answer", [{}, {"calendars": None}, {"calendars": []}])
async def test_an_answer_without_calendars_makes_all_of_them_errors(answer):
    """What was asked about and is not there may be busy."""
    assert set((await ask(answer, "a", "b")).errors) == {"a", "b"}


@pytest.mark.parametrize("answer", [[], b"<html>"])
async def test_an_answer_that_is_none_is_a_google_that_is_down(answer):
    """A proxy's page is not a free day."""
    with pytest.raises(AppError, match="GOOGLE_DOWN"):
        await ask(answer)


async def test_a_group_is_busy_when_a_member_is():
    """Google lists members under `calendars`, and the group's name only under `groups`."""
    answer = {
        "groups": {"team@example.com": {"calendars": ["a", "b"]}},
        "calendars": {"a": {"busy": []}, "b": {"busy": [{"start": NINE, "end": TEN}]}},
    }
    assert (await ask(answer, "team@example.com")).busy == {"team@example.com": (NINE_TO_TEN,)}


async def test_a_group_with_a_member_that_cannot_be_read_is_an_error():
    """Part of a team is not the team."""
    answer = {
        "groups": {"team": {"calendars": ["a"]}},
        "calendars": {"a": {"busy": [], "errors": [{"reason": "notFound"}]}},
    }
    assert (await ask(answer, "team")).errors == {"team": "notFound"}


async def test_an_error_in_any_part_of_a_long_window_spoils_the_calendar():
    """Half a window is not the window."""
    async with scripted_google() as scripted:
        good = Said(body={"calendars": {"primary": {"busy": [{"start": NINE, "end": TEN}]}}})
        bad = Said(body={"calendars": {"primary": {"errors": [{"reason": "internalError"}]}}})
        scripted.says(PATH, good, bad)
        found = await scripted.calendar().free_busy(["primary"], DAY, DAY + timedelta(days=92))
        windows = sorted(orjson.loads(asked.body)["timeMin"] for asked in scripted.asked_for(PATH))
    assert (found.busy, found.errors) == ({}, {"primary": "internalError"})
    assert windows == ["2026-11-23T00:00:00Z", "2027-01-22T00:00:00Z"]
