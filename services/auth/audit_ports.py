"""What auth's operations want of the audit log."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain.audit_chain import Kept, Link, Named
from services.auth.domain.audit_checkpoints import ChainState, CheckpointKey, Statement
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

    async def beyond(self, team_id: str) -> int:
        """Give the first event behind the head, which no one recorded; 0: there is none."""
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


@dataclass(frozen=True, slots=True)
class KeptCheckpoint:
    """A checkpoint as it is kept: the place that it stands at, and the signed note."""

    number: int
    note: str


@dataclass(frozen=True, slots=True)
class Present:
    """What there is when a checkpoint is to be signed. `found`: the one that was asked for, if any."""

    newest: KeptCheckpoint | None
    first: int
    found: KeptCheckpoint | None
    chains: Sequence[ChainState]


class CheckpointKeys(Protocol):
    """The keys of checkpoints, which are in no database."""

    def sign(self, text: str) -> str:
        """Make the signed note of a text."""
        ...

    def public(self) -> tuple[CheckpointKey, ...]:
        """Give the public keys, those that sign no more as well."""
        ...


class CheckpointLog(Protocol):
    """Where checkpoints are kept, and the heads that they name."""

    async def add(
        self, wanted: int, make: Callable[[Present], tuple[Statement, str] | None]
    ) -> KeptCheckpoint | None:
        """Add what `make` signs, while nobody else does. `wanted`: number of a checkpoint to look for."""
        ...

    async def notes(self, after: int, limit: int) -> list[KeptCheckpoint]:
        """Give some checkpoints in their order."""
        ...

    async def newest(self) -> KeptCheckpoint | None:
        """Give the last checkpoint."""
        ...

    async def heads(self, after: int, until: int) -> list[tuple[int, str, Link]]:
        """Give what these checkpoints name: number, team, place; after 0, for each team the last of them."""
        ...

    async def named(self, team_id: str, first: int, until: int) -> list[Named]:
        """Give what these checkpoints name of one chain, in their order, from what the first says of it."""
        ...


class CheckpointCopies(Protocol):
    """A copy of the checkpoints outside of the database."""

    def last(self) -> str | None:
        """Give the newest note of the copy."""
        ...

    async def add(self, note: str) -> None:
        """Append a note."""
        ...
