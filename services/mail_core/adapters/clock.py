"""Time as the adapters use it, so that tests can move it."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """Something scheduled that can be called off."""

    def cancel(self) -> None:
        """Call it off; harmless when it already ran."""
        ...


class Clock(Protocol):
    """A monotonic clock in seconds that can also wake somebody up."""

    def now(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Run a callback once, after a delay."""
        ...


class SystemClock:
    """The machine's clock and the running event loop's timers."""

    def now(self) -> float:
        """Seconds on the machine's monotonic clock."""
        return time.monotonic()

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Run a callback on the running loop."""
        return asyncio.get_running_loop().call_later(delay_s, callback)


async def sleep(clock: Clock, delay_s: float) -> None:
    """Wait on a clock."""
    if delay_s <= 0:
        return
    done = asyncio.get_running_loop().create_future()
    timer = clock.call_later(delay_s, lambda: None if done.done() else done.set_result(None))
    try:
        await done
    finally:
        timer.cancel()
