"""Checkpoints over the heads of all chains: how one follows the other, and what they prove.

Auth signs them with a key that the database does not hold (common/audit_checkpoint.py has the form). Whoever
owns the schema can write rows, heads and anchors, and cannot sign: what was named once must stay where it is.
"""

import hashlib
from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from services.auth.domain.audit_chain import Broken, Link, Named, Problem
from services.common.audit_checkpoint import FIRST, Checkpoint, checkpoint_of
from services.common.signed_note import BadNoteError, UnknownKeyError, VerifierKey, open_note

HEARTBEAT: Final = timedelta(hours=1)
"""A checkpoint is signed at least this often, so that silence says something and retention goes on."""


@dataclass(frozen=True, slots=True)
class CheckpointKey:
    """A public key of checkpoints. What it signed after `until` is not believed."""

    verifier: VerifierKey
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ChainState:
    """A chain as it is, and as the checkpoints so far name it. None: there is no such thing."""

    team_id: str
    head: Link | None
    anchor: Link
    named: Link | None

    @property
    def moved(self) -> bool:
        """Whether there is something new to name."""
        return self.head is not None and self.head != self.named

    @property
    def contradicts(self) -> bool:
        """Whether it is not where it was: ends before what was named, ends otherwise, or is gone."""
        if self.named is None:
            return False
        if self.head is None or self.head.sequence < self.named.sequence:
            return True
        return self.head.sequence == self.named.sequence and self.head != self.named


@dataclass(frozen=True, slots=True)
class Statement:
    """A checkpoint that is to be signed, and the chains of which it says something new."""

    checkpoint: Checkpoint
    named: Mapping[str, Link]


class Heads:
    """The heads of all chains, as checkpoints name them."""

    def __init__(self, named: Iterable[tuple[str, Link]] = ()) -> None:
        self._lines: dict[str, bytes] = {}
        self._teams: list[str] = []
        self.name(named)

    def __len__(self) -> int:
        return len(self._teams)

    def __contains__(self, team_id: object) -> bool:
        return team_id in self._lines

    def __iter__(self) -> Iterator[str]:
        """Give the teams that have one."""
        return iter(self._teams)

    def name(self, named: Iterable[tuple[str, Link]]) -> None:
        """Let chains end where a checkpoint says."""
        for team_id, link in named:
            if team_id not in self._lines:
                insort(self._teams, team_id)
            self._lines[team_id] = f"{team_id} {link.sequence} {link.digest.hex()}\n".encode()

    @property
    def digest(self) -> bytes:
        """What a checkpoint signs."""
        return hashlib.sha256(b"".join(map(self._lines.__getitem__, self._teams))).digest()


def next_statement(
    newest: Checkpoint | None, chains: Sequence[ChainState], now: datetime, retention: timedelta
) -> Statement | None:
    """Say what is to be signed now; None when nothing moved and the last checkpoint is young.

    The first checkpoint names where chains begin, so that an anchor from before it is known for good.
    """
    if newest is None:
        begun = {each.team_id: each.anchor for each in chains if each.anchor.sequence}
        kept_from = now - retention
        return Statement(Checkpoint(FIRST, now, kept_from, len(begun), Heads(begun.items()).digest), begun)
    named = {each.team_id: each.head for each in chains if each.moved and each.head is not None}
    if not named and now - newest.at < HEARTBEAT:
        return None
    before = ((each.team_id, each.named) for each in chains if each.named is not None)
    heads = Heads(before)
    heads.name(named.items())
    # Clocks of replicas differ: no checkpoint is older than the one before, or keeps less than was said.
    at, kept_from = max(now, newest.at), max(now - retention, newest.kept_from)
    checkpoint = Checkpoint(newest.number + 1, at, kept_from, len(heads), heads.digest, newest.digest)
    return Statement(checkpoint, named)


