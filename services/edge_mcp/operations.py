"""Following an operation on behalf of a model that waits: progress, patience, and knowing when to stop.

An operation outlives the request that started it. A client that goes away, or that says
`notifications/cancelled`, ends only our watching: on the modern wire cancelling *is* closing the stream
and cannot be told from a lost connection, on the older one the notification comes by another request,
perhaps to another replica, and names nothing but an id that any client may have chosen. Calling again
with the same request id goes on watching.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from protos.mail.v1 import mail_pb2_grpc, resources_pb2
from services.common.errors import AppError
from services.common.following import is_final, states_of
from services.edge_mcp.tool import ReportProgress

Operation = resources_pb2.Operation

_PAUSES_S: Final = (0.2, 0.6, 1.8)
"""Waits before watching again after the backend was lost. A change seen in between starts them anew."""


@dataclass(slots=True)
class _Seen:
    operation: Operation


class Operations:
    """Starts operations and watches them for at most `wait_s`, or until the process has to stop."""

    def __init__(
        self, mail: mail_pb2_grpc.MailServiceStub, *, wait_s: float, stopping: asyncio.Event
    ) -> None:
        self._mail = mail
        self._wait_s = wait_s
        self._stopping = stopping

    async def run(
        self, start: Callable[[Any], Awaitable[Operation]], request: Any, report: ReportProgress
    ) -> Operation:
        """Start an operation, or find the one of the same request id, and give its last known state.

        Raises AppError. Once the operation exists, the message says how to go on with it.
        """
        operation = await start(request)
        await report(operation)
        if is_final(operation):
            return operation
        try:
            return await self._follow(operation, report)
        except AppError as error:
            raise _with_the_way_on(error, operation) from None

    async def _follow(self, operation: Operation, report: ReportProgress) -> Operation:
        seen = _Seen(operation)
        watching = asyncio.create_task(self._watch(seen, report))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait(
                {watching, stopping}, timeout=self._wait_s, return_when=asyncio.FIRST_COMPLETED
            )
            if watching.done():
                watching.result()
        finally:
            for task in (watching, stopping):
                task.cancel()
            await asyncio.gather(watching, stopping, return_exceptions=True)
        return seen.operation

    async def _watch(self, seen: _Seen, report: ReportProgress) -> None:
        async with aclosing(states_of(self._mail, seen.operation.id, _PAUSES_S, is_known=True)) as states:
            async for operation in states:
                seen.operation = operation
                await report(operation)


def _with_the_way_on(error: AppError, operation: Operation) -> AppError:
    message = f'{error.message} The work goes on; call again with request_id "{operation.request_id}".'
    return AppError(
        error.kind,
        error.reason,
        message,
        retry_after_s=error.retry_after_s,
        fields=error.fields,
        metadata=error.metadata,
    )
