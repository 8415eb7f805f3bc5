"""Asks for an operation: the same request id again gives the same operation (AIP-155)."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from services.common.context import Call
from services.common.errors import AppError, Kind, invalid
from services.common.tracing import current_trace
from services.mail_core.domain.ids import OperationId, TeamId
from services.mail_core.domain.operation import OperationKind, OperationState
from services.mail_core.domain.records import Mailbox, Operation
from services.mail_core.operations.auditing import operation_requested
from services.mail_core.storage import Clock, Records

_REQUEST_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """What is asked for. `request_id` may be empty: then nothing is ever repeated."""

    kind: OperationKind
    request_id: str
    arguments: Mapping[str, Any]


def is_request_id(text: str) -> bool:
    """Whether text can be a request id at all."""
    return _REQUEST_ID.fullmatch(text) is not None


async def request_operation(
    records: Records, mailbox: Mailbox, call: Call, request: OperationRequest, clock: Clock
) -> Operation:
    """Make and queue an operation, or find the one that was asked for with this request id.

    Raises AppError: REQUEST_ID_INVALID; REQUEST_ID_REUSED when the id had asked for something else.
    """
    if request.request_id and not is_request_id(request.request_id):
        raise invalid(
            "REQUEST_ID_INVALID",
            "request_id must be 1 to 128 printable ASCII characters.",
            field="request_id",
        )
    wanted = _operation(mailbox, call, request, clock)
    operation = await records.operations.create(wanted)
    same = (operation.kind, operation.mailbox_id, operation.arguments)
    if same != (request.kind, mailbox.id, request.arguments):
        raise AppError(
            Kind.ALREADY_EXISTS, "REQUEST_ID_REUSED", "This request id has asked for something else before."
        )
    if operation.id == wanted.id:
        records.audit.note(operation_requested(operation, call))
    return operation


def _operation(mailbox: Mailbox, call: Call, request: OperationRequest, clock: Clock) -> Operation:
    caller, trace, now = call.require_caller(), current_trace(), clock()
    return Operation(
        id=OperationId(str(uuid.uuid4())),
        team_id=TeamId(caller.team_id),
        mailbox_id=mailbox.id,
        kind=request.kind,
        state=OperationState.QUEUED,
        request_id=request.request_id or str(uuid.uuid4()),
        arguments=request.arguments,
        principal=caller.principal,
        edge=call.peer,
        traceparent=trace.to_traceparent() if trace else "",
        created_at=now,
        updated_at=now,
        roots=caller.roots,
        right_issued_at=datetime.fromtimestamp(caller.issued_at, UTC) if caller.issued_at else now,
    )
