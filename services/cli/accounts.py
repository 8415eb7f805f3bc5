"""Who runs what must not be root, when we are root."""

import os
import pwd
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.cli.failure import Failure

_KNOWN: Final = ("mailwarden", "postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """The user that a process runs as. `reach`: it may enter what only root may."""

    uid: int
    gid: int
    reach: bool


def account_for(data: Path, used: Iterable[Path]) -> Account | None:
    """Choose an account: the owner of existing data, else a known one. None when we are not root.

    `used` are folders that it must get to. Raises Failure when the machine has none of the known accounts.
    """
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwuid(data.stat().st_uid) if data.exists() else _known()
    return Account(entry.pw_uid, entry.pw_gid, reach=not all(_is_open(path) for path in used))


def _known() -> pwd.struct_passwd:
    for name in _KNOWN:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Failure(f"PostgreSQL does not run as root, and there is no account {' or '.join(_KNOWN)}")


def _is_open(path: Path) -> bool:
    """Whether anybody may walk to a path."""
    return all(part.stat().st_mode & stat.S_IXOTH for part in (path, *path.parents) if part.exists())
