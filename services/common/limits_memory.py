"""Exact counting in one process: a moving window that remembers when each admitted request came."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Final

from services.common.limits import WINDOW_S, Limit, Standing, Verdict, judged

_MAX_SUBJECTS: Final = 100_000
"""More subjects within one minute than this and the one that was silent longest is forgotten."""


class MemoryWindows:
    """Counts for a process that is alone. `clock` gives seconds and never goes back."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, max_subjects: int = _MAX_SUBJECTS
    ) -> None:
        self._clock = clock
        self._max_subjects = max_subjects
        self._windows: OrderedDict[str, deque[float]] = OrderedDict()

    async def admit(self, limits: Sequence[Limit], *, counts: bool = True) -> Verdict:
        """Let a request in and count it, or refuse it."""
        return self.admit_now(limits, counts=counts)

    async def close(self) -> None:
        """Nothing to let go of."""

    def admit_now(self, limits: Sequence[Limit], *, counts: bool = True) -> Verdict:
        """Decide without waiting, so nothing can come between looking and counting."""
        now = self._clock()
        windows = [self._window(limit.subject, now) for limit in limits]
        is_admitted = all(len(w) < limit.per_minute for w, limit in zip(windows, limits, strict=True))
        if is_admitted and counts:
            self._count(limits, windows, now)
        pairs = zip(limits, windows, strict=True)
        return judged(
            tuple(_standing(limit, window, now, is_admitted=is_admitted) for limit, window in pairs)
        )

    def note(self, limits: Sequence[Limit], at: float) -> None:
        """Count a request that was let in elsewhere."""
        self._count(limits, [self._window(limit.subject, at) for limit in limits], at)

    def __len__(self) -> int:
        return len(self._windows)

    def _window(self, subject: str, now: float) -> deque[float]:
        window = self._windows.get(subject)
        if window is None:
            return deque()
        while window and window[0] <= now - WINDOW_S:
            window.popleft()
        return window

    def _count(self, limits: Sequence[Limit], windows: Sequence[deque[float]], now: float) -> None:
        for limit, window in zip(limits, windows, strict=True):
            window.append(now)
            self._windows[limit.subject] = window
            self._windows.move_to_end(limit.subject)
        self._forget(now)

    def _forget(self, now: float) -> None:
        # The first was counted longest ago. Two a request, so that what is forgotten outruns what is new.
        for _ in range(2):
            subject, window = next(iter(self._windows.items()))
            if window and window[-1] > now - WINDOW_S and len(self._windows) <= self._max_subjects:
                return
            del self._windows[subject]
            if not self._windows:
                return


def _standing(limit: Limit, window: deque[float], now: float, *, is_admitted: bool) -> Standing:
    count = len(window)
    if is_admitted or count < limit.per_minute:
        return Standing(limit, limit.per_minute - count, window[0] + WINDOW_S - now if window else 0.0)
    # A limit that was lowered has to lose more than one request before there is room again.
    leaving = window[count - limit.per_minute] if limit.per_minute > 0 else now
    return Standing(limit, -1, leaving + WINDOW_S - now)
