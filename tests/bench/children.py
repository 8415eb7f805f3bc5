"""Processes of the benchmark: told what to do by a line of JSON, answering by lines of JSON."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from tests.bench.load import Order, Result
from tests.system import ROOT

_LEASH: Final = ROOT / "services" / "cli" / "leash.py"
_STOP_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Child:
    """A running child."""

    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def ask(self, question: Any) -> Any:
        """Say one thing and hear the answer. Raises RuntimeError when the child has ended."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        if not (line := self.process.stdout.readline()):
            raise RuntimeError(f"a process of the benchmark ended with {self.process.wait(_STOP_S)}")
        return json.loads(line)


@contextlib.contextmanager
def child(module: str) -> Iterator[Child]:
    """Run a module of the benchmark as a process until the block ends, or until we die."""
    leash = json.dumps({"parent": os.getpid(), "signal": int(signal.SIGKILL)})
    command = [sys.executable, "-I", "-S", str(_LEASH), leash, sys.executable, "-m", f"tests.bench.{module}"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        yield Child(process)
    finally:
        process.terminate()
        process.communicate(timeout=_STOP_S)


@contextlib.contextmanager
def server(module: str, **settings: Any) -> Iterator[tuple[str, int]]:
    """Run a module that serves HTTP: its URL and its process id."""
    with child(module) as started:
        port = started.ask(settings)["port"]
        yield f"http://127.0.0.1:{port}", started.pid


@dataclass(frozen=True, slots=True)
class LoadGenerator:
    """The load generator as seen from outside."""

    process: Child

    def run(self, order: Order) -> Result:
        """Have an order carried out."""
        return Result(**self.process.ask(asdict(order)))
