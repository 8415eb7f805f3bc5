"""Builds tasks and their events: from results, from errors, and from operations of the core."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from a2a.types.a2a_pb2 import (
    Artifact,
    Message,
    Part,
    Role,
    Task,
    TaskArtifactUpdateEvent,
    TaskState,
    TaskStatus,
    TaskStatusUpdateEvent,
)
from google.protobuf import message as protobuf
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from protos.mail.v1.resources_pb2 import Operation, OperationKind, OperationState
from services.common.errors import AppError
from services.common.following import is_final as is_final_operation
from services.common.proto_json import enum_words, to_dict
from services.edge_a2a.actions import EXECUTE_UNSUBSCRIBE, SCAN_MAILBOX, Action
from services.edge_a2a.summaries import summary_of
from services.edge_a2a.task_errors import data_of, failed_state

JSON: Final = "application/json"
TEXT: Final = "text/plain"
RESULT: Final = "result"
"""Id of the one artifact of a task."""

FINAL_STATES: Final = frozenset(
    {
        TaskState.TASK_STATE_COMPLETED,
        TaskState.TASK_STATE_FAILED,
        TaskState.TASK_STATE_CANCELED,
        TaskState.TASK_STATE_REJECTED,
    }
)
WAITING_STATES: Final = frozenset({TaskState.TASK_STATE_INPUT_REQUIRED, TaskState.TASK_STATE_AUTH_REQUIRED})
"""States in which the next message is awaited."""

_STATES: Final = {
    OperationState.OPERATION_STATE_QUEUED: TaskState.TASK_STATE_SUBMITTED,
    OperationState.OPERATION_STATE_RUNNING: TaskState.TASK_STATE_WORKING,
    OperationState.OPERATION_STATE_SUCCEEDED: TaskState.TASK_STATE_COMPLETED,
    OperationState.OPERATION_STATE_FAILED: TaskState.TASK_STATE_FAILED,
    OperationState.OPERATION_STATE_CANCELLED: TaskState.TASK_STATE_CANCELED,
}
_ACTION_OF_KIND: Final = {
    OperationKind.OPERATION_KIND_SCAN: SCAN_MAILBOX,
    OperationKind.OPERATION_KIND_UNSUBSCRIBE: EXECUTE_UNSUBSCRIBE,
}
_KIND_WORDS: Final = {number: word for word, number in enum_words(OperationKind.DESCRIPTOR).items()}


@dataclass(frozen=True, slots=True)
class Draft:
    """What is known of a task before its outcome: its ids and the messages so far."""

    task_id: str
    context_id: str
    history: Sequence[Message] = ()

    def task(self, status: TaskStatus, artifacts: Sequence[Artifact] = ()) -> Task:
        """Make the task."""
        return Task(
            id=self.task_id,
            context_id=self.context_id,
            status=status,
            artifacts=artifacts,
            history=self.history,
        )

    def completed(self, action: Action, result: protobuf.Message) -> Task:
        """Make a task that has its result."""
        return self.task(_status(TaskState.TASK_STATE_COMPLETED), [_artifact(action, result)])

    def failed(self, error: AppError, request_id: str) -> Task:
        """Make a task that an error ended, or that waits for the owner to connect Gmail again."""
        says = [text_part(error.message), data_part(data_of(error, request_id))]
        return self.task(_status(failed_state(error), self.reply(says)))

    def input_required(self, text: str, data: dict[str, Any]) -> Task:
        """Make a task that waits for a message that can be understood."""
        says = [text_part(text), data_part(data)]
        return self.task(_status(TaskState.TASK_STATE_INPUT_REQUIRED, self.reply(says)))

    def canceled(self) -> Task:
        """Make a task that was given up while it waited."""
        return self.task(_status(TaskState.TASK_STATE_CANCELED))

    def of_operation(self, operation: Operation) -> Task:
        """Render an operation of the core as a task."""
        says = _words_about(operation)
        message = self.reply(says, operation.update_time) if says else None
        status = _status(_STATES[operation.state], message, operation.update_time)
        task = self.task(status, _artifacts_of(operation))
        task.metadata.update({"operation_id": operation.id, "kind": _KIND_WORDS[operation.kind]})
        return task

    def reply(self, parts: Sequence[Part], at: Timestamp | None = None) -> Message:
        """Make a message of the agent about this task."""
        moment = at or _now()
        return Message(
            message_id=f"{self.task_id}-{moment.ToMilliseconds()}",
            task_id=self.task_id,
            context_id=self.context_id,
            role=Role.ROLE_AGENT,
            parts=parts,
        )


def is_final(task: Task) -> bool:
    """Whether nothing will change any more."""
    return task.status.state in FINAL_STATES


def is_waiting(task: Task) -> bool:
    """Whether the task waits for a message of the client."""
    return task.status.state in WAITING_STATES


def opening(task: Task) -> Task:
    """Give the task as a stream begins with it: at work, without what later events will bring."""
    first = Task()
    first.CopyFrom(task)
    if is_final(task):
        first.ClearField("artifacts")
        first.status.CopyFrom(_status(TaskState.TASK_STATE_WORKING, at=task.status.timestamp))
    return first


def events_between(old: Task, new: Task) -> Iterator[TaskArtifactUpdateEvent | TaskStatusUpdateEvent]:
    """Give the events that lead from one state of a task to the next, artifacts first."""
    for artifact in new.artifacts[len(old.artifacts) :]:
        yield TaskArtifactUpdateEvent(
            task_id=new.id, context_id=new.context_id, artifact=artifact, last_chunk=True
        )
    if new.status != old.status:
        yield TaskStatusUpdateEvent(task_id=new.id, context_id=new.context_id, status=new.status)


def data_part(data: dict[str, Any]) -> Part:
    """Make a part of JSON."""
    return Part(data=ParseDict(data, Value()), media_type=JSON)


def text_part(text: str) -> Part:
    """Make a part of text."""
    return Part(text=text, media_type=TEXT)


def _status(state: Any, message: Message | None = None, at: Timestamp | None = None) -> TaskStatus:
    return TaskStatus(state=state, message=message, timestamp=at or _now())


def _now() -> Timestamp:
    moment = Timestamp()
    moment.GetCurrentTime()
    moment.nanos -= moment.nanos % 1_000_000
    return moment


def _artifact(action: Action, result: protobuf.Message) -> Artifact:
    parts = [data_part(to_dict(result)), text_part(summary_of(result))]
    return Artifact(artifact_id=RESULT, name=action.id, parts=parts)


def _artifacts_of(operation: Operation) -> list[Artifact]:
    kind = operation.WhichOneof("result")
    if kind is None or not is_final_operation(operation):
        return []
    return [_artifact(_ACTION_OF_KIND[operation.kind], getattr(operation, kind))]


def _words_about(operation: Operation) -> list[Part]:
    if operation.state == OperationState.OPERATION_STATE_FAILED:
        error = operation.error
        data = {"reason": error.reason, "message": error.message, "operation_id": operation.id}
        return [text_part(error.message), data_part(data)]
    if is_final_operation(operation) or not operation.HasField("progress"):
        return []
    progress = operation.progress
    total = f" of {progress.total}" if progress.total else ""
    text = f"{progress.phase or 'working'}: {progress.done}{total}"
    return [text_part(text), data_part({"progress": to_dict(progress)})]
