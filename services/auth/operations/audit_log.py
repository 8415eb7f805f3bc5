"""Reads, takes over and verifies audit events."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from services.auth.audit_ports import AuditLog, AuditQuery, CheckpointKeys, CheckpointLog, KeptCheckpoint
from services.auth.domain.audit_chain import Broken, Kept, Link, Problem, Verifier
from services.auth.domain.audit_checkpoints import Proof
from services.auth.domain.team import team_not_found
from services.auth.ports import Clock
from services.common.audit import AuditEvent, check_event
from services.common.audit_checkpoint import Checkpoint
from services.common.errors import invalid

MAX_EVENTS: Final = 500
MAX_PAGE: Final = 200
_DEFAULT_PAGE: Final = 50
_NOTES: Final = 200
_TOKEN: Final = re.compile(r"evt([1-9][0-9]{0,17})", re.ASCII)
_CLOCKS_DIFFER_BY: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Page:
    """Some events, newest first, and where to go on; empty at the end."""

    rows: list[Kept]
    next_token: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """How much of a team's chain is as it was written, and the first thing that is wrong."""

    team_id: str
    count: int
    broken: Broken | None
    signed: int = 0
    """The newest event that a checkpoint names."""


@dataclass(frozen=True, slots=True)
class ReadAudit:
    """What a team may see of its log."""

    log: AuditLog

    async def page(self, team_id: str, query: AuditQuery, size: int, token: str) -> Page:
        """List events. Raises AppError PAGE_SIZE_OUT_OF_RANGE, PAGE_TOKEN_INVALID, WINDOW_INVERTED."""
        if not 0 <= size <= MAX_PAGE:
            raise invalid("PAGE_SIZE_OUT_OF_RANGE", f"page_size must be 1 to {MAX_PAGE}.", field="page_size")
        before = _TOKEN.fullmatch(token)
        if token and before is None:
            raise invalid("PAGE_TOKEN_INVALID", "page_token is not of an earlier answer.", field="page_token")
        limit = size or _DEFAULT_PAGE
        rows = await self.log.page(team_id, _checked(query), limit + 1, int(before[1]) if before else None)
        has_more = len(rows) > limit
        return Page(rows[:limit], f"evt{rows[limit - 1].link.sequence}" if has_more else "")

    async def export(self, team_id: str, query: AuditQuery) -> AsyncIterator[Kept]:
        """Give all events, oldest first. Raises AppError WINDOW_INVERTED."""
        async for row in self.log.oldest_first(team_id, _checked(query)):
            yield row


@dataclass(frozen=True, slots=True)
class TakeOverEvents:
    """Appends what other processes recorded, each event once."""

    log: AuditLog
    clock: Clock

    async def __call__(self, events: Sequence[AuditEvent]) -> int:
        """Append; gives how many were new. Raises AppError TOO_MANY_EVENTS, EVENT_INVALID."""
        if not 1 <= len(events) <= MAX_EVENTS:
            raise invalid("TOO_MANY_EVENTS", f"Send 1 to {MAX_EVENTS} events.", field="events")
        latest = self.clock() + _CLOCKS_DIFFER_BY
        for event in events:
            check_event(event)
            if event.at > latest:
                # Retention removes up to the first event that is young enough: this one would stop it.
                raise invalid("EVENT_INVALID", "An event lies in the future.")
        return await self.log.append(events)


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """What is needed to verify checkpoints. `seen` gives one that must be among them."""

    log: CheckpointLog
    keys: CheckpointKeys | None = None
    seen: Callable[[], Checkpoint | None] = lambda: None


@dataclass(frozen=True, slots=True)
class CheckpointsVerdict:
    """What is proven by signatures, and the first checkpoint that is not as it was signed."""

    count: int
    newest: Checkpoint | None
    broken: Broken | None


