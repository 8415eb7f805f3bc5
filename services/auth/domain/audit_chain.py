"""The chain that makes a team's audit log tamper-evident.

Each event's hash is SHA-256 over the hash before it (32 bytes; zeros before the first) and the event in its
canonical form: a JSON array in UTF-8, without white space and with every character beyond ASCII escaped, of

    ["mailwarden.audit.v1", team_id, sequence, id, microseconds since 1970, action, resource, actor,
     credential, edge, request_id, outcome, reason, [[fact name, fact value], … sorted by name]]

Whoever has an export can compute it again. The head (sequence and hash of the newest event) is kept apart,
so that a missing end is found as well, and the anchor (those of the last event that retention removed)
says where the rest begins. Who can write all of that is caught by signed checkpoints (audit_checkpoints.py):
an event that a checkpoint names must stand in its place, and an anchor be one that retention could set.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from services.common.audit import AuditEvent

FORMAT: Final = "mailwarden.audit.v1"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Problem(StrEnum):
    """What can be wrong with an event of a chain, or with a checkpoint."""

    CHANGED = "CHANGED"
    MISSING = "MISSING"
    REORDERED = "REORDERED"
    ADDED = "ADDED"
    """An event stands behind the end of its chain."""
    REWRITTEN = "REWRITTEN"
    """The chain fits together, and is another than a checkpoint names."""
    CUT = "CUT"
    """The chain ends before an event that a checkpoint names."""
    REMOVED = "REMOVED"
    """A checkpoint names the chain, and there is none."""
    ANCHOR_MOVED = "ANCHOR_MOVED"
    """The chain begins where retention has not cut it."""
    FORGED = "FORGED"
    """The signature is not of this text, or this is no text of a checkpoint."""
    KEY_UNKNOWN = "KEY_UNKNOWN"
    """Signed by a key that we do not have."""
    ROLLED_BACK = "ROLLED_BACK"
    """A checkpoint that we saw is not there any more."""


@dataclass(frozen=True, slots=True)
class Link:
    """A place in a chain: a sequence and the hash of the event there."""

    sequence: int = 0
    digest: bytes = bytes(32)


@dataclass(frozen=True, slots=True)
class Kept:
    """An event with its place. `key_hint` is that of the API key, which is known from elsewhere."""

    event: AuditEvent
    link: Link
    key_hint: str = ""


@dataclass(frozen=True, slots=True)
class Named:
    """A place in a chain that a signed checkpoint names as its end at that time."""

    number: int
    link: Link


@dataclass(frozen=True, slots=True)
class Broken:
    """The first place that does not fit, and the number of the checkpoint which says so, if one does."""

    sequence: int
    problem: Problem
    checkpoint: int = 0


def link_after(before: Link, event: AuditEvent) -> Link:
    """Compute the place of the event that follows `before`."""
    sequence = before.sequence + 1
    return Link(sequence, hashlib.sha256(before.digest + _canonical(sequence, event)).digest())


def chained(head: Link, events: Iterable[AuditEvent]) -> list[Kept]:
    """Give events their places behind the head."""
    kept: list[Kept] = []
    for event in events:
        head = link_after(head, event)
        kept.append(Kept(event, head))
    return kept


class Verifier:
    """Walks a chain from its anchor, row by row by their sequence, past what checkpoints name."""

    def __init__(self, anchor: Link, named: Sequence[Named] = ()) -> None:
        self.place = anchor
        self.count = 0
        self.signed = 0
        """The last sequence that a checkpoint names and that is as it names it."""
        self.broken: Broken | None = None
        self._named: dict[int, list[Named]] = {}
        for each in named:
            self._named.setdefault(each.link.sequence, []).append(each)
        self._meet()

    def walk(self, rows: Sequence[Kept]) -> None:
        """Look at more rows; stops at the first that does not fit."""
        for number, row in enumerate(rows):
            if self.broken is not None:
                return
            self._look_at(row, rows[number + 1 :])

    def end(self, head: Link) -> Broken | None:
        """Say what does not fit, now that there are no more rows."""
        if self.broken is not None:
            return self.broken
        if self.place.sequence < head.sequence:
            self.broken = Broken(self.place.sequence + 1, Problem.MISSING)
        elif self.place != head:
            self.broken = Broken(self.place.sequence, Problem.CHANGED)
        elif beyond := [sequence for sequence in self._named if sequence > self.place.sequence]:
            witness = min(self._named[min(beyond)], key=lambda named: named.number)
            self.broken = Broken(self.place.sequence + 1, Problem.CUT, witness.number)
        return self.broken

    def _look_at(self, row: Kept, later: Sequence[Kept]) -> None:
        expected = self.place.sequence + 1
        if row.link.sequence != expected:
            self.broken = Broken(expected, Problem.MISSING)
        elif self._fits(row):
            self.place = row.link
            self.count += 1
            self._meet()
        else:
            # When the row that belongs here stands further on, they changed places.
            was_moved = any(self._fits(other) for other in later)
            self.broken = Broken(expected, Problem.REORDERED if was_moved else Problem.CHANGED)

    def _fits(self, row: Kept) -> bool:
        return link_after(self.place, row.event).digest == row.link.digest

    def _meet(self) -> None:
        """Compare the place that was reached with what checkpoints say of it."""
        for named in self._named.get(self.place.sequence, ()):
            if named.link != self.place:
                self.broken = Broken(self.place.sequence, Problem.REWRITTEN, named.number)
                return
            self.signed = self.place.sequence


def _canonical(sequence: int, event: AuditEvent) -> bytes:
    parts = [
        FORMAT,
        event.chain,
        sequence,
        event.id,
        (event.at - _EPOCH) // _MICROSECOND,
        event.action,
        event.resource,
        event.actor,
        event.credential,
        event.edge,
        event.request_id,
        event.outcome,
        event.reason,
        sorted([name, value] for name, value in event.facts.items()),
    ]
    return json.dumps(parts, separators=(",", ":"), ensure_ascii=True).encode()