def opened(note: str, keys: Sequence[CheckpointKey]) -> Checkpoint:
    """Read a checkpoint that one of the keys signed. Raises UnknownKeyError, BadNoteError."""
    text, verifier = open_note(note, [key.verifier for key in keys])
    try:
        checkpoint = Checkpoint.parse(text)
    except ValueError:
        raise BadNoteError("not the text of a checkpoint") from None
    ends = [key.until for key in keys if key.verifier == verifier]
    if any(until is not None and checkpoint.at > until for until in ends):
        raise BadNoteError("signed by a key that had ended")
    return checkpoint


@dataclass(slots=True)
class Proof:
    """Follows all checkpoints that are kept, in their order, and remembers what they prove.

    `seen` is a checkpoint that must be among them, unless retention has removed it.
    """

    keys: Sequence[CheckpointKey]
    seen: Checkpoint | None = None
    heads: Heads = field(default_factory=Heads)
    first: Checkpoint | None = None
    newest: Checkpoint | None = None
    broken: Broken | None = None
    _times: list[datetime] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many checkpoints are as they were signed."""
        return len(self._times)

    def look_at(self, number: int, note: str, named: Iterable[tuple[str, Link]]) -> bool:
        """Look at the next one and at the heads kept beside it; for the first, all heads at that time.

        Gives whether there is any use in going on.
        """
        try:
            checkpoint = opened(note, self.keys)
        except UnknownKeyError:
            # What it names is looked at all the same. Nothing that hangs on it is proven.
            self._break(number, Problem.KEY_UNKNOWN)
            try:
                checkpoint = checkpoint_of(note)
            except ValueError:
                return False
        except BadNoteError:
            return self._break(number, Problem.FORGED)
        if problem := self._misplaced(number, checkpoint):
            return self._break(*problem)
        self.heads.name(named)
        if (self.heads.digest, len(self.heads)) != (checkpoint.heads, checkpoint.chain_count):
            return self._break(number, Problem.CHANGED)
        if self.seen and self.seen.number == number and self.seen.digest != checkpoint.digest:
            self._break(number, Problem.ROLLED_BACK)
        self.first = self.first or checkpoint
        self.newest = checkpoint
        self._times.append(checkpoint.at)
        return True

    def end(self) -> Broken | None:
        """Say what is wrong, now that there are no more."""
        if self.broken is None and self.seen is not None and not self._reaches(self.seen.number):
            self._break(self.seen.number, Problem.ROLLED_BACK)
        if self.broken is None and self.first is not None and not self._may_begin_with(self.first):
            self._break(self.first.number - 1, Problem.MISSING)
        return self.broken

    @property
    def last_cut(self) -> int:
        """The newest checkpoint at which retention may have cut chains."""
        if self.first is None or self.newest is None:
            return 0
        return max(self.first.number + bisect_right(self._times, self.newest.kept_from) - 1, FIRST)

    def anchor_problem(self, anchor: Link, named: Sequence[Named]) -> Broken | None:
        """Say whether a chain begins where retention has not cut it. Needs all checkpoints to be sound."""
        if self.broken is not None and self.broken.problem is not Problem.KEY_UNKNOWN:
            return None
        if anchor.sequence == 0 or any(n.link == anchor and n.number <= self.last_cut for n in named):
            return None
        witness = self.newest.number if self.newest else 0
        return Broken(anchor.sequence, Problem.ANCHOR_MOVED, witness)

    def _reaches(self, number: int) -> bool:
        return self.newest is not None and self.newest.number >= number

    def _may_begin_with(self, first: Checkpoint) -> bool:
        # Retention removes the checkpoints before one that is old enough.
        return first.number == FIRST or (self.newest is not None and first.at <= self.newest.kept_from)

    def _misplaced(self, number: int, checkpoint: Checkpoint) -> tuple[int, Problem] | None:
        if checkpoint.number != number:
            return number, Problem.REORDERED
        if self.newest is None:
            return None
        if number != self.newest.number + 1:
            return self.newest.number + 1, Problem.MISSING
        if checkpoint.previous != self.newest.digest:
            return self.newest.number, Problem.CHANGED
        if checkpoint.at < self.newest.at or checkpoint.kept_from < self.newest.kept_from:
            return number, Problem.FORGED
        return None

    def _break(self, number: int, problem: Problem) -> bool:
        self.broken = self.broken or Broken(number, problem, number)
        return False
