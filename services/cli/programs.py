"""One process of the system: started on a leash, waited for until it is ready, stopped in bounded time."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from services.cli.accounts import Account
from services.cli.failure import Failure

Addresses = Mapping[str, str]
_LEASH: Final = Path(__file__).with_name("leash.py")
_POLL_S: Final = 0.02
_TAIL_LINES: Final = 25


@dataclass(frozen=True, slots=True)
class Program:
    """How to run one process.

    `probe` answers with the addresses of the process with that pid once it serves, None before.
    `pins` says which setting (name) fixes which address (key), so that a restart keeps its ports.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    log: Path
    probe: Callable[[int], Addresses | None] = lambda _: None
    pins: Mapping[str, str] = field(default_factory=dict)
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL
    ready_s: float = 60.0
    stop_s: float = 15.0

    def pinned(self, addresses: Addresses) -> "Program":
        """The same program, listening where it did before."""
        fixed = {name: _host_and_port(addresses[key]) for name, key in self.pins.items()}
        return replace(self, environment={**self.environment, **fixed})


@dataclass(frozen=True, slots=True)
class Running:
    """A process that was ready."""

    program: Program
    process: asyncio.subprocess.Process
    addresses: Addresses

    @property
    def pid(self) -> int:
        """Process id; the leash does not change it."""
        return self.process.pid

    async def stop(self) -> None:
        """Ask to leave, wait, insist."""
        await _stop(self.program, self.process)


def _host_and_port(address: str) -> str:
    return urlsplit(address).netloc if "://" in address else address


def announced_in(path: Path) -> Callable[[int], Addresses | None]:
    """Make a probe that reads the file which a service announces itself in."""

    def probe(pid: int) -> Addresses | None:
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        return content["addresses"] if content["pid"] == pid else None

    return probe


def python(*arguments: str) -> tuple[str, ...]:
    """A command for the interpreter that runs us."""
    return (sys.executable, *arguments)


async def start(program: Program) -> Running:
    """Start a process and wait until it is ready.

    Raises Failure with the end of its log when it dies first or takes too long; nothing is left running.
    """
    process = await spawn(program)
    try:
        async with asyncio.timeout(program.ready_s):
            addresses = await _ready(program, process)
    except BaseException as error:
        await _stop(program, process)
        if isinstance(error, TimeoutError):
            raise Failure(_obituary(program, f"was not ready after {program.ready_s:g} s")) from None
        raise
    return Running(program, process, addresses)


async def spawn(program: Program) -> asyncio.subprocess.Process:
    """Start a process on its leash, its output going to its log."""
    with program.log.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *leashed(program.command, program.account, program.orphan_signal),
            env=dict(program.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for us; we stop the others in order
        )


async def run(program: Program, timeout_s: float = 60.0) -> None:
    """Run a program to its end. Raises Failure with the end of its log when it fails or takes too long."""
    process = await spawn(program)
    try:
        async with asyncio.timeout(timeout_s):
            code = await process.wait()
    except BaseException as error:
        await _stop(program, process)
        if isinstance(error, TimeoutError):
            raise Failure(_obituary(program, f"did not end within {timeout_s:g} s")) from None
        raise
    if code != 0:
        raise Failure(_obituary(program, f"failed ({_ending(code)})"))


def leashed(command: tuple[str, ...], account: Account | None, orphan_signal: int) -> tuple[str, ...]:
    """Put the leash before a command."""
    spec: dict[str, Any] = {"parent": os.getpid(), "signal": int(orphan_signal)}
    if account is not None:
        spec |= {"uid": account.uid, "gid": account.gid, "reach": account.reach}
    return (sys.executable, "-I", "-S", str(_LEASH), json.dumps(spec), *command)


async def _ready(program: Program, process: asyncio.subprocess.Process) -> Addresses:
    while process.returncode is None:
        if (addresses := program.probe(process.pid)) is not None:
            return addresses
        await asyncio.sleep(_POLL_S)
    raise Failure(_obituary(program, f"ended at start ({_ending(process.returncode)})"))


async def _stop(program: Program, process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(program.stop_signal)
    try:
        async with asyncio.timeout(program.stop_s):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _ending(returncode: int) -> str:
    return f"killed by {signal.Signals(-returncode).name}" if returncode < 0 else f"exit code {returncode}"


def _obituary(program: Program, what: str) -> str:
    return f"{program.name} {what}. The end of {program.log}:\n{tail(program.log)}"


def tail(path: Path, lines: int = _TAIL_LINES) -> str:
    """The last lines of a log, indented."""
    try:
        text = path.read_bytes()[-20_000:].decode("utf-8", "replace")
    except FileNotFoundError:
        return "    (nothing)"
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:]) or "    (nothing)"
