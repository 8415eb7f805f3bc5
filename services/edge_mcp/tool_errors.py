"""`AppError` as an MCP error result: text that a model can act on, and the same as structured content.

Unexpected exceptions become the bare internal error; nothing of their text leaves the process.
"""

import re
from typing import Any, Final

from mcp_types import CallToolResult, TextContent
from pydantic import ValidationError

from services.common.errors import AppError, FieldError, Kind
from services.common.validation import field_reason

_MAX_FIELDS: Final = 10
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def error_content(error: AppError, request_id: str) -> dict[str, Any]:
    """Give the structured content of an error (`outputs.ERROR_SCHEMA`)."""
    return {
        "reason": error.reason,
        "message": error.message,
        "retryable": error.mapped.retryable,
        "retry_after_s": error.retry_after_s,
        "request_id": request_id,
        "fields": [{"field": f.field, "reason": f.reason, "message": f.message} for f in error.fields],
    }


def error_text(error: AppError, request_id: str) -> str:
    """Say what went wrong and what to do, for clients that show a model nothing but text."""
    lines = [f"{error.reason}: {error.message}"]
    lines += [f"- {f.field}: {f.message}" for f in error.fields if f.message != error.message]
    if error.retry_after_s is not None:
        lines.append(f"Retry in {error.retry_after_s:g} s.")
    elif error.mapped.retryable:
        lines.append("The same call may succeed later.")
    lines.append(f"Request id: {request_id}")
    return "\n".join(lines)


def error_result(error: AppError, request_id: str) -> CallToolResult:
    """Render an error as the result of a tool."""
    return CallToolResult(
        content=[TextContent(text=error_text(error, request_id))],
        structured_content=error_content(error, request_id),
        is_error=True,
    )


def arguments_invalid(error: ValidationError) -> AppError:
    """Name the arguments that do not fit a tool's input schema, without repeating their values."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    fields = tuple(
        FieldError(_path(problem["loc"]), field_reason(problem["type"]), problem["msg"])
        for problem in problems[:_MAX_FIELDS]
    )
    message = "The arguments do not fit the tool's input schema."
    return AppError(Kind.INVALID_ARGUMENT, "ARGUMENTS_INVALID", message, fields=fields)


def _path(location: tuple[int | str, ...]) -> str:
    # Names of unknown arguments are the client's own text: shown only when they look like a name.
    return ".".join(part if _NAME.fullmatch(part) else "?" for part in map(str, location))
