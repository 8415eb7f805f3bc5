"""Keeps processes alive: one that dies comes back where it was; one that cannot live ends everything."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.cli.failure import Failure
from services.cli.programs import Addresses, Program, Running, start


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how soon a process is started again."""

    first_delay_s: float = 0.05
    longest_delay_s: float = 5.0
    deaths: int = 8
    within_s: float = 30.0
    failed_starts: int = 3

    def delay_s(self, recent_deaths: int) -> float:
        """Time to wait before the next start."""
        return min(self.longest_delay_s, self.first_delay_s * 4 ** (recent_deaths - 1))


class Observer(Protocol):
    """Hears what happens to processes."""

    def died(self, name: str, pid: int) -> None:
        """A process ended by itself."""

    def returned(self, name: str, pid: int) -> None:
        """It is ready again."""


@dataclass(slots=True)
class Supervisor:
    """The processes of one system, in the order in which they were started."""

    observer: Observer
    patience: Patience = Patience()
    running: dict[str, Running] = field(default_factory=dict)
    _watchers: list[asyncio.Task[None]] = field(default_factory=list)
    _broken: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def pids(self) -> Mapping[str, int]:
        """Process ids by name."""
        return {name: running.pid for name, running in self.running.items()}

    async def add(self, program: Program, prepare: Callable[[], None] = lambda: None) -> Addresses:
        """Start a program, wait until it is ready, and keep it alive. Raises Failure when it does not start.

        `prepare` runs before every restart, to clear what a killed process left behind.
        """
        running = await start(program)
        self.running[program.name] = running
        self._watchers.append(asyncio.create_task(self._keep(running, prepare), name=f"keep {program.name}"))
        return running.addresses

    async def broken(self) -> None:
        """Wait until a process cannot be kept alive; raises Failure then."""
        await asyncio.shield(self._broken)

    async def stop(self, stages: Sequence[Sequence[str]]) -> None:
        """Stop everything: stage by stage, together within a stage, then whatever no stage names."""
        await self._stop_watching()
        rest = [name for name in self.running if not any(name in stage for stage in stages)]
        for stage in (*stages, rest):
            await asyncio.gather(*(self.running[name].stop() for name in stage if name in self.running))

    async def _stop_watching(self) -> None:
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        self._broken.cancel()

    async def _keep(self, running: Running, prepare: Callable[[], None]) -> None:
        deaths: deque[float] = deque(maxlen=self.patience.deaths)
        while True:
            await running.process.wait()
            self.observer.died(running.program.name, running.pid)
            deaths.append(asyncio.get_running_loop().time())
            try:
                self._check(running.program, deaths)
                running = await self._restart(running, deaths, prepare)
            except Failure as failure:
                with contextlib.suppress(asyncio.InvalidStateError):
                    self._broken.set_exception(failure)
                return
            self.running[running.program.name] = running
            self.observer.returned(running.program.name, running.pid)

    def _check(self, program: Program, deaths: Sequence[float]) -> None:
        patience = self.patience
        if len(deaths) == patience.deaths and deaths[-1] - deaths[0] < patience.within_s:
            often = f"{patience.deaths} times within {patience.within_s:g} s"
            raise Failure(f"{program.name} died {often}; see {program.log}")

    async def _restart(
        self, running: Running, deaths: Sequence[float], prepare: Callable[[], None]
    ) -> Running:
        program = running.program.pinned(running.addresses)
        now = asyncio.get_running_loop().time()
        recent = sum(now - death < self.patience.within_s for death in deaths)
        last: Failure | None = None
        for attempt in range(self.patience.failed_starts):
            await asyncio.sleep(self.patience.delay_s(recent + attempt))
            prepare()
            try:
                return await start(program)
            except Failure as failure:
                last = failure
        raise last or Failure(f"{program.name} is not to be started again")
