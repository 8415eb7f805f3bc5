"""One error for the whole house and one table for how it reads on every wire.

`AppError` is raised where something goes wrong; only the rims (gRPC dispatcher, problem documents,
MCP results, A2A errors) translate it, all by `TABLE`. The table holds plain numbers and strings, so
this module needs no protocol's SDK.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

DOMAIN: Final = "mailwarden"


class Kind(Enum):
    """What class of failure it is. Names follow google/rpc/code.proto."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    ABORTED = "ABORTED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    UNAVAILABLE = "UNAVAILABLE"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    CANCELLED = "CANCELLED"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class Mapped:
    """How one kind reads on each wire. HTTP follows google/rpc/code.proto, A2A its JSON-RPC binding."""

    grpc_code: int
    http_status: int
    a2a_code: int
    title: str
    retryable: bool = False


_A2A_INVALID_PARAMS: Final = -32602
_A2A_INTERNAL: Final = -32603
_A2A_UNSUPPORTED: Final = -32004

TABLE: Final[Mapping[Kind, Mapped]] = {
    Kind.INVALID_ARGUMENT: Mapped(3, 400, _A2A_INVALID_PARAMS, "Invalid request"),
    Kind.UNAUTHENTICATED: Mapped(16, 401, _A2A_INTERNAL, "Not authenticated"),
    Kind.PERMISSION_DENIED: Mapped(7, 403, _A2A_INTERNAL, "Not allowed"),
    Kind.NOT_FOUND: Mapped(5, 404, _A2A_INTERNAL, "Not found"),
    Kind.ALREADY_EXISTS: Mapped(6, 409, _A2A_INTERNAL, "Already exists"),
    Kind.ABORTED: Mapped(10, 409, _A2A_INTERNAL, "Conflict", retryable=True),
    Kind.FAILED_PRECONDITION: Mapped(9, 400, _A2A_INTERNAL, "Not possible in the present state"),
    Kind.RESOURCE_EXHAUSTED: Mapped(8, 429, _A2A_INTERNAL, "Too many requests", retryable=True),
    Kind.UNAVAILABLE: Mapped(14, 503, _A2A_INTERNAL, "Temporarily unavailable", retryable=True),
    Kind.DEADLINE_EXCEEDED: Mapped(4, 504, _A2A_INTERNAL, "Took too long", retryable=True),
    Kind.CANCELLED: Mapped(1, 499, _A2A_INTERNAL, "Cancelled"),
    Kind.UNIMPLEMENTED: Mapped(12, 501, _A2A_UNSUPPORTED, "Not supported"),
    Kind.INTERNAL: Mapped(13, 500, _A2A_INTERNAL, "Something went wrong"),
}

BY_GRPC_CODE: Final[Mapping[int, Kind]] = {mapped.grpc_code: kind for kind, mapped in TABLE.items()}


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field of a request. `field` is a dotted path in the caller's words."""

    field: str
    reason: str
    message: str


class AppError(Exception):
    """A failure that a caller may see.

    `reason` is UPPER_SNAKE, stable and named in the proto; `message` is safe to show;
    `retry_after_s` is how many seconds to wait before the same call can succeed.
    """

    def __init__(
        self,
        kind: Kind,
        reason: str,
        message: str,
        *,
        retry_after_s: float | None = None,
        fields: tuple[FieldError, ...] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{reason}: {message}")
        self.kind = kind
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s
        self.fields = fields
        self.metadata: Mapping[str, str] = metadata or {}

    @property
    def mapped(self) -> Mapped:
        """How this error reads on each wire."""
        return TABLE[self.kind]


def invalid(reason: str, message: str, *, field: str = "") -> AppError:
    """Make an INVALID_ARGUMENT; `field` names the culprit when there is one."""
    fields = (FieldError(field, reason, message),) if field else ()
    return AppError(Kind.INVALID_ARGUMENT, reason, message, fields=fields)


def not_found(reason: str, message: str) -> AppError:
    """Make a NOT_FOUND: absent, or not the caller's to see."""
    return AppError(Kind.NOT_FOUND, reason, message)


def unauthenticated(reason: str, message: str) -> AppError:
    """Make an UNAUTHENTICATED: who is calling could not be established."""
    return AppError(Kind.UNAUTHENTICATED, reason, message)


def denied(reason: str, message: str, **metadata: str) -> AppError:
    """Make a PERMISSION_DENIED: known, and not allowed."""
    return AppError(Kind.PERMISSION_DENIED, reason, message, metadata=metadata)


def precondition(reason: str, message: str) -> AppError:
    """Make a FAILED_PRECONDITION: right request, wrong moment; the message says the next step."""
    return AppError(Kind.FAILED_PRECONDITION, reason, message)


def unavailable(reason: str, message: str, *, retry_after_s: float | None = 1.0) -> AppError:
    """Make an UNAVAILABLE: something we need does not answer."""
    return AppError(Kind.UNAVAILABLE, reason, message, retry_after_s=retry_after_s)


def exhausted(reason: str, message: str, *, retry_after_s: float) -> AppError:
    """Make a RESOURCE_EXHAUSTED: a limit or quota is used up."""
    return AppError(Kind.RESOURCE_EXHAUSTED, reason, message, retry_after_s=retry_after_s)


def deadline_exceeded() -> AppError:
    """Make the DEADLINE_EXCEEDED that every hop may answer."""
    return AppError(Kind.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "The request took longer than its deadline.")


def internal() -> AppError:
    """Make the bare error that stands for everything unexpected. The cause stays in the log."""
    return AppError(
        Kind.INTERNAL, "INTERNAL", "Something went wrong. Quote the request id when you report it."
    )
