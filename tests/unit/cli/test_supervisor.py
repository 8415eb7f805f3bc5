"""Keeping processes alive, and knowing when to give up."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.cli.failure import Failure
from services.cli.supervisor import Patience, Supervisor
from tests.unit.cli.processes import gone, toy

EAGER = Patience(first_delay_s=0, longest_delay_s=0, deaths=3, within_s=60, failed_starts=2)


@dataclass
class Diary:
    """An observer that remembers, and lets a test wait for the next return."""

    deaths: list[tuple[str, int]] = field(default_factory=list)
    returns: asyncio.Queue[tuple[str, int]] = field(default_factory=asyncio.Queue)

    def died(self, name: str, pid: int) -> None:
        self.deaths.append((name, pid))

    def returned(self, name: str, pid: int) -> None:
        self.returns.put_nowait((name, pid))

    async def next_return(self) -> tuple[str, int]:
        async with asyncio.timeout(5):
            return await self.returns.get()


@pytest.fixture
async def diary() -> Diary:
    return Diary()


@pytest.fixture
async def supervisor(diary: Diary) -> AsyncIterator[Supervisor]:
    made = Supervisor(diary, EAGER)
    yield made
    await made.stop(())


async def test_a_killed_process_comes_back_on_the_same_address(
    supervisor: Supervisor, diary: Diary, tmp_path: Path
) -> None:
    """Its clients find it again without being told anything."""
    addresses = await supervisor.add(toy(tmp_path))
    killed = supervisor.pids["toy"]
    os.kill(killed, signal.SIGKILL)
    assert await diary.next_return() == ("toy", supervisor.pids["toy"])
    assert diary.deaths == [("toy", killed)]
    assert supervisor.pids["toy"] != killed
    assert supervisor.running["toy"].addresses == addresses


async def test_what_a_killed_process_left_is_cleared_before_its_return(
    supervisor: Supervisor, diary: Diary, tmp_path: Path
) -> None:
    """`prepare` belongs to restarts; the first start was prepared by its caller."""
    prepared: list[str] = []
    await supervisor.add(toy(tmp_path), lambda: prepared.append("again"))
    assert prepared == []
    os.kill(supervisor.pids["toy"], signal.SIGKILL)
    await diary.next_return()
    assert prepared == ["again"]


async def test_a_process_that_keeps_dying_ends_everything(
    supervisor: Supervisor, diary: Diary, tmp_path: Path
) -> None:
    """A crash loop is told, not hidden."""
    await supervisor.add(toy(tmp_path))
    for _ in range(EAGER.deaths - 1):
        os.kill(supervisor.pids["toy"], signal.SIGKILL)
        await diary.next_return()
    os.kill(supervisor.pids["toy"], signal.SIGKILL)
    with pytest.raises(Failure, match="toy died 3 times within 60 s"):
        async with asyncio.timeout(5):
            await supervisor.broken()


async def test_a_process_that_cannot_start_again_ends_everything(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    """The message is the one of the last try, with its log."""
    await supervisor.add(toy(tmp_path, behaviour="dies later"))
    os.kill(supervisor.pids["toy"], signal.SIGKILL)
    with pytest.raises(Failure, match=r"(?s)ended at start.*something is missing"):
        async with asyncio.timeout(5):
            await supervisor.broken()
    assert (tmp_path / "toy.starts").read_text() == "x" * (1 + EAGER.failed_starts)


async def test_processes_stop_stage_by_stage_and_the_unnamed_last(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    """Edges finish while their backends still answer."""
    for name in ("database", "core", "edge"):
        await supervisor.add(toy(tmp_path, name))
    await supervisor.stop((("edge", "never started"), ("core",)))
    assert (tmp_path / "stopped").read_text() == "edge core database "


async def test_a_stopped_system_restarts_nothing(
    supervisor: Supervisor, diary: Diary, tmp_path: Path
) -> None:
    """Stopping is not dying."""
    await supervisor.add(toy(tmp_path))
    pid = supervisor.pids["toy"]
    await supervisor.stop(())
    await gone(pid)
    assert diary.deaths == []
    assert (tmp_path / "toy.starts").read_text() == "x"


@pytest.mark.parametrize(("deaths", "delay_s"), [(1, 0.05), (2, 0.2), (3, 0.8), (5, 5.0), (9, 5.0)])
def test_patience_grows_and_is_bounded(deaths: int, delay_s: float) -> None:
    """The first restart is at once; a process that keeps dying does not eat the machine."""
    assert Patience().delay_s(deaths) == pytest.approx(delay_s)
