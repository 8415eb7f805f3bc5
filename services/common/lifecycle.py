"""Run one process: start it, say that it is ready, wait for SIGTERM, let it finish, leave."""

import asyncio
import contextlib
import gc
import json
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import uvloop


def run(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run `main(stop)` on uvloop. SIGTERM and SIGINT set `stop`; `main` drains and returns."""
    # What is loaded by now stays: looking through all of it for garbage halts every request for 30 to 90 ms.
    gc.freeze()
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_with_signals(main))


async def _with_signals(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    await main(stop)


def announce(ready_file: Path | None, service: str, addresses: Mapping[str, str]) -> None:
    """Tell whoever started us, by an atomically written JSON file, where we are to be found."""
    if ready_file is None:
        return
    content = {"service": service, "pid": os.getpid(), "addresses": dict(addresses)}
    write_atomically(ready_file, json.dumps(content))


def write_atomically(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file so that a reader sees all of it or none of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)  # of a process that had our id: its mode may be another
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
            file.write(text)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def split_address(address: str) -> tuple[str, int]:
    """Split `host:port`, IPv6 hosts in brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def join_address(host: str, port: int) -> str:
    """Write `host:port`, IPv6 hosts in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
