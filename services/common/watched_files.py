"""Files that may change while a process runs, read again when they do.

What was good a moment ago stays in use when a changed file is broken: a half-written file must not stop a
service. It is told once per change, and looked at again when it changes once more.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

from services.common.telemetry import get_logger

LOOK_EVERY_S: Final = 0.25
"""How often a use looks whether a file changed. A look costs some 2 µs."""

T = TypeVar("T")
_State = tuple[tuple[int, int, int] | None, ...]


class WatchedFiles(Generic[T]):
    """What some files say. `read` makes the value; what it raises at the first reading is the caller's."""

    def __init__(
        self,
        name: str,
        files: Sequence[Path],
        read: Callable[[], T],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read now. `name` is what logs call the files; `clock` gives seconds that never go back."""
        self._name = name
        self._files = tuple(files)
        self._read = read
        self._clock = clock
        self._state = self._look()
        self._value = read()
        self._looked_at = clock()

    def current(self) -> T:
        """Give the value, after a look at the files unless the last one was a moment ago."""
        if self._clock() - self._looked_at >= LOOK_EVERY_S:
            self.refresh()
        return self._value

    def refresh(self) -> T:
        """Look now, and read again what changed."""
        self._looked_at = self._clock()
        state = self._look()
        if state != self._state:
            self._state = state
            try:
                self._value = self._read()
            except Exception as error:  # noqa: BLE001  whatever is wrong with it, the last good one goes on
                get_logger().error("changed_file_unusable", what=self._name, problem=type(error).__name__)
            else:
                get_logger().info("changed_file_read", what=self._name)
        return self._value

    def _look(self) -> _State:
        return tuple(_state_of(file) for file in self._files)


def _state_of(file: Path) -> tuple[int, int, int] | None:
    """Tell one content of a file from another: replaced, or written again. None when it cannot be seen."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
