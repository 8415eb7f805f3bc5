"""Paces the calls for one account to Google's quota, so that Google never has to.

Two limits hold together. A bucket that fills at the minute's rate keeps background work from hogging
the next second; a window over the last minute keeps burst plus refill from ever exceeding the quota.
Interactive calls go first, and a little of each minute is kept for them.
"""

import asyncio
import heapq
import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from services.common.errors import AppError, exhausted
from services.mail_core.adapters.clock import Clock, Timer
from services.mail_core.ports import Priority

_WINDOW_S: Final = 60.0
_BURST_SHARE: Final = 0.2
_BACKGROUND_SHARE: Final = 0.95


@dataclass(order=True, slots=True)
class _Waiter:
    priority: Priority
    arrival: int
    units: int = field(compare=False)
    admitted: asyncio.Future[None] = field(compare=False)


class QuotaLedger:
    """Units spent and to spend for one account. Lives in one process, on one event loop."""

    def __init__(self, units_per_minute: int, clock: Clock) -> None:
        self._limit = units_per_minute
        self._rate = units_per_minute / _WINDOW_S
        self._clock = clock
        self._tokens = self._capacity = units_per_minute * _BURST_SHARE
        self._filled_at = clock.now()
        self._window: deque[tuple[float, int]] = deque()
        self._in_window = 0
        self._paused_until = 0.0
        self._waiting: list[_Waiter] = []
        self._arrivals = itertools.count()
        self._timer: Timer | None = None

    async def acquire(self, units: int, priority: Priority, time_left_s: float | None = None) -> None:
        """Wait until so many units may be spent.

        Raises RESOURCE_EXHAUSTED GMAIL_QUOTA with the time to wait when that is beyond `time_left_s`.
        """
        if time_left_s is not None and (wait_s := self._wait_s(units, priority)) > time_left_s:
            raise _no_time(wait_s)
        waiter = _Waiter(priority, next(self._arrivals), units, asyncio.get_running_loop().create_future())
        heapq.heappush(self._waiting, waiter)
        self._admit()
        if waiter.admitted.done():
            return
        await self._until_admitted(waiter, time_left_s)

    def pause(self, seconds: float) -> None:
        """Spend nothing for a while: Google says that the account's quota is used up, by us or by others."""
        self._paused_until = max(self._paused_until, self._clock.now() + seconds)
        self._fill()
        self._tokens = min(self._tokens, 0.0)

    def is_idle(self) -> bool:
        """Whether forgetting this ledger would forget nothing."""
        self._forget_old()
        return not self._waiting and not self._window and self._paused_until <= self._clock.now()

    async def _until_admitted(self, waiter: _Waiter, time_left_s: float | None) -> None:
        deadline = None
        if time_left_s is not None:
            deadline = self._clock.call_later(time_left_s, lambda: self._give_up(waiter))
        try:
            await waiter.admitted
        finally:
            waiter.admitted.cancel()
            if deadline is not None:
                deadline.cancel()
            # Whoever waited behind this one may be able to go now.
            self._admit()

    def _give_up(self, waiter: _Waiter) -> None:
        if not waiter.admitted.done():
            waiter.admitted.set_exception(_no_time(self._wait_s(waiter.units, waiter.priority)))

    def _admit(self) -> None:
        """Let in whoever may go, best first, and come back when the next one may."""
        while self._waiting:
            head = self._waiting[0]
            if head.admitted.done():
                heapq.heappop(self._waiting)
                continue
            wait_s = self._wait_s(head.units, head.priority)
            if wait_s > 0:
                self._come_back(wait_s)
                return
            heapq.heappop(self._waiting)
            self._spend(head.units)
            head.admitted.set_result(None)

    def _come_back(self, wait_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # A hair later than computed, so that rounding does not make it come back for nothing.
        self._timer = self._clock.call_later(wait_s + 0.001, self._admit)

    def _spend(self, units: int) -> None:
        self._tokens -= units
        self._window.append((self._clock.now(), units))
        self._in_window += units

    def _wait_s(self, units: int, priority: Priority) -> float:
        self._fill()
        self._forget_old()
        return max(
            self._paused_until - self._clock.now(),
            (min(units, self._capacity) - self._tokens) / self._rate,
            self._window_wait_s(units, priority),
            0.0,
        )

    def _window_wait_s(self, units: int, priority: Priority) -> float:
        limit = self._limit if priority is Priority.INTERACTIVE else self._limit * _BACKGROUND_SHARE
        excess = self._in_window + units - limit
        for spent_at, spent in self._window:
            if excess <= 0:
                break
            excess -= spent
            if excess <= 0:
                return spent_at + _WINDOW_S - self._clock.now()
        return 0.0 if excess <= 0 else self._last_expiry_s()

    def _last_expiry_s(self) -> float:
        # More than a whole minute's quota at once: the best moment is when nothing else counts.
        return self._window[-1][0] + _WINDOW_S - self._clock.now() if self._window else 0.0

    def _fill(self) -> None:
        now = self._clock.now()
        self._tokens = min(self._capacity, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now

    def _forget_old(self) -> None:
        horizon = self._clock.now() - _WINDOW_S
        while self._window and self._window[0][0] <= horizon:
            self._in_window -= self._window.popleft()[1]


def _no_time(wait_s: float) -> AppError:
    message = "Gmail's quota for this account leaves no room for the request in time."
    return exhausted("GMAIL_QUOTA", message, retry_after_s=max(wait_s, 0.1))
