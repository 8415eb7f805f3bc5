"""Following an operation of the mail core to its end, over restarts of the core."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Final, cast

from protos.mail.v1 import mail_pb2, resources_pb2
from services.common.errors import AppError, Kind

Operation = resources_pb2.Operation

FINAL_STATES: Final = frozenset(
    {
        resources_pb2.OPERATION_STATE_SUCCEEDED,
        resources_pb2.OPERATION_STATE_FAILED,
        resources_pb2.OPERATION_STATE_CANCELLED,
    }
)
_PASSING: Final = frozenset({Kind.UNAVAILABLE, Kind.CANCELLED, Kind.DEADLINE_EXCEEDED})
"""The core ends its streams when it is restarted; by gRPC that reads as one of these."""


def is_final(operation: Operation) -> bool:
    """Whether nothing of the operation will change any more."""
    return operation.state in FINAL_STATES


async def states_of(
    mail: Any, operation_id: str, pauses_s: Sequence[float], *, is_known: bool
) -> AsyncGenerator[Operation, None]:
    """Iterate over the states of an operation, ending after the final one.

    `mail` is a stub of MailService. A core that is away is waited for, `pauses_s` one after the other,
    from the first again once it was heard. `is_known` says that the operation is there: otherwise the
    first failure counts, so that it can be told as one. Raises AppError as WatchOperation does.
    """
    losses = 0
    while True:
        try:
            async with aclosing(_watch(mail, operation_id)) as states:
                async for operation in states:
                    is_known, losses = True, 0
                    yield operation
                    if is_final(operation):
                        return
        except AppError as error:
            if not is_known or error.kind not in _PASSING or losses >= len(pauses_s):
                raise
        await asyncio.sleep(pauses_s[min(losses, len(pauses_s) - 1)])
        losses += 1


def _watch(mail: Any, operation_id: str) -> AsyncGenerator[Operation, None]:
    states: AsyncIterator[Operation] = mail.WatchOperation(mail_pb2.WatchOperationRequest(id=operation_id))
    return cast("AsyncGenerator[Operation, None]", states)
