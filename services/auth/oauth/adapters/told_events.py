"""Tells the audit log what happens outside of any transaction of ours. A flood of refusals is folded."""

from datetime import UTC, datetime

from services.auth.audit_ports import AuditLog
from services.common.audit import DENIED, AuditEvent, Folding
from services.common.errors import AppError
from services.common.telemetry import get_logger


class ToldEvents:
    """Implements `ports.Events`."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._folding = Folding()

    async def tell(self, event: AuditEvent) -> None:
        """Append an event, and what was folded and is due. Never raises for a log that does not answer."""
        due = self._folding.due(datetime.now(UTC))
        first = self._folding.add(event) if event.outcome == DENIED else event
        await self._append([*due, *([first] if first else [])])

    async def close(self) -> None:
        """Write down what is still folded."""
        await self._append(self._folding.due(None))

    async def _append(self, events: list[AuditEvent]) -> None:
        if not events:
            return
        try:
            await self._log.append(events)
        except AppError as error:
            get_logger().warning("oauth_event_not_told", reason=error.reason, count=len(events))
