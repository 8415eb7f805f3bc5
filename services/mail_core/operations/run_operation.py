"""Runs an operation from the queue to its final state, whatever happens on the way."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from services.common.context import Call, entered
from services.common.errors import AppError, internal
from services.common.telemetry import get_logger, span
from services.common.tracing import parse_traceparent, within
from services.mail_core.domain.ids import OperationId, TeamId
from services.mail_core.domain.operation import (
    OperationError,
    OperationKind,
    OperationState,
    Progress,
    Report,
)
from services.mail_core.domain.records import MailboxState, Operation
from services.mail_core.operations.auditing import operation_finished
from services.mail_core.operations.await_right import AwaitRight
from services.mail_core.operations.google_grants import REVOKED
from services.mail_core.operations.stop_revoked import stop_operation
from services.mail_core.storage import Store


class OperationCancelledError(Exception):
    """Somebody asked to cancel, and the work reached a point where it can stop."""


class Reporter:
    """How work tells where it is. `so_far` is what a cancelled or failed operation leaves as its result."""

    def __init__(self, store: Store, operation: Operation) -> None:
        self._store = store
        self._operation = operation
        self.so_far: Report | None = None

    async def __call__(self, progress: Progress) -> None:
        """Keep progress. Raises OperationCancelledError when somebody asked to cancel."""
        async with self._store.team(self._operation.team_id) as records:
            is_cancelled = await records.operations.report_progress(self._operation.id, progress)
        if is_cancelled:
            raise OperationCancelledError


class Work(Protocol):
    """What one kind of operation does. Safe to run again after it was interrupted anywhere."""

    async def __call__(self, operation: Operation, report: Reporter) -> Report: ...


@dataclass(frozen=True, slots=True)
class RunOperation:
    """Does the work of queued operations."""

    store: Store
    work: Mapping[OperationKind, Work]
    right: AwaitRight

    async def __call__(self, team_id: TeamId, operation_id: OperationId, is_last_try: bool) -> None:
        """Run one. Raises AppError only for what is worth another try, when one is left."""
        operation = await self._begun(team_id, operation_id)
        if operation is None:
            return
        call = Call(request_id=operation.request_id, peer=operation.edge)
        trace = parse_traceparent(operation.traceparent)
        with entered(call), within(trace), span(f"operation.{operation.kind}"):
            await self._run(operation, is_last_try=is_last_try)

    async def _begun(self, team_id: TeamId, operation_id: OperationId) -> Operation | None:
        """Set it to running, or cancel it when the right to it is gone; None when there is nothing to do.

        What was interrupted is begun even so, to conclude what was on its way; it stops before its first
        step.
        """
        async with self.store.team(team_id) as records:
            operation = await records.operations.find(operation_id)
        if operation is None or operation.state.is_final:
            return None
        stands = await self.right(operation)
        async with self.store.team(team_id) as records:
            if not stands:
                await stop_operation(records, operation_id)
            return await records.operations.start(operation_id)

    async def _run(self, operation: Operation, *, is_last_try: bool) -> None:
        report = Reporter(self.store, operation)
        try:
            result = await self.work[operation.kind](operation, report)
        except OperationCancelledError:
            await self._finish(operation, OperationState.CANCELLED, report.so_far)
        except AppError as error:
            if error.mapped.retryable and not is_last_try:
                await self._wait_for_another_try(operation)
                raise
            await self._fail(operation, report.so_far, error)
        except Exception:  # noqa: BLE001 - the rim of background work: nothing may be left running forever
            get_logger().exception("operation_unexpected", kind=operation.kind)
            await self._fail(operation, report.so_far, internal())
        else:
            await self._finish(operation, OperationState.SUCCEEDED, result)

    async def _wait_for_another_try(self, operation: Operation) -> None:
        """Put it back into the queue, where a cancel takes effect at once."""
        async with self.store.team(operation.team_id) as records:
            await records.operations.requeue(operation.id)

    async def _fail(self, operation: Operation, so_far: Report | None, error: AppError) -> None:
        if error.reason == REVOKED:
            async with self.store.team(operation.team_id) as records:
                await records.mailboxes.set_state(operation.mailbox_id, MailboxState.GRANT_REVOKED)
        told = OperationError(error.reason, error.message)
        await self._finish(operation, OperationState.FAILED, so_far, told)

    async def _finish(
        self,
        operation: Operation,
        state: OperationState,
        result: Report | None,
        error: OperationError | None = None,
    ) -> None:
        async with self.store.team(operation.team_id) as records:
            await records.operations.finish(operation.id, state, result, error)
            records.audit.note(operation_finished(operation, state, error.reason if error else ""))
        get_logger().info(
            "operation", kind=operation.kind, state=state, reason=error.reason if error else "OK"
        )
