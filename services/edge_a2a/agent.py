"""The agent behind every binding: turns messages into calls of the core, and outcomes into tasks.

It implements the SDK's `RequestHandler` itself and not its `AgentExecutor`: the SDK's handler keeps running
tasks in this process, while ours live in the core, where every replica finds them and a restart loses none.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import Any, Final

from a2a.server.context import ServerCallContext
from a2a.server.events.event_queue import Event
from a2a.server.request_handlers.request_handler import validate_request_params
from a2a.types.a2a_pb2 import (
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    ListTasksResponse,
    SendMessageRequest,
    SubscribeToTaskRequest,
    Task,
)
from a2a.utils.errors import (
    InvalidParamsError,
    PushNotificationNotSupportedError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from a2a.utils.task import apply_history_length, validate_history_length

from protos.mail.v1.resources_pb2 import Operation
from services.common.context import current_call
from services.common.edge import Admission
from services.common.errors import AppError
from services.common.tracing import span
from services.edge_a2a.actions import ACTIONS
from services.edge_a2a.messages import Asked, asked_by
from services.edge_a2a.operations import Operations, context_id_of
from services.edge_a2a.task_errors import refuses_request
from services.edge_a2a.task_listing import page_of, require_listable
from services.edge_a2a.task_store import Kept, Owner, TaskStore
from services.edge_a2a.tasks import (
    Draft,
    events_between,
    is_final,
    is_waiting,
    opening,
)
from services.edge_a2a.turns import Turn, turn_of
from services.edge_a2a.undeclared import WithoutPushAndExtendedCard

_OWNER: Final = "owner"
_PERMITTED: Final = "permitted"
Permitted = Callable[[], AbstractAsyncContextManager[None]]
_CANCEL_WAIT_S: Final = 5.0
_WHAT_TO_SEND: Final = 'Send a data part such as {"action": "check_availability", "start": …, "end": …}.'


def state_of(admission: Admission) -> dict[str, Any]:
    """Give what a binding leaves of an authenticated request in `ServerCallContext.state`."""
    if admission.caller is None:
        raise RuntimeError("the agent answers callers that are known")
    return {_OWNER: Owner.of(admission.caller), _PERMITTED: admission.permitted}


@dataclass(frozen=True, slots=True)
class Standing:
    """A task as it stands, and the operation behind it when there is one."""

    task: Task
    operation: Operation | None = None

    def draft(self) -> Draft:
        """What later states of the task have in common with this one."""
        return Draft(self.task.id, self.task.context_id, tuple(self.task.history))


class Agent(WithoutPushAndExtendedCard):
    """Answers the A2A methods. Raises AppError, or the SDK's errors where the protocol has one."""

    def __init__(self, mail: Any, operations: Operations, store: TaskStore) -> None:
        self._mail = mail
        self._operations = operations
        self._store = store

    # --- messages

    @validate_request_params
    async def on_message_send(self, params: SendMessageRequest, context: ServerCallContext) -> Task:
        """Do what a message asks for; wait for the end unless `return_immediately`."""
        _require_supported(params)
        owner = _owner(context)
        standing = await self._begin(await self._turn(params, owner))
        task = standing.task
        if not params.configuration.return_immediately:
            task = await self._last(standing, owner)
        return apply_history_length(task, params.configuration)

    @validate_request_params
    async def on_message_send_stream(
        self, params: SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event]:
        """Do what a message asks for, telling every change."""
        _require_supported(params)
        owner = _owner(context)
        standing = await self._begin(await self._turn(params, owner))
        first = opening(standing.task)
        yield apply_history_length(first, params.configuration)
        for event in events_between(first, standing.task):
            yield event
        async for event in self._events(standing, owner):
            yield event

    async def perform(self, asked: Asked) -> Any:
        """Do an action that answers at once; gives the core's answer. Raises AppError."""
        with span(f"a2a.{asked.action.id}"):
            return await getattr(self._mail, asked.action.method)(asked.action.request(asked.values))

    def complete(self, turn: Turn, asked: Asked, result: Any) -> Task:
        """Make the task of an action that has answered, and remember it."""
        task = turn.draft.completed(asked.action, result)
        self._store.keep(turn.owner, task)
        return task

    async def _turn(self, params: SendMessageRequest, owner: Owner) -> Turn:
        message = params.message
        asked = asked_by(params)
        if not message.task_id:
            return turn_of(message, asked, owner)
        standing = await self._require(owner, message.task_id)
        if message.context_id and message.context_id != standing.task.context_id:
            raise InvalidParamsError("The message's contextId is not that of its task.")
        if not is_waiting(standing.task):
            raise UnsupportedOperationError("The task takes no more messages: it is at work or has ended.")
        kept = self._store.find(owner, message.task_id)
        return turn_of(message, asked or (kept.asked if kept else None), owner, standing.draft())

    async def _begin(self, turn: Turn) -> Standing:
        """Do what is asked for, or start it. An error of the work is a task; one of the request is raised."""
        try:
            return await self._do(turn)
        except AppError as error:
            if refuses_request(error):
                raise
            task = turn.draft.failed(error, _request_id())
            self._store.keep(turn.owner, task, asked=turn.asked)
            return Standing(task)

    async def _do(self, turn: Turn) -> Standing:
        draft, asked = turn.draft, turn.asked
        if asked is None:
            task = draft.input_required(_WHAT_TO_SEND, {"actions": list(ACTIONS)})
            self._store.keep(turn.owner, task)
            return Standing(task)
        if not asked.action.is_operation:
            return Standing(self.complete(turn, asked, await self.perform(asked)))
        with span(f"a2a.{asked.action.id}"):
            operation = await self._operations.start(asked, draft.task_id)
        return self._note(turn.owner, draft, operation)

    def _note(self, owner: Owner, draft: Draft, operation: Operation) -> Standing:
        task = draft.of_operation(operation)
        self._store.keep(owner, task, is_operation=True)
        return Standing(task, operation)

    async def _follow(self, standing: Standing, owner: Owner) -> AsyncGenerator[Task]:
        """Give every later state of a task, until it is final or the process drains."""
        if standing.operation is None or is_final(standing.task):
            return
        async with aclosing(self._operations.watch(standing.operation)) as operations:
            async for operation in operations:
                yield self._note(owner, standing.draft(), operation).task

    async def _events(self, standing: Standing, owner: Owner) -> AsyncGenerator[Event]:
        last = standing.task
        async with aclosing(self._follow(standing, owner)) as states:
            async for task in states:
                for event in events_between(last, task):
                    yield event
                last = task

    # --- tasks

    @validate_request_params
    async def on_get_task(self, params: GetTaskRequest, context: ServerCallContext) -> Task:
        """Give a task as it is now."""
        validate_history_length(params)
        standing = await self._require(_owner(context), params.id)
        return apply_history_length(standing.task, params)

    @validate_request_params
    async def on_list_tasks(self, params: ListTasksRequest, context: ServerCallContext) -> ListTasksResponse:
        """List the caller's tasks that this replica remembers, the newest first."""
        require_listable(params)
        owner = _owner(context)
        current = [await self._refreshed(owner, kept) for kept in self._store.all_of(owner)]
        return page_of([standing.task for standing in current], params)

    @validate_request_params
    async def on_cancel_task(self, params: CancelTaskRequest, context: ServerCallContext) -> Task:
        """Stop a task at its next safe point; waits a moment for that."""
        owner = _owner(context)
        standing = await self._require(owner, params.id)
        if is_final(standing.task):
            raise TaskNotCancelableError
        if standing.operation is None:
            task = standing.draft().canceled()
            self._store.keep(owner, task)
            return task
        operation = await self._operations.cancel(standing.operation)
        return await self._settled(self._note(owner, standing.draft(), operation), owner)

    async def _settled(self, standing: Standing, owner: Owner) -> Task:
        try:
            async with asyncio.timeout(_CANCEL_WAIT_S):
                return await self._last(standing, owner)
        except TimeoutError:
            return standing.task

    async def _last(self, standing: Standing, owner: Owner) -> Task:
        last = standing.task
        async with aclosing(self._follow(standing, owner)) as states:
            async for task in states:
                last = task
        return last

    @validate_request_params
    async def on_subscribe_to_task(
        self, params: SubscribeToTaskRequest, context: ServerCallContext
    ) -> AsyncGenerator[Event]:
        """Tell a task as it stands, and then every change."""
        owner = _owner(context)
        standing = await self._require(owner, params.id)
        if is_final(standing.task):
            raise UnsupportedOperationError("The task has ended: there is nothing to subscribe to.")
        yield standing.task
        async for event in self._later_events(standing, owner, context.state[_PERMITTED]):
            yield event

    async def _later_events(
        self, standing: Standing, owner: Owner, permitted: Permitted
    ) -> AsyncGenerator[Event]:
        last = standing.task
        while is_waiting(last):
            async with permitted():
                task = await self._store.changed(owner, last)
            if task is None:
                return
            for event in events_between(last, task):
                yield event
            last = task
        current = standing if last is standing.task else await self._require(owner, last.id)
        for event in events_between(last, current.task):
            yield event
        async for event in self._events(current, owner):
            yield event

    async def _require(self, owner: Owner, task_id: str) -> Standing:
        kept = self._store.find(owner, task_id)
        if kept is not None:
            return await self._refreshed(owner, kept)
        operation = await self._operations.find(task_id)
        if operation is None:
            raise TaskNotFoundError
        return Standing(Draft(task_id, context_id_of(task_id)).of_operation(operation), operation)

    async def _refreshed(self, owner: Owner, kept: Kept) -> Standing:
        standing = Standing(kept.task)
        if not kept.is_operation or is_final(kept.task):
            return standing
        operation = await self._operations.find(kept.task.id)
        return standing if operation is None else self._note(owner, standing.draft(), operation)


def _require_supported(params: SendMessageRequest) -> None:
    validate_history_length(params.configuration)
    if params.configuration.HasField("task_push_notification_config"):
        raise PushNotificationNotSupportedError


def _owner(context: ServerCallContext) -> Owner:
    return context.state[_OWNER]


def _request_id() -> str:
    call = current_call()
    return call.request_id if call else ""
