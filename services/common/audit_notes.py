"""Notes of a backend on what is in no transaction: durable at once the first time, counted when repeated."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from services.common.audit import AuditEvent, Folding, denial_of
from services.common.context import Call
from services.common.errors import AppError
from services.common.policy import Policy
from services.common.telemetry import get_logger

FLUSH_EVERY_S: Final = 5.0
_MAX_WAITING: Final = 2_000

WriteEvents = Callable[[Sequence[AuditEvent]], Awaitable[object]]
"""Keeps events. Raises AppError when that cannot be done now."""


@dataclass(slots=True)
class RefusalNotes:
    """Keeps notes, of refusals above all, in bounds: one for the first of a minute, one for its repeats."""

    write: WriteEvents
    folding: Folding = field(default_factory=Folding)
    _waiting: list[AuditEvent] = field(default_factory=list)

    async def note(self, event: AuditEvent) -> None:
        """Write an event down, or count it. A log that cannot be written does not change the answer."""
        first = self.folding.add(event)
        if first is not None:
            await self._write([first])

    async def denied(self, policy: Policy, call: Call, error: AppError) -> None:
        """Note what the dispatcher refused."""
        await self.note(denial_of(call, policy.action, error))

    async def flush(self, *, everything: bool = False) -> None:
        """Write what was counted in windows that are over."""
        await self._write(self.folding.due(None if everything else datetime.now(UTC)))

    async def keep_flushing(self) -> None:
        """Flush now and then until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            await self.flush()

    async def _write(self, events: Sequence[AuditEvent]) -> None:
        # What could not be written goes first, as long as it is not too much.
        events = [*self._waiting, *events]
        self._waiting = []
        if not events:
            return
        try:
            await self.write(events)
        except AppError as error:
            get_logger().warning("audit_not_written", reason=error.reason, count=len(events))
            self._waiting = [*events, *self._waiting][:_MAX_WAITING]
