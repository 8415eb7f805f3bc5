"""Key files that a command changes while services read them."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from services.cli.failure import Failure


@contextlib.contextmanager
def alone_with(path: Path) -> Iterator[None]:
    """Be the only command that changes files of this folder. Raises Failure when another one is."""
    try:
        descriptor = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise Failure(f"cannot use {path.parent}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Failure(f"another command is changing {path.parent}") from None
    finally:
        os.close(descriptor)


def replace_secret(path: Path, text: str) -> None:
    """Replace a secret file: a reader sees all of it or none, 0600, owned by whom it was. Raises Failure."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        former = path.stat()
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            if os.geteuid() == 0:
                os.fchown(descriptor, former.st_uid, former.st_gid)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise Failure(f"cannot write {path}: {error.strerror}") from error


def read_secret(path: Path) -> bytes:
    """Read a file, or raise Failure saying why not."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}") from error
