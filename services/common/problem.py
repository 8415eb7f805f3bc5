"""`AppError` as a problem document (RFC 9457), for every HTTP answer of every edge."""

import math
from dataclasses import dataclass
from typing import Any, Final

from services.common.errors import AppError, Kind

CONTENT_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "https://mailwarden.dev/problems/"


@dataclass(frozen=True, slots=True)
class Problem:
    """Status, headers and body of an error answer."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


def problem_of(
    error: AppError, *, request_id: str, instance: str, status: int | None = None, challenge: str = "Bearer"
) -> Problem:
    """Render an error.

    `status` overrides the table for what HTTP alone knows (405, 413, 415); `challenge` is the
    WWW-Authenticate value of a 401 (RFC 6750 §3).
    """
    status = status or error.mapped.http_status
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + error.reason.lower().replace("_", "-"),
        "title": error.mapped.title,
        "status": status,
        "detail": error.message,
        "instance": instance,
        "reason": error.reason,
        "request_id": request_id,
    }
    if error.fields:
        body["errors"] = [{"field": f.field, "reason": f.reason, "message": f.message} for f in error.fields]
    headers: dict[str, str] = {}
    if error.retry_after_s is not None:
        body["retry_after_s"] = error.retry_after_s
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if error.kind is Kind.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = challenge
    return Problem(status, headers, body)