@dataclass(frozen=True, slots=True)
class VerifyAudit:
    """Computes chains again, and holds them against the signed checkpoints."""

    log: AuditLog
    checkpoints: Checkpoints | None = None

    async def __call__(self, team_id: str = "") -> AsyncIterator[Verdict | CheckpointsVerdict]:
        """Verify the checkpoints, then one chain, or all.

        Raises AppError NOT_FOUND TEAM_NOT_FOUND for a chain that does not exist, and never did.
        """
        proof = await self._proof()
        teams = sorted({*await self.log.teams(), *proof.heads})
        if team_id and team_id not in teams:
            raise team_not_found()
        if self.checkpoints is not None:
            yield CheckpointsVerdict(proof.count, proof.newest, proof.broken)
        for each in [team_id] if team_id else teams:
            verdict, proof = await self._chain(each, proof)
            yield verdict

    async def _proof(self) -> Proof:
        """Follow all checkpoints. Retention may remove the oldest meanwhile: then it begins anew."""
        of = self.checkpoints
        if of is None:
            return Proof(())
        while True:
            seen = of.seen()
            proof = Proof(of.keys.public() if of.keys is not None else (), seen)
            kept = first = await of.log.notes(0, _NOTES)
            going, after = True, 0
            while kept and going:
                until = kept[-1].number
                named = await of.log.heads(after, until) if after else await self._first_heads(kept)
                going = await _look_at(proof, kept, named)
                kept, after = await of.log.notes(until, _NOTES), until
            broken = proof.end() if going else proof.broken
            if broken is None or first[:1] == await of.log.notes(0, 1):
                return proof

    async def _first_heads(self, kept: Sequence[KeptCheckpoint]) -> list[tuple[int, str, Link]]:
        """Give what the first checkpoints name; all that stands by the very first one counts as its own."""
        assert self.checkpoints is not None  # noqa: S101  asked for its notes before
        first, until = kept[0].number, kept[-1].number
        base = await self.checkpoints.log.heads(0, first)
        later = await self.checkpoints.log.heads(first, until)
        return [*((first, team_id, link) for _, team_id, link in base), *later]

    async def _chain(self, team_id: str, proof: Proof) -> tuple[Verdict, Proof]:
        """Verify a chain; gives the newest proof as well, which the next one goes by."""
        known: Link | None = None
        while True:
            anchor, head = await self.log.ends(team_id)
            verifier = await self._begun(team_id, anchor, proof)
            if head.sequence == 0 and team_id in proof.heads:
                verifier.broken = Broken(1, Problem.REMOVED, proof.newest.number if proof.newest else 0)
            await self._walk(team_id, verifier, head)
            broken = verifier.end(head) or await self._beyond(team_id)
            if broken is not None and broken.problem is Problem.ANCHOR_MOVED and anchor != known:
                # Retention may have cut by a checkpoint that was signed since: a newer proof knows it.
                known, proof = anchor, await self._proof()
                continue
            # Retention may have moved the anchor on while we walked: then what is gone was to go.
            if broken is None or (await self.log.ends(team_id))[0] == anchor:
                return Verdict(team_id, verifier.count, broken, verifier.signed), proof

    async def _beyond(self, team_id: str) -> Broken | None:
        sequence = await self.log.beyond(team_id)
        return Broken(sequence, Problem.ADDED) if sequence else None

    async def _begun(self, team_id: str, anchor: Link, proof: Proof) -> Verifier:
        if self.checkpoints is None or proof.first is None or proof.newest is None:
            return Verifier(anchor)
        named = await self.checkpoints.log.named(team_id, proof.first.number, proof.newest.number)
        verifier = Verifier(anchor, named)
        verifier.broken = verifier.broken or proof.anchor_problem(anchor, named)
        return verifier

    async def _walk(self, team_id: str, verifier: Verifier, head: Link) -> None:
        after = 0
        while verifier.broken is None and (rows := await self.log.rows(team_id, after, head.sequence)):
            verifier.walk(rows)
            after = rows[-1].link.sequence


async def _look_at(
    proof: Proof, kept: Sequence[KeptCheckpoint], named: Sequence[tuple[int, str, Link]]
) -> bool:
    """Follow some checkpoints; gives whether there is any use in going on."""
    of_number: dict[int, list[tuple[str, Link]]] = {}
    for number, team_id, link in named:
        of_number.setdefault(number, []).append((team_id, link))
    for each in kept:
        if not proof.look_at(each.number, each.note, of_number.get(each.number, ())):
            return False
        await asyncio.sleep(0)  # others are served between two of them
    return True


def _checked(query: AuditQuery) -> AuditQuery:
    if query.start is not None and query.end is not None and query.end <= query.start:
        raise invalid("WINDOW_INVERTED", "end_time must be after start_time.", field="end_time")
    return query
