"""Google's errors, in the words and shapes that Google uses for them."""

from collections.abc import Mapping
from typing import Any

STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class ApiError(Exception):
    """A refusal as Google words it: HTTP status, reason and message."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        domain: str = "global",
        headers: Mapping[str, str] | None = None,
        location: Mapping[str, str] | None = None,
        short: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.domain = domain
        self.headers = dict(headers or {})
        self.location = dict(location or {})
        self.short = short or message

    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        detail = {"message": self.short, "domain": self.domain, "reason": self.reason, **self.location}
        name = STATUS_NAMES.get(self.status, "UNKNOWN")
        return {"error": {"code": self.status, "message": self.message, "errors": [detail], "status": name}}


class ConnectionDropped(Exception):  # noqa: N818 - an event at the socket, not a refusal
    """The answer is a closed connection."""


def invalid(message: str, reason: str = "invalidArgument") -> ApiError:
    return ApiError(400, reason, message)


def not_found(message: str = "Requested entity was not found.") -> ApiError:
    return ApiError(404, "notFound", message)


def too_large() -> ApiError:
    return ApiError(413, "uploadTooLarge", "Request Entity Too Large")


def unauthenticated() -> ApiError:
    return ApiError(
        401,
        "authError",
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or "
        "other valid authentication credential. See "
        "https://developers.google.com/identity/sign-in/web/devconsole-project.",
        headers={"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/", error="invalid_token"'},
        location={"location": "Authorization", "locationType": "header"},
        short="Invalid Credentials",
    )


def delegation_denied(user: str) -> ApiError:
    return ApiError(403, "forbidden", f"Delegation denied for {user}")


def over_quota(retry_after_s: int) -> ApiError:
    """Per-minute units of one user are used up: Google answers 403, not 429."""
    return ApiError(
        403,
        "rateLimitExceeded",
        "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute per user' of service "
        "'gmail.googleapis.com' for consumer 'project_number:123456789012'.",
        domain="usageLimits",
        headers={"Retry-After": str(retry_after_s)},
    )


def too_many_at_once() -> ApiError:
    return ApiError(
        429, "rateLimitExceeded", "Too many concurrent requests for user", headers={"Retry-After": "1"}
    )


def injected(status: int, reason: str | None, retry_after_s: float | None) -> ApiError:
    """An error that a test asked for by the control API."""
    default = {429: "rateLimitExceeded", 403: "userRateLimitExceeded"}.get(status, "backendError")
    headers = {} if retry_after_s is None else {"Retry-After": f"{retry_after_s:g}"}
    domain = "usageLimits" if status in {403, 429} else "global"
    return ApiError(status, reason or default, "Backend Error", domain=domain, headers=headers)
