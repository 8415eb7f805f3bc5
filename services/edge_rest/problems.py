"""Everything that can go wrong, as problem documents (RFC 9457)."""

from typing import Any, Final

import orjson
from aiohttp import web
from pydantic import ValidationError

from services.common.errors import AppError, FieldError, Kind, internal, not_found
from services.common.problem import CONTENT_TYPE, HttpError, method_not_allowed, problem_of
from services.common.validation import field_reason

_UNREAD_BODY: Final = frozenset({408, 413})
"""What is left of the body is not worth reading, so the connection ends."""
MAX_FIELDS: Final = 20
MAX_FIELD_CHARS: Final = 128


def problem_response(error: AppError, *, request_id: str, instance: str, challenge: str = "") -> web.Response:
    """Render an error as an answer, with its challenge (`ProtectedResource.challenge`)."""
    problem = problem_of(error, request_id=request_id, instance=harmless(instance), challenge=challenge)
    response = web.Response(
        status=problem.status,
        headers=problem.headers,
        body=orjson.dumps(problem.body),
        content_type=CONTENT_TYPE,
    )
    if problem.status in _UNREAD_BODY:
        response.force_close()
    return response


def from_http_exception(error: web.HTTPException) -> AppError:
    """Name what aiohttp refused by itself."""
    if error.status == web.HTTPNotFound.status_code:
        return not_found("PATH_UNKNOWN", "There is nothing here. GET /openapi.json lists what there is.")
    if isinstance(error, web.HTTPMethodNotAllowed):
        return method_not_allowed(", ".join(sorted(error.allowed_methods)))
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return body_too_large()
    return internal()


def body_too_large(max_body_bytes: int | None = None) -> HttpError:
    """Refuse a body that is longer than we read."""
    limit = f" At most {max_body_bytes} bytes are read." if max_body_bytes else ""
    return HttpError(413, "BODY_TOO_LARGE", f"The body is too long.{limit}")


def from_validation(error: ValidationError) -> AppError:
    """Name the fields that do not have the shape that the route takes; at most 20 of them."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    fields = tuple(_field_error(problem) for problem in problems[:MAX_FIELDS])
    names = ", ".join(field.field for field in fields[:3])
    message = f"The request does not have the expected shape: see {names}."
    return AppError(Kind.INVALID_ARGUMENT, "REQUEST_INVALID", message, fields=fields)


def _field_error(problem: Any) -> FieldError:
    path = harmless(".".join(str(part) for part in problem["loc"]))[:MAX_FIELD_CHARS]
    return FieldError(path or "body", field_reason(problem["type"]), problem["msg"])


def harmless(text: str) -> str:
    """Make a client's text fit for JSON: lone surrogates have no UTF-8."""
    return text.encode("utf-8", "replace").decode()
