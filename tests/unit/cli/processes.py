"""A toy service and waits that are bounded and never sleep."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

from services.cli.programs import Program, announced_in

_SERVICE = """
import json, os, pathlib, signal, socket, sys
folder, name, behaviour = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
starts = folder / f"{name}.starts"
starts.write_text(starts.read_text() + "x" if starts.exists() else "x")
if behaviour == "dies" or behaviour == "dies later" and len(starts.read_text()) > 1:
    sys.exit("something is missing")
if behaviour == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit((folder / "stopped").open("a").write(name + " ") and 0))
host, port = os.environ["LISTEN"].split(":")
server = socket.create_server((host, int(port)))
if behaviour != "never ready":
    address = "%s:%d" % server.getsockname()
    temporary = folder / f"{name}.new"
    temporary.write_text(json.dumps({"pid": os.getpid(), "addresses": {"grpc": address}}))
    temporary.rename(folder / f"{name}.json")
while True:
    signal.pause()
"""


def toy(folder: Path, name: str = "toy", behaviour: str = "serves", *, ready_s: float = 10) -> Program:
    """A process that announces its address and writes its name to `stopped` when asked to leave."""
    return Program(
        name=name,
        command=(sys.executable, "-S", "-c", _SERVICE, str(folder), name, behaviour),
        environment={"LISTEN": "127.0.0.1:0", "PATH": os.defpath},
        log=folder / f"{name}.log",
        probe=announced_in(folder / f"{name}.json"),
        pins={"LISTEN": "grpc"},
        ready_s=ready_s,
        stop_s=0.3 if behaviour == "deaf" else 5,
    )


async def gone(pid: int) -> None:
    """Wait until a process, ours or not, has ended. Raises TimeoutError after 5 s."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, ended.set)
    try:
        async with asyncio.timeout(5):
            await ended.wait()
    finally:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that sends no event. Raises TimeoutError after 5 s."""
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.sleep(0.005)
