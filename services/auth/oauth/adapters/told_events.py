"""Tells the audit log what happens outside of any transaction of ours. A flood of refusals is folded."""

from services.auth.audit_ports import AuditLog
from services.common.audit import AuditEvent
from services.common.audit_notes import RefusalNotes


class ToldEvents:
    """Implements `ports.Events`."""

    def __init__(self, log: AuditLog, notes: RefusalNotes) -> None:
        self._log = log
        self._notes = notes

    async def record(self, event: AuditEvent) -> None:
        """Append an event, or raise AppError UNAVAILABLE DATABASE_DOWN."""
        await self._log.append([event])

    async def tell(self, event: AuditEvent) -> None:
        """Append a refusal, or count it. Never raises for a log that does not answer."""
        await self._notes.note(event)
