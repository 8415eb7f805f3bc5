"""Counting, in memory and on a real Valkey: the same promises."""

import asyncio

import pytest

from services.common.limits import Limit, Windows
from tests.contract.limits.worlds import MemoryWorld, SharedWorld, a_limit

World = MemoryWorld | SharedWorld


async def admitted(windows: Windows, times: int, *limits: Limit) -> int:
    """How many of so many requests at once are let in."""
    verdicts = await asyncio.gather(*(windows.admit(limits) for _ in range(times)))
    return sum(verdict.refused is None for verdict in verdicts)


async def test_300_requests_at_once_on_a_limit_of_60_let_in_exactly_60(world: World) -> None:
    """The reference system let all 300 in."""
    assert await admitted(world.windows, 300, a_limit(60)) == 60


async def test_the_window_slides_and_does_not_jump(world: World) -> None:
    """Whoever asks at the end of a minute does not get twice as much at the start of the next."""
    limit = a_limit(60)
    assert await admitted(world.windows, 40, limit) == 40
    world.advance(59)
    assert await admitted(world.windows, 40, limit) == 20
    world.advance(1.001)
    assert await admitted(world.windows, 60, limit) == 40
    world.advance(58)
    assert await admitted(world.windows, 60, limit) == 0
    world.advance(2)
    assert await admitted(world.windows, 80, limit) == 60


async def test_remaining_counts_down_and_reset_says_when_it_goes_up_again(world: World) -> None:
    """Ours; the headers are made of it."""
    limit = a_limit(3)
    first = (await world.windows.admit((limit,))).tightest
    world.advance(20)
    second = (await world.windows.admit((limit,))).tightest
    assert (first.remaining, second.remaining) == (2, 1)
    assert first.reset_s == pytest.approx(60, abs=1)
    assert second.reset_s == pytest.approx(40, abs=1)


async def test_a_refusal_says_how_long_to_wait_and_that_is_enough(world: World) -> None:
    """Ours; Retry-After is made of it."""
    limit = a_limit(2)
    await admitted(world.windows, 2, limit)
    world.advance(45)
    refused = (await world.windows.admit((limit,))).refused
    assert refused is not None
    assert refused.remaining == 0
    assert refused.reset_s == pytest.approx(15, abs=1)
    world.advance(refused.reset_s + 0.01)
    assert (await world.windows.admit((limit,))).refused is None


async def test_a_request_that_one_limit_refuses_counts_against_none(world: World) -> None:
    """A key that hammers at its limit does not use up its team's."""
    key, team = a_limit(5), a_limit(20, "team")
    assert await admitted(world.windows, 100, key, team) == 5
    other = a_limit(50)
    assert await admitted(world.windows, 100, other, team) == 15
    refused = (await world.windows.admit((other, team))).refused
    assert refused is not None
    assert refused.limit == team


async def test_looking_does_not_count(world: World) -> None:
    """Ours: addresses are looked at before auth is asked."""
    limit = a_limit(1)
    for _ in range(3):
        assert (await world.windows.admit((limit,), counts=False)).refused is None
    assert await admitted(world.windows, 3, limit) == 1
    assert (await world.windows.admit((limit,), counts=False)).refused is not None


async def test_a_lowered_limit_holds_at_once(world: World) -> None:
    """A team that changes to a smaller plan waits until there is room under the new number."""
    limit = a_limit(10)
    for _ in range(10):
        await world.windows.admit((limit,))
        world.advance(1)
    lowered = Limit(limit.name, limit.subject, 4)
    refused = (await world.windows.admit((lowered,))).refused
    assert refused is not None
    assert refused.reset_s == pytest.approx(56, abs=1)


async def test_a_limit_of_nothing_lets_nothing_in(world: World) -> None:
    """Ours."""
    limit = a_limit(0)
    refused = (await world.windows.admit((limit,))).refused
    assert refused is not None
    assert refused.reset_s == pytest.approx(60)
