"""`mailwarden up`: keeps one system running until it is told to stop."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Coroutine
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from services.cli.plan import Plan
from services.cli.system import Endpoints, System
from services.cli.welcome import Announcer, show_welcome
from services.common.lifecycle import write_atomically

_PLACES: Final = ("rest", "mcp", "a2a", "a2a_grpc", "oauth", "sandbox", "senders")


@dataclass(frozen=True, slots=True)
class ReadyFile:
    """What tells another program that all is ready, and where. Holds the key, so only we may read it."""

    path: Path

    def write(self, system: System) -> None:
        """Write the file anew; a reader sees all of it or none."""
        if system.endpoints is None:
            return
        places = asdict(system.endpoints)
        content = {
            name: places[name] for name in ("rest", "mcp", "a2a", "a2a_grpc", "oauth", "sandbox", "senders")
        }
        content |= {"api_key": system.api_key, "pids": dict(system.supervisor.pids)}
        content["data_dir"] = str(system.plan.folder.path)
        write_atomically(self.path, json.dumps(content, indent=1), mode=0o600)

    def remove(self) -> None:
        """Take the file away: what it says is not true, or no longer."""
        self.path.unlink(missing_ok=True)


async def up(plan: Plan, ready_file: ReadyFile | None, console: Console) -> None:
    """Run until SIGINT, SIGTERM or SIGHUP. Raises Failure when the system cannot start or cannot live."""
    stop = stop_on_signals()
    if ready_file:
        ready_file.remove()
    announcer = Announcer(console)
    system = System(plan, announcer)

    def retell() -> None:
        system.describe()
        if ready_file:
            ready_file.write(system)

    announcer.on_return = retell
    try:
        async with running(system, stop) as endpoints:
            if endpoints is None:
                return
            retell()
            announcer.end()
            show_welcome(console, plan, endpoints, system.api_key)
            await first_of(stop.wait(), system.supervisor.broken(), system.renew_certificates())
    finally:
        announcer.end()
        if ready_file:
            ready_file.remove()


@contextlib.asynccontextmanager
async def running(system: System, stop: asyncio.Event) -> AsyncIterator[Endpoints | None]:
    """Start a system, and stop it whatever happens. Yields None when `stop` came first."""
    try:
        start = asyncio.create_task(system.start())
        await first_of(stop.wait(), _finished(start))
        if stop.is_set():
            start.cancel()
        yield await _result(start)
    finally:
        system.progress.step("stopping")
        await system.stop()


def stop_on_signals() -> asyncio.Event:
    """Make an event that the signals which mean "leave" set. Under nohup a hangup means nothing."""
    stop, signals = asyncio.Event(), [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    for signum in signals:
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    return stop


async def _finished(task: asyncio.Task[Endpoints]) -> None:
    await asyncio.wait([task])


async def _result(start: asyncio.Task[Endpoints]) -> Endpoints | None:
    try:
        return await start
    except asyncio.CancelledError:
        return None


async def first_of(*waits: Coroutine[Any, Any, Any]) -> None:
    """Wait until one of these ends, and end the others. Raises what it raised."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
