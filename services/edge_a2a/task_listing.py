"""`ListTasks`: filters, order and paging over the tasks of one caller (A2A 1.0 §3.1.4)."""

from collections.abc import Sequence

from a2a.types.a2a_pb2 import ListTasksRequest, ListTasksResponse, Task
from a2a.utils.constants import DEFAULT_LIST_TASKS_PAGE_SIZE
from a2a.utils.errors import InvalidParamsError
from a2a.utils.task import (
    ListTasksCursor,
    apply_history_length,
    decode_list_tasks_cursor,
    encode_list_tasks_cursor,
    validate_history_length,
    validate_page_size,
)


def require_listable(params: ListTasksRequest) -> None:
    """Check the numbers of a request. Raises InvalidParamsError."""
    validate_history_length(params)
    if params.HasField("page_size"):
        validate_page_size(params.page_size)


def page_of(tasks: Sequence[Task], params: ListTasksRequest) -> ListTasksResponse:
    """Give one page of the tasks that match, those that changed last first. Raises InvalidParamsError."""
    matching = sorted((task for task in tasks if _matches(task, params)), key=_sort_key, reverse=True)
    rest = _after(matching, params.page_token)
    size = params.page_size or DEFAULT_LIST_TASKS_PAGE_SIZE
    page = rest[:size]
    return ListTasksResponse(
        tasks=[_shown(task, params) for task in page],
        next_page_token=encode_list_tasks_cursor(_cursor(page[-1])) if len(rest) > size else "",
        page_size=len(page),
        total_size=len(matching),
    )


def _matches(task: Task, params: ListTasksRequest) -> bool:
    if params.context_id and task.context_id != params.context_id:
        return False
    if params.status and task.status.state != params.status:
        return False
    after = params.status_timestamp_after
    return (
        not params.HasField("status_timestamp_after")
        or task.status.timestamp.ToNanoseconds() >= after.ToNanoseconds()
    )


def _after(tasks: list[Task], page_token: str) -> list[Task]:
    if not page_token:
        return tasks
    cursor = decode_list_tasks_cursor(page_token)
    if cursor is None:
        raise InvalidParamsError("pageToken is not one of ours.")
    return [task for task in tasks if _sort_key(task) < cursor.sort_key()]


def _shown(task: Task, params: ListTasksRequest) -> Task:
    shown = Task()
    shown.CopyFrom(apply_history_length(task, params))
    if not params.include_artifacts:
        shown.ClearField("artifacts")
    return shown


def _cursor(task: Task) -> ListTasksCursor:
    return ListTasksCursor(task.status.timestamp.ToNanoseconds(), task.id)


def _sort_key(task: Task) -> tuple[bool, int, str]:
    return _cursor(task).sort_key()
