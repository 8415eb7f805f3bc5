"""A copy of the checkpoints in a file, which is written to at its end and never changed."""

import asyncio
import os
from collections import deque
from pathlib import Path
from typing import Final

from services.common.audit_checkpoint import notes_in
from services.common.telemetry import get_logger

_TAIL_BYTES: Final = 64 * 1024


class CheckpointFile:
    """Implements `audit_ports.CheckpointCopies`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def last(self) -> str | None:
        """Give the newest note of the file; None when there is none, or it cannot be read."""
        try:
            with self._path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                tail = file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            get_logger().error("audit_checkpoint_file_unreadable", problem=error.strerror)
            return None
        notes = deque(notes_in(tail), maxlen=1)
        return notes[0] if notes else None

    async def add(self, note: str) -> None:
        """Append a note. A file that cannot be written is told of, and stops nothing."""
        try:
            await asyncio.to_thread(self._append, f"\n{note}")  # behind what a kill may have left
        except OSError as error:
            get_logger().error("audit_checkpoint_not_copied", problem=error.strerror)

    def _append(self, text: str) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(descriptor)
