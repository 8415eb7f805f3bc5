"""How long to wait before trying again."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Doubling waits with jitter, so that many who failed together do not come back together."""

    tries: int = 5
    first_s: float = 0.5
    longest_s: float = 16.0
    jitter: Callable[[], float] = random.random

    def delay_s(self, failures: int) -> float:
        """Wait after so many failures (1 or more): between half and all of the doubled wait."""
        full = min(self.longest_s, self.first_s * 2 ** (failures - 1))
        return full * (0.5 + self.jitter() / 2)

    def is_last(self, failures: int) -> bool:
        """Whether so many failures are enough."""
        return failures >= self.tries
