"""Starting and stopping one process."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from services.cli.failure import Failure
from services.cli.programs import Program, leashed, run, spawn, start
from tests.unit.cli.processes import gone, toy, until


async def test_a_program_is_ready_when_it_says_so(tmp_path: Path) -> None:
    """The announcement carries the pid of the program itself, leash or not."""
    running = await start(toy(tmp_path))
    assert running.addresses["grpc"].startswith("127.0.0.1:")
    assert json.loads((tmp_path / "toy.json").read_text())["pid"] == running.pid
    await running.stop()
    assert running.process.returncode == 0


async def test_an_announcement_of_an_earlier_process_is_not_believed(tmp_path: Path) -> None:
    """A stale file must not make a restart look ready."""
    (tmp_path / "toy.json").write_text(json.dumps({"pid": 1, "addresses": {"grpc": "127.0.0.1:1"}}))
    with pytest.raises(Failure, match=r"not ready after 0\.5 s"):
        await start(toy(tmp_path, behaviour="never ready", ready_s=0.5))


async def test_a_program_that_ends_at_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    """The person sees the reason without opening a file."""
    with pytest.raises(Failure, match=r"(?s)toy ended at start \(exit code 1\).*something is missing"):
        await start(toy(tmp_path, behaviour="dies"))


async def test_a_program_that_never_gets_ready_is_not_left_running(tmp_path: Path) -> None:
    """A failed start leaves no process behind."""
    program = toy(tmp_path, behaviour="never ready", ready_s=0.5)
    with pytest.raises(Failure, match="not ready"):
        await start(program)
    assert (tmp_path / "stopped").read_text() == "toy "


async def test_a_program_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    """Stopping is bounded."""
    running = await start(toy(tmp_path, behaviour="deaf"))
    await running.stop()
    assert running.process.returncode == -signal.SIGKILL


async def test_a_cancelled_start_stops_what_it_had_begun(tmp_path: Path) -> None:
    """Ctrl-C while a service starts."""
    starting = asyncio.create_task(start(toy(tmp_path, behaviour="never ready")))
    await until((tmp_path / "toy.starts").exists)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting


async def test_a_command_that_fails_shows_the_end_of_its_log(tmp_path: Path) -> None:
    """Migrations and initdb are run to their end."""
    command = (sys.executable, "-S", "-c", "import sys; sys.exit('no such table')")
    with pytest.raises(Failure, match=r"(?s)migrate failed \(exit code 1\).*no such table"):
        await run(Program("migrate", command, {}, tmp_path / "log"))


async def test_a_command_that_hangs_is_ended(tmp_path: Path) -> None:
    """A migration that waits for a lock does not hold the start for ever."""
    command = (sys.executable, "-S", "-c", "import signal; signal.pause()")
    with pytest.raises(Failure, match=r"did not end within 0\.3 s"):
        await run(Program("migrate", command, {}, tmp_path / "log"), timeout_s=0.3)


async def test_no_program_outlives_its_starter(tmp_path: Path) -> None:
    """The kernel ends the children of a starter that was killed and could not do it itself."""
    command = ("cat", "/dev/zero")  # would run for ever
    spec = json.loads(leashed(command, None, signal.SIGKILL)[4])
    starter = await asyncio.create_subprocess_exec(
        sys.executable, "-S", "-c",
        "import json, os, subprocess, sys\n"
        "spec = json.dumps(json.loads(sys.argv[1]) | {'parent': os.getpid()})\n"
        "leash = [*sys.argv[2:5], spec, *sys.argv[5:]]\n"
        "print(subprocess.Popen([sys.executable, *leash], stdout=subprocess.DEVNULL).pid, flush=True)\n"
        "sys.stdin.read()",
        json.dumps(spec), *leashed(command, None, signal.SIGKILL)[1:4], *command,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert starter.stdout is not None
    child = int(await starter.stdout.readline())
    await until(lambda: Path(f"/proc/{child}/comm").read_text() == "cat\n")
    starter.kill()
    await starter.communicate()
    await gone(child)


async def test_a_program_whose_starter_is_gone_does_not_start(tmp_path: Path) -> None:
    """The starter may die before the leash is on."""
    command = leashed(("touch", str(tmp_path / "ran")), None, signal.SIGKILL)
    spec = json.loads(command[4]) | {"parent": 1}
    process = await asyncio.create_subprocess_exec(
        *command[:4], json.dumps(spec), *command[5:], stderr=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 1
    assert not (tmp_path / "ran").exists()


async def test_programs_are_deaf_to_the_terminals_interrupt(tmp_path: Path) -> None:
    """Ctrl-C reaches the starter alone, which stops the others in order."""
    program = toy(tmp_path)
    process = await spawn(program)
    assert os.getsid(process.pid) == process.pid != os.getsid(0)
    process.kill()
    await process.wait()
