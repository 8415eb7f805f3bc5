"""`AppError` as a problem document (RFC 9457), for every HTTP answer of every edge."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from services.common.errors import AppError, Kind, invalid

CONTENT_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "https://mailwarden.dev/problems/"


class HttpError(AppError):
    """A refusal that HTTP alone knows (405, 413, 415 …): status and title are HTTP's, not the table's."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        kind: Kind = Kind.INVALID_ARGUMENT,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(kind, reason, message)
        self.status = HTTPStatus(status)
        self.headers: Mapping[str, str] = headers or {}


def method_not_allowed(allowed: str) -> HttpError:
    """Refuse an HTTP method. `allowed` is the Allow header (RFC 9110 §10.2.1)."""
    return HttpError(405, "METHOD_NOT_ALLOWED", f"This path allows {allowed}.", headers={"Allow": allowed})


def unreadable(*, is_too_large: bool) -> AppError:
    """Refuse what cannot be read as HTTP. The words of parsers stay out: they quote the client."""
    if is_too_large:
        return HttpError(431, "HEADERS_TOO_LARGE", "The request line or the headers are too long.")
    return invalid("HTTP_MALFORMED", "This is not an HTTP request that can be read.")


@dataclass(frozen=True, slots=True)
class Problem:
    """Status, headers and body of an error answer."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


def problem_of(error: AppError, *, request_id: str, instance: str, challenge: str = "") -> Problem:
    """Render an error. `challenge` is its WWW-Authenticate value (RFC 6750 §3); a 401 always has one."""
    status, title = _status_line(error)
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + error.reason.lower().replace("_", "-"),
        "title": title,
        "status": status,
        "detail": error.message,
        "instance": instance,
        "reason": error.reason,
        "request_id": request_id,
    }
    if error.fields:
        body["errors"] = [{"field": f.field, "reason": f.reason, "message": f.message} for f in error.fields]
    if error.retry_after_s is not None:
        body["retry_after_s"] = error.retry_after_s
    return Problem(status, _headers(error, challenge), body)


def _status_line(error: AppError) -> tuple[int, str]:
    if isinstance(error, HttpError):
        return error.status.value, error.status.phrase
    return error.mapped.http_status, error.mapped.title


def _headers(error: AppError, challenge: str) -> dict[str, str]:
    headers = dict(error.headers) if isinstance(error, HttpError) else {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if challenge or error.kind is Kind.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = challenge or "Bearer"
    return headers
