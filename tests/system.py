"""The whole system as processes of its own, for tests that look at it from outside only."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
_LEASH: Final = ROOT / "services" / "cli" / "leash.py"
_START_S: Final = 90.0
_STOP_S: Final = 60.0
_POLL_S: Final = 0.05
_PORTS: Final = ("rest", "mcp", "a2a", "a2a-grpc", "oauth")


@dataclass(frozen=True, slots=True)
class RunningSystem:
    """Where a running system is. `process` is `mailwarden up` itself."""

    rest: str
    mcp: str
    a2a: str
    a2a_grpc: str
    oauth: str
    sandbox: str
    senders: str
    api_key: str
    data_dir: Path
    ready_file: Path
    process: subprocess.Popen[bytes]

    @property
    def pids(self) -> Mapping[str, int]:
        """Process ids by service name, as they are now: a process that died comes back with another."""
        return json.loads(self.ready_file.read_bytes())["pids"]

    @property
    def backends(self) -> Mapping[str, str]:
        """gRPC addresses of `auth` and `mail_core`, for tests that knock at a backend's door."""
        described = json.loads((self.data_dir / "system.json").read_bytes())
        return {name: described[name] for name in ("auth", "mail_core")}

    def certificate(self, service: str) -> tuple[bytes, bytes, bytes]:
        """Authority, certificate and private key that make a client be `service`. All PEM."""
        names = ("ca.pem", f"{service}.pem", f"{service}.key")
        authority, certificate, key = ((self.data_dir / "certs" / name).read_bytes() for name in names)
        return authority, certificate, key

    def log(self, service: str) -> str:
        """What a service has logged."""
        return (self.data_dir / "logs" / f"{service}.log").read_text(errors="replace")

    def kill(self, service: str) -> int:
        """Kill a service as a crash would; answers with the pid that it had."""
        pid = self.pids[service]
        os.kill(pid, signal.SIGKILL)
        return pid

    def await_return(self, service: str, former_pid: int, timeout_s: float = 30.0) -> int:
        """Wait until a killed service is ready again; answers with its new pid."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if (pid := self.pids[service]) != former_pid:
                return pid
            time.sleep(_POLL_S)
        raise TimeoutError(
            f"{service} did not come back within {timeout_s:g} s:\n{self.log(service)[-4000:]}"
        )


@contextlib.contextmanager
def running_system(folder: Path, *arguments: str, **environment: str) -> Iterator[RunningSystem]:
    """Run `mailwarden up` on free ports, with more arguments and settings, until the block ends.

    Raises RuntimeError with the output when the system does not get ready.
    """
    ready_file, output = folder / "ready.json", folder / "up.log"
    ready_file.unlink(missing_ok=True)  # a killed system could not take it away
    with output.open("ab") as log:
        process = _start(folder, ready_file, arguments, environment, log.fileno())
    try:
        yield _system(folder, process, _await_ready(process, ready_file, output))
        _end(process, output)
    finally:
        if process.poll() is None:
            # The kernel ends the children of a killed `up`.
            process.kill()
            process.wait(_STOP_S)


def _start(
    folder: Path, ready_file: Path, arguments: tuple[str, ...], environment: Mapping[str, str], log: int
) -> subprocess.Popen[bytes]:
    spec = json.dumps({"parent": os.getpid(), "signal": int(signal.SIGTERM)})
    leash = (sys.executable, "-I", "-S", str(_LEASH), spec)
    ports = [part for name in _PORTS for part in (f"--{name}-port", "0")]
    files = ("--ready-file", str(ready_file), "--data-dir", str(folder / "data"))
    return subprocess.Popen(
        [*leash, sys.executable, "-m", "services.cli", "up", *files, *ports, *arguments],
        cwd=ROOT, env=_environment(environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
    )  # fmt: skip


def _environment(wanted: Mapping[str, str]) -> dict[str, str]:
    """A known environment: what a developer has set in the shell must not change a test."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "SSL_CERT_FILE")
    return {name: os.environ[name] for name in kept if name in os.environ} | dict(wanted)


def _await_ready(process: subprocess.Popen[bytes], ready_file: Path, output: Path) -> dict[str, Any]:
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        if ready_file.exists():
            return json.loads(ready_file.read_bytes())
        time.sleep(_POLL_S)
    raise RuntimeError(f"the system did not get ready:\n{output.read_text(errors='replace')[-8000:]}")


def _system(folder: Path, process: subprocess.Popen[bytes], content: Mapping[str, Any]) -> RunningSystem:
    names = ("rest", "mcp", "a2a", "a2a_grpc", "oauth", "sandbox", "senders", "api_key")
    return RunningSystem(
        **{name: content[name] for name in names},
        data_dir=folder / "data",
        ready_file=folder / "ready.json",
        process=process,
    )


def _end(process: subprocess.Popen[bytes], output: Path) -> None:
    """Stop as a person would, and see that it is clean. A test that has ended it already is believed."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    if (code := process.wait(_STOP_S)) != 0:
        raise RuntimeError(f"the system ended with {code}:\n{output.read_text(errors='replace')[-8000:]}")
