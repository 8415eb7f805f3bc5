"""What auth does for the audit log by itself: it tells counted refusals, and ends what is old enough.

Auth has no job queue, and retention needs none: every replica asks hourly, the database lets one of them
through at a time, and whoever comes second finds nothing left to remove.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from services.auth.audit_ports import AuditLog
from services.common.audit import audit_event
from services.common.audit_notes import RefusalNotes
from services.common.background import in_background, regularly

_PRUNE_EVERY_S: Final = 3_600.0


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
    try:
        async with in_background(notes.keep_flushing(), regularly(_PRUNE_EVERY_S, "audit_upkeep", retention)):
            yield
    finally:
        await notes.flush(everything=True)
