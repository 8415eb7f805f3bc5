"""What auth's operations want of the audit log."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain.audit_chain import Kept, Link
from services.common.audit import AuditEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    """Which events. Empty fields exclude nothing; a trailing `*` of the action stands for any ending."""

    action: str = ""
    actor: str = ""
    outcome: str = ""
    start: datetime | None = None
    end: datetime | None = None


class Audit(Protocol):
    """Where changes are recorded, in the transaction that makes them. Call it last in a transaction."""

    async def record(self, connection: AsyncConnection, *events: AuditEvent) -> int:
        """Append events to their chains; gives how many were new."""
        ...


class AuditLog(Audit, Protocol):
    """The log itself."""

    async def append(self, events: Sequence[AuditEvent]) -> int:
        """Append events that happened elsewhere; gives how many were new."""
        ...

    async def page(self, team_id: str, query: AuditQuery, limit: int, before: int | None) -> list[Kept]:
        """List the newest events that match, behind a sequence."""
        ...

    def oldest_first(self, team_id: str, query: AuditQuery) -> AsyncIterator[Kept]:
        """Give all events that match."""
        ...

    async def ends(self, team_id: str) -> tuple[Link, Link]:
        """Give the anchor and the head of a chain."""
        ...

    async def rows(self, team_id: str, after: int, until: int) -> list[Kept]:
        """Give a stretch of a chain, at most one batch of it."""
        ...

    async def teams(self) -> list[str]:
        """List the teams that have a chain."""
        ...

    async def prune(self, days: int) -> tuple[int, int]:
        """Remove what is older; gives how many events of how many chains."""
        ...
