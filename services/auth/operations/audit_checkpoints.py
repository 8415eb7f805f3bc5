"""Signs checkpoints over the heads of all chains, and remembers the last one outside of the database."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from services.auth.audit_ports import (
    CheckpointCopies,
    CheckpointKeys,
    CheckpointLog,
    KeptCheckpoint,
    Present,
)
from services.auth.domain.audit_checkpoints import Statement, next_statement
from services.auth.ports import Clock
from services.common.audit_checkpoint import FIRST, Checkpoint, checkpoint_of
from services.common.background import in_background, regularly
from services.common.errors import AppError
from services.common.telemetry import get_logger

MAX_UNSIGNED: Final = 1_000
"""Events of this replica after which it does not wait any longer."""
_LAST_S: Final = 5.0
_SHOWN: Final = 20
_BATCH: Final = 500


@dataclass(slots=True)
class Pace:
    """Says when the next checkpoint is due: after some time, or some events."""

    every_s: float
    max_unsigned: int = MAX_UNSIGNED
    _unsigned: int = 0
    _is_due: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._is_due.set()  # the first one at once

    def note(self, count: int) -> None:
        """Count events that were recorded."""
        self._unsigned += count
        if self._unsigned >= self.max_unsigned:
            self._is_due.set()

    async def due(self) -> None:
        """Wait until it is time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.every_s):
                await self._is_due.wait()
        self._is_due.clear()
        self._unsigned = 0


@dataclass(slots=True)
class SignCheckpoints:
    """Signs what is new. Of several replicas one does at a time; the others find nothing left to sign."""

    log: CheckpointLog
    keys: CheckpointKeys
    clock: Clock
    retention: timedelta
    copies: CheckpointCopies | None = None
    seen: Checkpoint | None = None
    """The newest checkpoint that this process or its copy knows. It must stay where it is."""

    def __post_init__(self) -> None:
        last = self.copies.last() if self.copies is not None else None
        with contextlib.suppress(ValueError):
            self.seen = checkpoint_of(last) if last is not None else self.seen

    async def __call__(self) -> Checkpoint | None:
        """Sign what is new; gives the newest checkpoint that this made."""
        made = await self._sign_next()
        if made is not None and made.number == FIRST:
            # It says where the chains begin. Where they end now is for the second one.
            return await self._sign_next() or made
        return made

    async def _sign_next(self) -> Checkpoint | None:
        present: list[Present] = []

        def make(found: Present) -> tuple[Statement, str] | None:
            present.append(found)
            newest = checkpoint_of(found.newest.note) if found.newest else None
            statement = next_statement(newest, found.chains, self.clock(), self.retention)
            return (statement, self.keys.sign(statement.checkpoint.text)) if statement else None

        added = await self.log.add(self.seen.number if self.seen else 0, make)
        self._warn(present[0])
        if added is not None:
            # The whole note, so that whoever collects the logs holds a copy.
            get_logger().info("audit_checkpoint", number=added.number, note=added.note)
        newest = added or present[0].newest
        if newest is not None and self._follows(present[0]):
            await self._remember(newest)
        return checkpoint_of(added.note) if added is not None else None

    def _warn(self, present: Present) -> None:
        if not self._follows(present) and self.seen is not None:
            get_logger().error("audit_checkpoints_rolled_back", seen_number=self.seen.number)
        for chain in [each for each in present.chains if each.contradicts][:_SHOWN]:
            get_logger().error(
                "audit_contradicts_checkpoint",
                team_id=chain.team_id,
                named_sequence=chain.named.sequence if chain.named else 0,
                head_sequence=chain.head.sequence if chain.head else 0,
            )

    def _follows(self, present: Present) -> bool:
        """Whether what we have seen is still there, or was for retention to remove."""
        if self.seen is None:
            return True
        if present.found is None:
            return present.newest is not None and self.seen.number < present.first
        return checkpoint_of(present.found.note).digest == self.seen.digest

    async def _remember(self, newest: KeptCheckpoint) -> None:
        if self.seen is None or newest.number > self.seen.number:
            self.seen = checkpoint_of(newest.note)
            if self.copies is not None:
                await self.copies.add(newest.note)


@dataclass(frozen=True, slots=True)
class ReadCheckpoints:
    """The checkpoints for whoever keeps copies, and the public keys that verify them."""

    log: CheckpointLog
    keys: CheckpointKeys | None

    def verifier_keys(self) -> list[str]:
        """Write the public keys in the form of signed notes."""
        return [str(key.verifier) for key in self.keys.public()] if self.keys is not None else []

    async def notes(self, after: int, *, newest_only: bool) -> AsyncIterator[str]:
        """Give the notes behind a number, oldest first."""
        if newest_only:
            newest = await self.log.newest()
            if newest is not None and newest.number > after:
                yield newest.note
            return
        while kept := await self.log.notes(after, _BATCH):
            for each in kept:
                yield each.note
            after = kept[-1].number


@contextlib.asynccontextmanager
async def signing(sign: SignCheckpoints, pace: Pace) -> AsyncIterator[None]:
    """Sign now and then until the block ends, and once more then."""

    async def next_one() -> None:
        await pace.due()
        await sign()

    try:
        async with in_background(regularly(0.0, "audit_checkpoint", next_one)):
            yield
    finally:
        try:
            async with asyncio.timeout(_LAST_S):
                await sign()
        except (AppError, TimeoutError):
            # The next process signs what is left.
            get_logger().warning("audit_checkpoint_failed")
        except Exception:  # noqa: BLE001  whatever it is, it stops no process from stopping
            get_logger().exception("unexpected", action="audit_checkpoint")
