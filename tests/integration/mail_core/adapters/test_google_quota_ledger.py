"""The unit ledger, on a clock that the test moves."""

import asyncio

import pytest

from services.common.errors import AppError, Kind
from services.mail_core.adapters.quota import QuotaLedger
from services.mail_core.ports import Priority
from tests.fakes.clock import ManualClock

LIMIT = 6_000
NOW, LATER = Priority.INTERACTIVE, Priority.BACKGROUND


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ledger(clock) -> QuotaLedger:
    return QuotaLedger(LIMIT, clock)


async def spend_all(
    ledger: QuotaLedger, clock: ManualClock, units: int, times: int, priority=LATER
) -> list[float]:
    """Spend again and again; give the moment of each."""
    moments = []

    async def work() -> None:
        for _ in range(times):
            await ledger.acquire(units, priority)
            moments.append(clock.now())

    await clock.finish(work())
    return moments


@pytest.mark.promise("once.quota")
async def test_no_minute_holds_more_than_the_quota(ledger, clock):
    """Burst and refill together stay within the limit in any 60 seconds, for a scan of 1,000 messages."""
    moments = await spend_all(ledger, clock, 500, 40)
    for start in moments:
        spent = sum(500 for moment in moments if start <= moment < start + 60)
        assert spent <= LIMIT


async def test_a_long_scan_runs_at_the_speed_of_the_quota(ledger, clock):
    """Pacing costs next to nothing: over ten minutes at least nine tenths of the quota are used."""
    moments = await spend_all(ledger, clock, 500, 120)
    assert 500 * 120 / (moments[-1] - moments[0] + 5) * 60 >= LIMIT * 0.9


async def test_the_first_batch_goes_at_once(ledger, clock):
    """A first answer does not wait for units that nobody has spent."""
    _, waited = await clock.finish(ledger.acquire(500, LATER))
    assert waited == 0


@pytest.mark.promise("once.quota")
async def test_interactive_calls_go_before_background_ones(ledger, clock):
    """Who waits for an answer does not stand behind a scan."""
    await ledger.acquire(1_200, LATER)
    order: list[str] = []

    async def spend(name: str, units: int, priority: Priority) -> None:
        await ledger.acquire(units, priority)
        order.append(name)

    tasks = [asyncio.create_task(spend(f"scan {n}", 500, LATER)) for n in range(3)]
    await clock.advance(0.1)
    tasks.append(asyncio.create_task(spend("person", 5, NOW)))
    await clock.advance(0.1)
    assert order == ["person"]
    await clock.finish(asyncio.gather(*tasks))
    assert order == ["person", "scan 0", "scan 1", "scan 2"]


async def test_a_scan_leaves_some_of_each_minute_to_people(ledger, clock):
    """However hard a scan works, a small interactive call waits seconds at most, not a minute."""
    scan = asyncio.create_task(spend_all(ledger, ManualClock(), 500, 60))
    longest = 0.0
    for _ in range(20):
        await clock.advance(7)
        _, waited = await clock.finish(ledger.acquire(5, NOW))
        longest = max(longest, waited)
    scan.cancel()
    await asyncio.gather(scan, return_exceptions=True)
    assert longest < 1


async def test_a_deadline_too_close_is_refused_at_once_with_the_time_to_wait(ledger, clock):
    """Nobody waits for units that cannot come in time."""
    await ledger.acquire(1_200, LATER)
    with pytest.raises(AppError) as refused:
        await ledger.acquire(500, NOW, time_left_s=2)
    assert (refused.value.kind, refused.value.reason) == (Kind.RESOURCE_EXHAUSTED, "GMAIL_QUOTA")
    assert refused.value.retry_after_s == pytest.approx(5)


async def test_a_deadline_that_passes_in_the_queue_is_refused(ledger, clock):
    """Others that came first may use up the time; the wait ends at the deadline, not later."""
    await ledger.acquire(1_200, LATER)
    first = asyncio.create_task(ledger.acquire(500, NOW))
    await clock.advance(0.1)
    second = asyncio.create_task(ledger.acquire(500, NOW, time_left_s=7))
    await clock.advance(7.1)
    assert first.done()
    with pytest.raises(AppError, match="GMAIL_QUOTA"):
        await second


async def test_who_gives_up_spends_nothing_and_holds_up_nobody(ledger, clock):
    """A cancelled wait leaves the queue, and those behind it move up."""
    await ledger.acquire(1_200, LATER)
    big = asyncio.create_task(ledger.acquire(1_000, LATER))
    small = asyncio.create_task(ledger.acquire(100, LATER))
    await clock.advance(0.5)
    big.cancel()
    await clock.advance(0.6)
    assert small.done()


async def test_a_pause_holds_everybody(ledger, clock):
    """After Google said to slow down, nothing goes out until it is over."""
    ledger.pause(30)
    _, waited = await clock.finish(ledger.acquire(1, NOW))
    assert waited == pytest.approx(30, abs=0.1)


async def test_more_than_a_minute_holds_at_once_still_goes(clock):
    """A table smaller than one batch must not block for ever."""
    ledger = QuotaLedger(100, clock)
    _, waited = await clock.finish(ledger.acquire(500, LATER))
    assert waited < 120


async def test_a_ledger_is_idle_once_its_minute_is_over(ledger, clock):
    """Only what forgets nothing may be forgotten."""
    await ledger.acquire(5, NOW)
    assert not ledger.is_idle()
    await clock.advance(61)
    assert ledger.is_idle()
