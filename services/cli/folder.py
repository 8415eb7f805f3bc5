"""Where one running system keeps what it needs between starts: certificates, secrets, data, logs."""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from services.cli.certificates import CertificateFolder
from services.cli.failure import Failure
from services.common.lifecycle import write_atomically


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The layout of a data folder. Absolute, so that children may have another working folder."""

    path: Path

    @classmethod
    def prepare(cls, path: Path) -> "DataFolder":
        """Make the folder and what is always in it."""
        folder = cls(path.expanduser().resolve())
        try:
            folder.path.mkdir(parents=True, exist_ok=True, mode=0o711)
            for private in (folder.secrets, folder.logs, folder.announcements):
                private.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise Failure(f"cannot use the data folder {folder.path}: {error.strerror}") from error
        return folder

    @property
    def certificates(self) -> CertificateFolder:
        """Certificates of all services."""
        return CertificateFolder(self.path / "certs")

    @property
    def secrets(self) -> Path:
        """Keys and passwords, readable by the owner alone."""
        return self.path / "secrets"

    @property
    def logs(self) -> Path:
        """One file per service."""
        return self.path / "logs"

    @property
    def announcements(self) -> Path:
        """Where services say that they are ready."""
        return self.path / "ready"

    @property
    def postgres(self) -> Path:
        """The embedded PostgreSQL."""
        return self.path / "postgres"

    @property
    def audit_checkpoints(self) -> Path:
        """Where auth copies the checkpoints of the audit log to, outside of the database."""
        return self.path / "audit-checkpoints.txt"

    @property
    def system_file(self) -> Path:
        """Where the running system is described for the other commands."""
        return self.path / "system.json"

    def log(self, name: str) -> Path:
        """Log of one service."""
        return self.logs / f"{name}.log"

    def rotate_logs(self) -> None:
        """Begin new logs; those of the run before are kept once."""
        for log in self.logs.glob("*.log"):
            log.rename(log.with_suffix(".log.1"))

    def secret(self, name: str, content: str) -> Path:
        """Path of a secret file, written with `content` unless it is there already."""
        path = self.secrets / name
        if not path.exists():
            write_atomically(path, content, mode=0o600)
        return path

    def lock(self) -> int:
        """Take the folder for this process until it ends, or raise Failure naming who has it."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode().strip()
            os.close(descriptor)
            who = f"process {holder}" if holder else "another process"
            raise Failure(
                f"{self.path} is in use by {who}; stop that first, or choose another folder with --data-dir"
            ) from None
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        return descriptor
