"""What each route answers, for the OpenAPI document: the good answer and every documented refusal."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from google.protobuf.descriptor import MethodDescriptor
from pydantic import BaseModel

from protos.auth.v1 import auth_pb2
from protos.mail.v1 import resources_pb2
from services.common.errors import TABLE, AppError, Kind
from services.common.limits import REFUSED
from services.common.policy import policy_of
from services.common.problem import CONTENT_TYPE as PROBLEM_JSON
from services.common.problem import HttpError, problem_of
from services.common.proto_json import to_dict
from services.edge_rest import examples
from services.edge_rest.audit_view import example_of
from services.edge_rest.documented_errors import reasons_of
from services.edge_rest.events import CONTENT_TYPE as EVENT_STREAM
from services.edge_rest.events import operation_event
from services.edge_rest.handlers import NDJSON
from services.edge_rest.routes import Route

Json = dict[str, Any]
SCHEMAS: Final = "#/components/schemas/"

_FIELD: Final[Json] = {
    "type": "object",
    "properties": {
        "field": {"type": "string", "description": "Dotted path in the request."},
        "reason": {"type": "string", "description": "Stable reason, UPPER_SNAKE."},
        "message": {"type": "string", "description": "The same for people."},
    },
    "required": ["field", "reason", "message"],
    "additionalProperties": False,
}
PROBLEM_SCHEMA: Final[Json] = {
    "type": "object",
    "description": "Why a request was not served (RFC 9457).",
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "Names the reason as a URI."},
        "title": {"type": "string", "description": "The class of failure, for people."},
        "status": {"type": "integer", "description": "HTTP status."},
        "detail": {"type": "string", "description": "What happened, safe to show."},
        "instance": {"type": "string", "description": "Path that was asked for."},
        "reason": {"type": "string", "description": "Stable reason, UPPER_SNAKE: what programs look at."},
        "request_id": {"type": "string", "description": "Quote it when you report the problem."},
        "retry_after_s": {
            "type": "number",
            "description": "Seconds after which the same request may succeed.",
        },
        "errors": {"type": "array", "description": "Fields that are wrong.", "items": _FIELD},
    },
    "required": ["type", "title", "status", "detail", "instance", "reason", "request_id"],
    "additionalProperties": False,
}

_REQUEST_ID: Final[Json] = {
    "description": "Finds this request in logs and traces.",
    "schema": {"type": "string"},
}
_LOCATION: Final[Json] = {"description": "Path of the operation.", "schema": {"type": "string"}}
_RETRY_AFTER: Final[Json] = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
_CHALLENGE: Final[Json] = {"description": "How to authenticate (RFC 6750).", "schema": {"type": "string"}}
_LIMITS: Final[Json] = {
    f"X-RateLimit-{name}": {"description": text, "schema": {"type": "integer", "minimum": 0}}
    for name, text in {
        "Limit": "Requests in any 60 seconds, of the credential or of its team: whichever has less left.",
        "Remaining": "How many of them are left.",
        "Reset": "Unix time in seconds from which on more are left.",
    }.items()
}

_HEADERS: Final[Mapping[int, Json]] = {
    401: {"WWW-Authenticate": _CHALLENGE},
    429: {"Retry-After": _RETRY_AFTER, **_LIMITS},
    503: {"Retry-After": _RETRY_AFTER},
}
_HTTP_TITLES: Final[Mapping[int, str]] = {
    408: "The body did not arrive in time",
    413: "The body is too long",
    415: "The body is not JSON",
}
_BODY_REFUSALS: Final[Mapping[int, str]] = {
    408: "BODY_TIMEOUT",
    413: "BODY_TOO_LARGE",
    415: "MEDIA_TYPE_UNSUPPORTED",
}
_ISSUE: Final = auth_pb2.DESCRIPTOR.services_by_name["AuthService"].methods_by_name["IssuePassport"]


def answers_of(route: Route) -> Json:
    """Give the `responses` object of a route."""
    answers = {str(route.status): _success(route)}
    if route.is_stream:
        answers["204"] = _answer("The client has seen the final state already.")
    for status, reasons in sorted(_refusals(route).items()):
        answers[str(status)] = _refusal(status, reasons)
    answers["default"] = _answer("Any other failure.", content=_problem())
    return answers


def _success(route: Route) -> Json:
    if route.shape is not None:
        return _shaped(route, route.shape)
    if route.answer is None:
        return _answer("Yes.", content={"application/json": {"schema": {"type": "object"}}})
    example = examples.ANSWERS[route.answer.name]
    if route.is_stream:
        assert isinstance(example, resources_pb2.Operation)  # noqa: S101 - only operations are watched
        media = {"schema": {"type": "string"}, "example": operation_event(example).decode()}
        text = "Events named `operation` with an Operation as data; comments are signs of life."
        return _answer(text, _LIMITS, {EVENT_STREAM: media})
    media = {"schema": {"$ref": SCHEMAS + route.answer.name}, "example": to_dict(example)}
    if route.takes_idempotency_key:
        headers = {"Location": _LOCATION, **_LIMITS}
        return _answer("The work has been taken on.", headers, {"application/json": media})
    return _answer("The answer.", _LIMITS, {"application/json": media})


def _shaped(route: Route, shape: type[BaseModel]) -> Json:
    example = example_of(shape)
    if route.is_export:
        text = f"One JSON object a line, each a `{shape.__name__}`. A line with `error` ends what broke off."
        return _answer(text, _LIMITS, {NDJSON: {"schema": {"type": "string"}, "example": example}})
    media = {"schema": {"$ref": SCHEMAS + shape.__name__}, "example": example}
    return _answer("The answer.", _LIMITS, {"application/json": media})


def _answer(text: str, headers: Json | None = None, content: Json | None = None) -> Json:
    answer: Json = {"description": text, "headers": {"X-Request-Id": _REQUEST_ID, **(headers or {})}}
    return {**answer, "content": content} if content else answer


# --- refusals


def _refusals(route: Route) -> dict[int, dict[str, Kind]]:
    """Give the documented reasons of a route by status, each with its kind."""
    found: dict[int, dict[str, Kind]] = {}
    for kind, reason in _reasons(route):
        found.setdefault(TABLE[kind].http_status, {}).setdefault(reason, kind)
    if route.body:
        found.update({status: {reason: Kind.INVALID_ARGUMENT} for status, reason in _BODY_REFUSALS.items()})
    return found


def _reasons(route: Route) -> Iterator[tuple[Kind, str]]:
    if route.rpc is None:
        yield from [(Kind.UNAVAILABLE, "NOT_READY")] if route.handler == "ready" else []
        yield from [] if route.is_probe else [_RATE]
        return
    for kind, reasons in reasons_of(route.rpc).items():
        yield from ((kind, reason) for reason in reasons)
    yield from _reasons_of_the_edge(route)
    yield from ((Kind.UNAUTHENTICATED, reason) for reason in reasons_of(_ISSUE)[Kind.UNAUTHENTICATED])
    yield from ((Kind.PERMISSION_DENIED, reason) for reason in _denials(route.rpc))
    yield from _EVERYWHERE


def _reasons_of_the_edge(route: Route) -> Iterator[tuple[Kind, str]]:
    yield Kind.INVALID_ARGUMENT, "CREDENTIAL_AMBIGUOUS"
    if route.body or route.query:
        yield Kind.INVALID_ARGUMENT, "REQUEST_INVALID"
    if route.body:
        yield Kind.INVALID_ARGUMENT, "JSON_INVALID"
    if route.is_stream:
        yield Kind.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS"
    yield _RATE


_RATE: Final = (Kind.RESOURCE_EXHAUSTED, REFUSED)
_EVERYWHERE: Final = (
    (Kind.UNAVAILABLE, "AUTH_DOWN"),
    (Kind.UNAVAILABLE, "MAIL_CORE_DOWN"),
    (Kind.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    (Kind.INTERNAL, "INTERNAL"),
)


def _denials(rpc: MethodDescriptor) -> Iterator[str]:
    policy = policy_of(rpc)
    if policy.any_scope:
        yield "SCOPE_MISSING"
    if policy.mutates:
        yield "READ_ONLY"
    if rpc.containing_service.name == "MailService":
        yield "MAILBOX_NOT_ALLOWED"


def _refusal(status: int, reasons: Mapping[str, Kind]) -> Json:
    listed = ", ".join(f"`{reason}`" for reason in reasons)
    first, kind = next(iter(reasons.items()))
    title = _HTTP_TITLES.get(status, TABLE[kind].title)
    waits_s = 1.0 if "Retry-After" in _HEADERS.get(status, {}) else None
    error = (
        HttpError(status, first, f"{title}.")
        if status in _BODY_REFUSALS
        else AppError(kind, first, f"{title}.", retry_after_s=waits_s)
    )
    example = problem_of(error, request_id=examples.REQUEST_ID, instance="/v1/me").body
    return _answer(f"{title}: {listed}.", _HEADERS.get(status), _problem(example))


def _problem(example: Json | None = None) -> Json:
    media: Json = {"schema": {"$ref": SCHEMAS + "Problem"}}
    return {PROBLEM_JSON: {**media, "example": example} if example else media}
