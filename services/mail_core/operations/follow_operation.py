"""Looks at operations, follows them, and asks them to stop."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

from services.common.context import Call
from services.common.errors import AppError, invalid, not_found
from services.common.identity import Caller
from services.mail_core.domain.ids import OperationId, TeamId
from services.mail_core.domain.operation import OperationKind
from services.mail_core.domain.records import Operation
from services.mail_core.operations.auditing import cancel_requested
from services.mail_core.operations.mailbox_access import is_uuid, may_use
from services.mail_core.operations.request_operation import is_request_id
from services.mail_core.operations.unsubscribe_targets import UnsubscribeTargets
from services.mail_core.storage import OperationChanges, Records, Store

_READ: Final[Mapping[OperationKind, frozenset[str]]] = {
    OperationKind.SCAN: frozenset({"mail:scan"}),
    OperationKind.UNSUBSCRIBE: frozenset({"unsubscribe:execute", "unsubscribe:read"}),
}
_STOP: Final[Mapping[OperationKind, frozenset[str]]] = {
    OperationKind.SCAN: frozenset({"mail:scan"}),
    OperationKind.UNSUBSCRIBE: frozenset({"unsubscribe:execute"}),
}


@dataclass(frozen=True, slots=True)
class FollowOperation:
    """What callers may do with the operations of their team."""

    store: Store
    targets: UnsubscribeTargets
    changes: OperationChanges

    async def get(self, call: Call, operation_id: str, request_id: str = "") -> Operation:
        """Give an operation by either id. Raises OPERATION_ID_REQUIRED, OPERATION_NOT_FOUND."""
        if bool(operation_id) == bool(request_id):
            raise invalid("OPERATION_ID_REQUIRED", "Name the operation by id or by request_id.", field="id")
        caller = call.require_caller()
        async with self.store.team(TeamId(caller.team_id)) as records:
            found = await _visible(records, caller, operation_id, request_id)
            return await self.targets.with_pages(records, found)

    async def watch(self, call: Call, operation_id: str) -> AsyncIterator[Operation]:
        """Give an operation now and after every change, until it is final."""
        with self.changes.watch(OperationId(operation_id)) as ticks:
            operation = await self.get(call, operation_id)
            yield operation
            while not operation.state.is_final:
                await anext(ticks)
                latest = await self.get(call, operation_id)
                if latest != operation:
                    operation = latest
                    yield operation

    async def cancel(self, call: Call, operation_id: str) -> Operation:
        """Ask an operation to stop; a finished one stays as it is."""
        caller = call.require_caller()
        async with self.store.team(TeamId(caller.team_id)) as records:
            operation = await _visible(records, caller, operation_id, "", _STOP)
            await records.operations.request_cancel(operation.id)
            if not operation.state.is_final and not operation.is_cancel_requested:
                records.audit.note(cancel_requested(operation, call))
        return await self.get(call, operation_id)


async def _visible(
    records: Records,
    caller: Caller,
    operation_id: str,
    request_id: str,
    scopes: Mapping[OperationKind, frozenset[str]] = _READ,
) -> Operation:
    operation = await _find(records, operation_id, request_id)
    if operation is None or not scopes[operation.kind] & caller.scopes:
        raise _not_found()
    mailbox = await records.mailboxes.find(operation.mailbox_id)
    if mailbox is None or not may_use(caller, mailbox):
        raise _not_found()
    return operation


async def _find(records: Records, operation_id: str, request_id: str) -> Operation | None:
    if request_id:
        is_possible = is_request_id(request_id)
        return await records.operations.find_by_request_id(request_id) if is_possible else None
    return await records.operations.find(OperationId(operation_id)) if is_uuid(operation_id) else None


def _not_found() -> AppError:
    return not_found("OPERATION_NOT_FOUND", "There is no such operation.")
