"""Work that takes longer than a request: operations of the core, found by the id of the task they serve."""

import asyncio
import re
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from protos.mail.v1 import mail_pb2
from protos.mail.v1.resources_pb2 import Operation
from services.common.errors import AppError, Kind, internal, invalid
from services.common.following import is_final, states_of
from services.common.telemetry import get_logger
from services.edge_a2a.messages import Asked
from services.edge_a2a.task_store import Owner

_TASKS: Final = uuid.UUID("6d0b3c0e-62b7-5d0e-9a53-0a5f3d1f7c11")
_CONTEXTS: Final = uuid.UUID("c1a0f0a4-5a0c-5f6e-8b6b-3b7d1b3f6f52")
_PLAIN_CONTEXT: Final = re.compile(r"^[A-Za-z0-9_-]{1,64}$")
_PLAIN_TASK: Final = re.compile(r"^[A-Za-z0-9._-]{1,128}$")
_NOT_VISIBLE: Final = frozenset({Kind.NOT_FOUND, Kind.PERMISSION_DENIED, Kind.INVALID_ARGUMENT})
_PAUSES_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 2.0, 2.0, 2.0, 5.0, 5.0, 5.0)
"""How long a watch waits for a core that went away, about 25 s in all: longer than a restart takes."""


def task_id_for(owner: Owner, message_id: str, context_id: str) -> str:
    """Make the id of an operation's task from the message that asks for it.

    The same message sent again after a lost answer names the same operation. A plain context id rides
    along, so that it is still known when only the core remembers the task.
    """
    own = uuid.uuid5(_TASKS, f"{owner.team_id}\n{owner.principal}\n{message_id}")
    return f"{own}.{context_id}" if _PLAIN_CONTEXT.match(context_id) else str(own)


def context_id_of(task_id: str) -> str:
    """Give the context of a task that is only known by its id."""
    return task_id.partition(".")[2] or str(uuid.uuid5(_CONTEXTS, task_id))


class Operations:
    """Starts, finds, follows and stops operations."""

    def __init__(self, mail: Any) -> None:
        self._mail = mail
        self._pumps: set[asyncio.Task[None]] = set()

    async def start(self, asked: Asked, task_id: str) -> Operation:
        """Start what was asked for; the same task id again gives the same operation. Raises AppError."""
        request = asked.action.request(asked.values)
        request.request_id = task_id
        try:
            return await getattr(self._mail, asked.action.method)(request)
        except AppError as error:
            if error.reason != "REQUEST_ID_REUSED":
                raise
        message = "This messageId was used before, for something else. Make a new one for each message."
        raise invalid("MESSAGE_ID_REUSED", message, field="message.message_id")

    async def find(self, task_id: str) -> Operation | None:
        """Find the operation of a task; None when there is none that the caller may see. Raises AppError."""
        if not _PLAIN_TASK.match(task_id):
            return None
        try:
            return await self._mail.GetOperation(mail_pb2.GetOperationRequest(request_id=task_id))
        except AppError as error:
            if error.kind in _NOT_VISIBLE:
                return None
            raise

    async def cancel(self, operation: Operation) -> Operation:
        """Ask an operation to stop. Raises AppError."""
        return await self._mail.CancelOperation(mail_pb2.CancelOperationRequest(id=operation.id))

    async def watch(self, operation: Operation) -> AsyncGenerator[Operation]:
        """Follow an operation to its end or until `stop`; outlives a restart of the core. Raises AppError."""
        seen: asyncio.Queue[Operation | AppError | None] = asyncio.Queue()
        pump = asyncio.create_task(self._pump(operation, seen))
        self._pumps.add(pump)
        pump.add_done_callback(self._pumps.discard)
        try:
            while isinstance(item := await seen.get(), Operation):
                yield item
            if item is not None:
                raise item
        finally:
            pump.cancel()

    def stop(self) -> None:
        """End every watch: the process drains, and clients go on by asking another replica."""
        for pump in self._pumps:
            pump.cancel()

    # The stream is read in one task of its own, because an answer's generator moves between tasks.
    async def _pump(self, operation: Operation, seen: asyncio.Queue[Operation | AppError | None]) -> None:
        try:
            await self._follow(operation, seen)
        except AppError as error:
            seen.put_nowait(error)
        except Exception:  # noqa: BLE001 - the rim of a task that nobody awaits
            get_logger().exception("unexpected", action="a2a.watch")
            seen.put_nowait(internal())
        finally:
            seen.put_nowait(None)

    async def _follow(self, operation: Operation, seen: asyncio.Queue[Operation | AppError | None]) -> None:
        if is_final(operation):
            return
        async with aclosing(states_of(self._mail, operation.id, _PAUSES_S, is_known=True)) as states:
            async for state in states:
                seen.put_nowait(state)
