"""How an operation reads as the answer of a tool: finished, failed, or still at work."""

from typing import Final

from protos.mail.v1 import resources_pb2
from services.common.context import current_call
from services.common.errors import AppError, Kind
from services.common.following import is_final
from services.edge_mcp.outputs import Output
from services.edge_mcp.tool import Answer
from services.edge_mcp.tool_errors import error_content, error_text

_NO_REPORT: Final = "Nothing had been done."


def operation_answer(
    operation: resources_pb2.Operation, tool: str, report_text: str, output: Output
) -> Answer:
    """Render an operation. A failed one is an error that carries, as `operation`, what it had done."""
    structured = output.render(operation)
    if not is_final(operation):
        return Answer(_still_running(operation, tool), structured)
    report = report_text if operation.WhichOneof("result") else _NO_REPORT
    if operation.state == resources_pb2.OPERATION_STATE_CANCELLED:
        return Answer(f"Cancelled. {report}", structured)
    if operation.state == resources_pb2.OPERATION_STATE_FAILED:
        error = AppError(Kind.FAILED_PRECONDITION, operation.error.reason, operation.error.message)
        call = current_call()
        request_id = call.request_id if call else ""
        content = {**error_content(error, request_id), "operation": structured}
        return Answer(f"{error_text(error, request_id)}\n{report}", content, is_error=True)
    return Answer(report, structured)


def _still_running(operation: resources_pb2.Operation, tool: str) -> str:
    progress = operation.progress
    done = f"{progress.done:,} of {progress.total:,}" if progress.total else f"{progress.done:,}"
    at = f" ({progress.phase}, {done} done)" if progress.phase else ""
    return (
        f"Still running{at}. Call {tool} again with the same arguments and "
        f'request_id "{operation.request_id}" to go on waiting; nothing is started twice.'
    )
