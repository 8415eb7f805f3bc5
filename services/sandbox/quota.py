"""Gmail's usage limits: what each method costs, and one ledger per user that keeps count.

Costs are those of https://developers.google.com/workspace/gmail/api/reference/quota: the 2026 table holds for
projects made since 2026-05-01, the 2025 table for older ones.
"""

import math
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from services.sandbox.errors import over_quota, too_many_at_once

WINDOW_S = 60.0
CONCURRENT_LIMIT = 25  # seen: 25 parts pass, 100 fail at once; Google documents the error, not the number


@dataclass(frozen=True, slots=True)
class QuotaTable:
    """Units by method, and units that one user may spend in any 60 seconds."""

    units_per_minute: int
    units: Mapping[str, int]


_SAME_IN_BOTH = {
    "gmail.users.getProfile": 1,
    "gmail.users.labels.list": 1,
    "gmail.users.labels.get": 1,
    "gmail.users.labels.create": 5,
    "gmail.users.labels.patch": 5,
    "gmail.users.labels.delete": 5,
    "gmail.users.history.list": 2,
    "gmail.users.messages.list": 5,
    "gmail.users.messages.send": 100,
    "gmail.users.messages.modify": 5,
    "gmail.users.messages.batchModify": 50,
    "gmail.users.threads.list": 10,
    "gmail.users.settings.sendAs.list": 1,
}
TABLES = {
    "2026": QuotaTable(
        6_000,
        {
            **_SAME_IN_BOTH,
            "gmail.users.messages.get": 20,
            "gmail.users.messages.attachments.get": 20,
            "gmail.users.messages.trash": 20,
            "gmail.users.messages.untrash": 20,
            "gmail.users.threads.get": 40,
        },
    ),
    "2025": QuotaTable(
        15_000,
        {
            **_SAME_IN_BOTH,
            "gmail.users.messages.get": 5,
            "gmail.users.messages.attachments.get": 5,
            "gmail.users.messages.trash": 5,
            "gmail.users.messages.untrash": 5,
            "gmail.users.threads.get": 10,
        },
    ),
}


@dataclass(slots=True)
class Ledger:
    """Units that one user spent in the last 60 seconds, and calls that are running."""

    table: QuotaTable
    clock: Callable[[], float]
    spent_units: int = 0
    refused_calls: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    running: int = 0
    _window: deque[tuple[float, int]] = field(default_factory=deque)
    _window_units: int = 0

    def charge(self, method: str) -> None:
        """Take the units of one call.

        Raises:
            ApiError: 403 `rateLimitExceeded` with Retry-After, nothing is taken.

        """
        units = self.table.units.get(method, 0)
        now = self.clock()
        self._forget_before(now - WINDOW_S)
        if self._window_units + units > self.table.units_per_minute:
            self.refused_calls += 1
            raise over_quota(self._wait_s(now, units))
        self._window.append((now, units))
        self._window_units += units
        self.spent_units += units
        self.calls[method] += 1

    def slot(self) -> AbstractContextManager[None]:
        """Hold one of the user's concurrent calls.

        Raises:
            ApiError: 429 `rateLimitExceeded`, too many run at once.

        """
        if self.running >= CONCURRENT_LIMIT:
            self.refused_calls += 1
            raise too_many_at_once()
        return _Slot(self)

    def _forget_before(self, instant: float) -> None:
        while self._window and self._window[0][0] <= instant:
            self._window_units -= self._window.popleft()[1]

    def _wait_s(self, now: float, units: int) -> int:
        """Whole seconds until enough old calls have left the window."""
        surplus = self._window_units + units - self.table.units_per_minute
        for spent_at, spent in self._window:
            surplus -= spent
            if surplus <= 0:
                return max(1, math.ceil(spent_at + WINDOW_S - now))
        return int(WINDOW_S)


class _Slot(AbstractContextManager[None]):
    """Counts from its making, so that all parts of a batch count before the first of them runs."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        ledger.running += 1

    def __exit__(self, *_: object) -> None:
        self._ledger.running -= 1
