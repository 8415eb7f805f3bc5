"""Checkpoints of the audit log: what auth signs over the heads of all chains, and how copies are read.

A checkpoint is a signed note (common/signed_note.py) with seven lines of text:

    mailwarden.audit.checkpoint.v1
    number 42
    time 2026-11-22T03:04:05.000000Z
    kept-from 2026-08-24T03:04:05.000000Z
    chains 17
    heads <SHA-256, hex>
    previous <SHA-256, hex>

`heads` is over one line for each chain, `<team id> <sequence> <hash, hex>` and a newline, sorted by team id,
where sequence and hash are those of the chain's newest event. `previous` is over the text of the checkpoint
before; 64 zeros in the first. `kept-from`: what a checkpoint after this time names has not been removed.
The first checkpoint names where the chains began then, by the last event that retention had removed.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

KEY_NAME: Final = "mailwarden.audit"
"""The name that checkpoints are signed under."""
FIRST: Final = 1
_FORMAT: Final = "mailwarden.audit.checkpoint.v1"
_TIME: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
_TEXT: Final = re.compile(
    re.escape(_FORMAT) + r"\n"
    r"number ([1-9]\d{0,17})\n"
    r"time (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)\n"
    r"kept-from (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)\n"
    r"chains (0|[1-9]\d{0,17})\n"
    r"heads ([0-9a-f]{64})\n"
    r"previous ([0-9a-f]{64})\n",
    re.ASCII,
)
_NOTE: Final = re.compile(re.escape(_FORMAT) + r"\n(?:[a-z-]+ [^\n]+\n)+\n(?:— [^\n]+\n)+")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What one checkpoint says. Times are in UTC; digests are of 32 bytes."""

    number: int
    at: datetime
    kept_from: datetime
    chain_count: int
    heads: bytes
    previous: bytes = bytes(32)

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Read the text of a checkpoint. Raises ValueError."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError("not the text of a checkpoint")
        at, kept_from = (datetime.strptime(match[n], _TIME).replace(tzinfo=UTC) for n in (2, 3))
        heads, previous = (bytes.fromhex(match[n]) for n in (5, 6))
        return cls(int(match[1]), at, kept_from, int(match[4]), heads, previous)

    @property
    def text(self) -> str:
        """What is signed."""
        return (
            f"{_FORMAT}\nnumber {self.number}\ntime {self.at.strftime(_TIME)}\n"
            f"kept-from {self.kept_from.strftime(_TIME)}\nchains {self.chain_count}\n"
            f"heads {self.heads.hex()}\nprevious {self.previous.hex()}\n"
        )

    @property
    def digest(self) -> bytes:
        """What the next checkpoint names as `previous`."""
        return hashlib.sha256(self.text.encode()).digest()


def text_of(note: str) -> str:
    """Give what is signed in a note, without asking by whom."""
    return note.partition("\n\n")[0] + "\n"


def checkpoint_of(note: str) -> Checkpoint:
    """Read a note without asking who signed it. Raises ValueError."""
    return Checkpoint.parse(text_of(note))


def notes_in(content: str) -> Iterator[str]:
    """Give the checkpoints of a text, in which something else may stand between them; unverified."""
    return (match[0] for match in _NOTE.finditer(content))
