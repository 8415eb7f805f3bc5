"""The user's story, the same by REST, MCP and A2A, against the running processes over mutual TLS."""

from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from tests.e2e.stories import Facts, telling
from tests.system import RunningSystem

EDGES = ("rest", "mcp", "a2a")
# Each edge ends lists of its own, so that one system can serve all three stories in any order.
LISTS = {
    "rest": ("hebdo.pythonhebdo.example", "planet.postgresplanet.example"),
    "mcp": ("brief.cloudnativebrief.example", "lettre.jardinagefacile.example"),
    "a2a": ("offres.atelier-mode.example", "aio-dev.lists.hackers.example"),
}


@pytest.mark.promise("story.same")
@pytest.mark.parametrize("edge", EDGES)
async def test_scan_candidates_unsubscribe_twice_and_free_time(edge: str, system: RunningSystem) -> None:
    """Scan, see what fills the mailbox, end two lists, ask again, find time: the same on every edge."""
    async with telling(edge, system) as story:
        await story.scan()
        ranked = await story.candidates()
        counts = [row["message_count"] for row in ranked]
        assert counts == sorted(counts, reverse=True)
        assert len(ranked) > 20
        chosen = {row["key"]: row for row in ranked if row["key"] in LISTS[edge]}
        one_click, mailto = (chosen[key] for key in LISTS[edge])
        assert (one_click["method"], mailto["method"]) == ("one_click", "mailto")

        first = await story.unsubscribe([one_click["id"], mailto["id"]], f"{edge}-1")
        assert [(row["state"], row["already_done"]) for row in first] == [
            ("accepted", False),
            ("sent", False),
        ]
        again = await story.unsubscribe([one_click["id"], mailto["id"]], f"{edge}-2")
        assert [row["already_done"] for row in again] == [True, True]

        start, end = _next_monday(8), _next_monday(20)
        free = await story.availability(start, end)
        assert free["available"] is False
        assert free["busy"]
        found = await story.intervals(start, end, duration_minutes=30, time_zone="Europe/Paris")
        assert 1 <= len(found) <= 5
        assert not [slot for slot in found if _overlaps(slot, free["busy"])]


@pytest.mark.promise("story.same")
async def test_three_edges_tell_the_same_truth(system: RunningSystem) -> None:
    """The same candidates, in the same order, with the same words."""
    told = []
    for edge in EDGES:
        async with telling(edge, system) as story:
            await story.scan()
            told.append(
                [(row["key"], row["method"], row["method_reason"]) for row in await story.candidates()]
            )
    assert told[0] == told[1] == told[2]


@pytest.mark.promise("quiet.context", "once.unsubscribe")
@pytest.mark.parametrize("edge", EDGES)
async def test_each_list_was_asked_once_without_our_context(edge: str, system: RunningSystem) -> None:
    """The sender saw one POST with the one form that RFC 8058 allows, and nothing about us."""
    async with telling(edge, system) as story:
        await story.scan()
        row = next(row for row in await story.candidates() if row["key"] == LISTS[edge][0])
        for attempt in range(3):
            await story.unsubscribe([row["id"]], f"{edge}-once-{attempt}")
    name = {"rest": "python-hebdo", "mcp": "cloud-native-brief", "a2a": "atelier-mode"}[edge]
    received = await _requests_of_list(system, name)
    assert [request["method"] for request in received] == ["POST"]
    headers = {name.lower() for name, *_ in _pairs(received[0]["headers"])}
    assert not headers & {"cookie", "authorization", "referer", "traceparent", "x-request-id", "baggage"}


async def _requests_of_list(system: RunningSystem, name: str) -> list[Facts]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{system.sandbox}/sandbox/requests", params={"list": name}) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return (await answer.json())["requests"]


def _pairs(headers: object) -> list[tuple[str, ...]]:
    return list(headers.items()) if isinstance(headers, dict) else [tuple(pair) for pair in headers]  # type: ignore[attr-defined]


def _next_monday(hour: int) -> str:
    today = datetime.now(UTC).replace(hour=hour, minute=0, second=0, microsecond=0)
    return (today + timedelta(days=7 - today.weekday())).isoformat()


def _overlaps(slot: Facts, busy: list[Facts]) -> bool:
    return any(
        slot["start_time"] < each["end_time"] and each["start_time"] < slot["end_time"] for each in busy
    )
