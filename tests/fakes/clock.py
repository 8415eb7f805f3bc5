"""Clocks that tests move."""

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")
_SETTLING = 20
"""Turns of the event loop in which whoever was woken does what follows."""


@dataclass(order=True)
class _Alarm:
    at: float
    number: int
    callback: Callable[[], None] = field(compare=False)
    is_cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.is_cancelled = True


class ManualClock:
    """Stands still until a test moves it, and then rings what is due, in order."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._alarms: list[_Alarm] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        return self._now

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> _Alarm:
        alarm = _Alarm(self._now + max(delay_s, 0.0), next(self._numbers), callback)
        heapq.heappush(self._alarms, alarm)
        return alarm

    async def advance(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self._now + seconds
        await _settle()
        while self._alarms and self._alarms[0].at <= end:
            await self._ring_next()
        self._now = end
        await _settle()

    async def finish(self, work: Awaitable[T]) -> tuple[T, float]:
        """Let as much time pass as some work waits for. Gives its result and the seconds that passed."""
        started = self._now
        task = asyncio.ensure_future(work)
        await _settle()
        while not task.done() and self._alarms:
            await self._ring_next()
        return await task, self._now - started

    async def _ring_next(self) -> None:
        alarm = heapq.heappop(self._alarms)
        if not alarm.is_cancelled:
            self._now = max(self._now, alarm.at)
            alarm.callback()
            await _settle()


class HastyClock:
    """Jumps over every wait at once, the one that ends first, and remembers how long it would have been."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._alarms: list[_Alarm] = []
        self._numbers = itertools.count()
        self._is_ringing = False
        self.waits: list[float] = []

    def now(self) -> float:
        return self._now

    def skip(self, seconds: float) -> None:
        """Let time pass while nobody waits."""
        self._now += seconds

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> _Alarm:
        def ring() -> None:
            self.waits.append(delay_s)
            callback()

        alarm = _Alarm(self._now + delay_s, next(self._numbers), ring)
        heapq.heappush(self._alarms, alarm)
        self._ring_soon()
        return alarm

    def _ring_soon(self) -> None:
        if not self._is_ringing:
            self._is_ringing = True
            asyncio.get_running_loop().call_soon(self._ring_next, _SETTLING)

    def _ring_next(self, turns: int) -> None:
        # Whoever was just woken may cancel what is due next: a deadline, for one.
        if turns:
            asyncio.get_running_loop().call_soon(self._ring_next, turns - 1)
            return
        self._is_ringing = False
        while self._alarms and self._alarms[0].is_cancelled:
            heapq.heappop(self._alarms)
        if self._alarms:
            alarm = heapq.heappop(self._alarms)
            self._now = max(self._now, alarm.at)
            alarm.callback()
            self._ring_soon()


async def _settle() -> None:
    for _ in range(_SETTLING):
        await asyncio.sleep(0)
