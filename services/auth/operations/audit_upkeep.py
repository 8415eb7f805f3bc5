"""What auth does for the audit log by itself: notes of refusals, and the end of what is old enough.

Auth has no job queue, and retention needs none: every replica asks hourly, the database lets one of them
through at a time, and whoever comes second finds nothing left to remove.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.auth.audit_ports import AuditLog
from services.auth.ports import Clock
from services.common.audit import AuditEvent, Folding, audit_event
from services.common.errors import AppError
from services.common.telemetry import get_logger

_PRUNE_EVERY_S: Final = 3_600.0
_FLUSH_EVERY_S: Final = 5.0
_MAX_WAITING: Final = 2_000


@dataclass(slots=True)
class RefusalNotes:
    """Keeps refusals in bounds: one event for the first of a minute, one for all of its repeats."""

    log: AuditLog
    clock: Clock
    folding: Folding = field(default_factory=Folding)
    _waiting: list[AuditEvent] = field(default_factory=list)

    async def note(self, event: AuditEvent) -> None:
        """Write a refusal down, or count it. A log that cannot be written does not change the answer."""
        first = self.folding.add(event)
        if first is not None:
            await self._write([first])

    async def flush(self, *, everything: bool = False) -> None:
        """Write what was counted in windows that are over."""
        await self._write(self.folding.due(None if everything else self.clock()))

    async def _write(self, events: Sequence[AuditEvent]) -> None:
        # What could not be written goes first, as long as it is not too much.
        events = [*self._waiting, *events]
        self._waiting = []
        if not events:
            return
        try:
            await self.log.append(events)
        except AppError as error:
            get_logger().warning("audit_not_written", reason=error.reason, count=len(events))
            self._waiting = [*events, *self._waiting][:_MAX_WAITING]


@dataclass(frozen=True, slots=True)
class Retention:
    """Removes what is older than the days that events are kept."""

    log: AuditLog
    days: int

    async def __call__(self) -> int:
        """Remove once, and say so in the system's chain; gives how many events went."""
        events, teams = await self.log.prune(self.days)
        if events:
            said = audit_event("audit.pruned", count=events, team_count=teams, retention_days=self.days)
            await self.log.append([said])
        return events


@contextlib.asynccontextmanager
async def audit_upkeep(notes: RefusalNotes, retention: Retention) -> AsyncIterator[None]:
    """Keep the log up until the block ends, then write what was still counted."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_regularly(_FLUSH_EVERY_S, notes.flush)),
            group.create_task(_regularly(_PRUNE_EVERY_S, retention)),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await notes.flush(everything=True)


async def _regularly(every_s: float, work: Callable[[], Awaitable[object]]) -> None:
    while True:
        try:
            await work()
        except AppError as error:
            get_logger().warning("audit_upkeep_failed", reason=error.reason)
        except Exception:  # noqa: BLE001 - upkeep goes on whatever one round met
            get_logger().exception("unexpected", action="audit_upkeep")
        await asyncio.sleep(every_s)
