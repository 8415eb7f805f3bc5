"""How much time a promise about time may take on a machine that has other work as well."""

import asyncio
import time
from typing import Final, Self

import aiohttp

PROMISED_S: Final = 1.0
_PATIENCE: Final = 10.0
"""How many times the slowest plain answer of the machine something may take beyond what was promised."""


class Pace:
    """Asks, while the block runs, a question that nothing hangs on, and remembers the slowest answer.

    On a quiet machine that is some milliseconds, and the promise is what counts. On a machine that others
    keep busy, a process may not be given the processor for a second; then it cannot hear of a revocation.
    """

    def __init__(self, http: aiohttp.ClientSession, rest: str) -> None:
        """`rest` is the REST edge's address."""
        self._http = http
        self._url = f"{rest}/health"
        self.slowest_s = 0.0

    async def __aenter__(self) -> Self:
        self._asking = asyncio.create_task(self._ask())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._asking.cancel()
        await asyncio.gather(self._asking, return_exceptions=True)

    @property
    def allowed_s(self) -> float:
        """How long what is promised within a second may take just now."""
        return PROMISED_S + _PATIENCE * self.slowest_s

    async def _ask(self) -> None:
        while True:
            since = time.monotonic()
            async with self._http.get(self._url):
                self.slowest_s = max(self.slowest_s, time.monotonic() - since)
            await asyncio.sleep(0.01)
