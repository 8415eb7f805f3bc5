"""The team's operations in PostgreSQL. A new one is queued in the transaction that makes it."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.mail_core.adapters.job_queue import JobQueue
from services.mail_core.adapters.tables import label_changes, operations
from services.mail_core.domain.ids import GmailMessageId, OperationId, TeamId
from services.mail_core.domain.operation import (
    OperationError,
    OperationKind,
    OperationState,
    Phase,
    Progress,
    Report,
    report_from_json,
)
from services.mail_core.domain.records import Operation

CHANNEL = "mailwarden_operation"
_OPEN = (OperationState.QUEUED, OperationState.RUNNING)


@dataclass(frozen=True, slots=True)
class PostgresOperations:
    """Implements `storage.Operations` within one transaction of one team."""

    connection: AsyncConnection
    team_id: TeamId
    queue: JobQueue

    async def create(self, operation: Operation) -> Operation:
        """Keep a new operation and queue its work; gives the one that has this request id already."""
        statement = (
            insert(operations)
            .values(
                id=operation.id,
                team_id=self.team_id,
                mailbox_id=operation.mailbox_id,
                kind=operation.kind,
                state=operation.state,
                request_id=operation.request_id,
                arguments=dict(operation.arguments),
                principal=operation.principal,
                edge=operation.edge,
                traceparent=operation.traceparent,
                created_at=operation.created_at,
                updated_at=operation.updated_at,
                roots=sorted(operation.roots),
                right_issued_at=operation.right_issued_at,
            )
            .on_conflict_do_nothing(index_elements=["team_id", "request_id"])
            .returning(operations.c.id)
        )
        if (await self.connection.execute(statement)).one_or_none() is not None:
            await self.queue.enqueue(self.connection, operation)
            return operation
        earlier = await self.find_by_request_id(operation.request_id)
        if earlier is None:
            raise RuntimeError("the request id is taken by an operation that cannot be seen")
        return earlier

    async def find(self, operation_id: OperationId) -> Operation | None:
        """Give one, or None."""
        return await self._one(operations.c.id == operation_id)

    async def find_by_request_id(self, request_id: str) -> Operation | None:
        """Give the one that was asked for with this request id, or None."""
        return await self._one(operations.c.request_id == request_id)

    async def start(self, operation_id: OperationId) -> Operation | None:
        """Set it to running; None when it is final already."""
        await self._update(operation_id, state=OperationState.RUNNING)
        operation = await self.find(operation_id)
        return None if operation is None or operation.state.is_final else operation

    async def requeue(self, operation_id: OperationId) -> None:
        """Set a running one back to queued, or to cancelled when somebody asked for that."""
        wanted = sa.case(
            (operations.c.is_cancel_requested, OperationState.CANCELLED.value),
            else_=OperationState.QUEUED.value,
        )
        await self._update(operation_id, state=wanted)

    async def report_progress(self, operation_id: OperationId, progress: Progress) -> bool:
        """Keep progress; says whether somebody asked to cancel."""
        await self._update(
            operation_id,
            progress_done=progress.done,
            progress_total=progress.total,
            progress_phase=progress.phase,
        )
        query = sa.select(operations.c.is_cancel_requested).where(operations.c.id == operation_id)
        return bool((await self.connection.execute(query)).scalar_one_or_none())

    async def finish(
        self,
        operation_id: OperationId,
        state: OperationState,
        result: Report | None,
        error: OperationError | None = None,
    ) -> None:
        """Set it to a final state."""
        await self._update(
            operation_id,
            state=state,
            result=result.to_json() if result else sa.null(),
            error_reason=error.reason if error else "",
            error_message=error.message if error else "",
        )

    async def request_cancel(self, operation_id: OperationId) -> None:
        """Cancel a queued one at once, ask a running one to stop."""
        is_queued = operations.c.state == OperationState.QUEUED
        state = sa.case((is_queued, OperationState.CANCELLED.value), else_=operations.c.state)
        await self._update(operation_id, state=state, is_cancel_requested=True)

    async def note_label_change(
        self,
        operation: Operation,
        ids: Sequence[GmailMessageId],
        add: Collection[str],
        remove: Collection[str],
    ) -> str:
        """Write a change of labels down before Gmail is asked for it; gives its id."""
        change_id = str(uuid.uuid4())
        await self.connection.execute(
            sa.insert(label_changes).values(
                id=change_id,
                team_id=self.team_id,
                mailbox_id=operation.mailbox_id,
                operation_id=operation.id,
                gmail_ids=list(ids),
                added=list(add),
                removed=list(remove),
            )
        )
        return change_id

    async def confirm_label_change(self, change_id: str) -> None:
        """Note that Gmail made the change."""
        await self.connection.execute(
            sa.update(label_changes).where(label_changes.c.id == change_id).values(is_applied=True)
        )

    async def _one(self, condition: sa.ColumnElement[bool]) -> Operation | None:
        row = (await self.connection.execute(operations.select().where(condition))).one_or_none()
        return None if row is None else _operation(row)

    async def _update(self, operation_id: OperationId, **values: object) -> None:
        """Change an operation that is not final, and tell who watches when the transaction commits."""
        await self.connection.execute(
            sa.update(operations)
            .where(operations.c.id == operation_id, operations.c.state.in_(_OPEN))
            .values(**values, updated_at=sa.func.clock_timestamp())
        )
        await self.connection.execute(sa.select(sa.func.pg_notify(CHANNEL, operation_id)))


def _operation(row: sa.Row) -> Operation:
    kind = OperationKind(row.kind)
    return Operation(
        id=row.id,
        team_id=row.team_id,
        mailbox_id=row.mailbox_id,
        kind=kind,
        state=OperationState(row.state),
        request_id=row.request_id,
        arguments=row.arguments,
        principal=row.principal,
        edge=row.edge,
        traceparent=row.traceparent,
        created_at=row.created_at,
        updated_at=row.updated_at,
        progress=Progress(row.progress_done, row.progress_total, Phase(row.progress_phase)),
        is_cancel_requested=row.is_cancel_requested,
        result=None if row.result is None else report_from_json(kind, row.result),
        error=OperationError(row.error_reason, row.error_message) if row.error_reason else None,
        roots=frozenset(row.roots),
        right_issued_at=row.right_issued_at,
    )
