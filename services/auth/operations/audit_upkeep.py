"""What auth does for the audit log by itself: it tells counted refusals, and ends what is old enough.

Auth has no job queue, and retention needs none: every replica asks hourly, the database lets one of them
through at a time, and whoever comes second finds nothing left to remove.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from services.auth.audit_ports import AuditLog
from services.common.audit import audit_event
from services.common.audit_notes import RefusalNotes
from services.common.errors import AppError
from services.common.telemetry import get_logger

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
    tasks = [
        asyncio.create_task(notes.keep_flushing()),
        asyncio.create_task(_regularly(_PRUNE_EVERY_S, retention)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
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
