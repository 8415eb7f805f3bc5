"""`AppError` and the SDK's errors as A2A shows them, by the one table of `common.errors`.

Three ways out: what refuses the request itself is an error of the binding; who may not call is an HTTP
401 or 403 (a gRPC status); what went wrong while the work was done is a failed task that says so.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from a2a.types.a2a_pb2 import TaskState
from a2a.utils.error_handlers import A2A_DOMAIN, BAD_REQUEST_TYPE, ERROR_INFO_TYPE
from a2a.utils.errors import A2A_ERROR_REASONS, JSON_RPC_ERROR_CODE_MAP, A2AError

from services.common.errors import DOMAIN, AppError, Kind

RETRY_INFO_TYPE: Final = "type.googleapis.com/google.rpc.RetryInfo"
GRANT_REVOKED: Final = "GMAIL_GRANT_REVOKED"
PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603

_REFUSALS: Final = frozenset(
    {
        Kind.INVALID_ARGUMENT,
        Kind.UNAUTHENTICATED,
        Kind.PERMISSION_DENIED,
        Kind.UNIMPLEMENTED,
        Kind.INTERNAL,
        Kind.CANCELLED,
    }
)
_BY_HTTP_STATUS: Final = frozenset({Kind.UNAUTHENTICATED, Kind.PERMISSION_DENIED})


class RpcError(Exception):
    """An error member of a JSON-RPC response."""

    def __init__(
        self, code: int, message: str, reason: str, details: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        super().__init__(reason)
        self.code = code
        self.message = message
        self.reason = reason
        self.details = details

    def to_dict(self) -> dict[str, Any]:
        """Write the `error` object; `data` is an array of google.rpc details, each with its `@type`."""
        return {"code": self.code, "message": self.message, "data": list(self.details)}


def refuses_request(error: AppError) -> bool:
    """Whether an error says that there is no task, instead of that the task failed."""
    return error.kind in _REFUSALS


def is_http_error(error: AppError) -> bool:
    """Whether an error is answered by an HTTP status, whatever the binding's own errors are."""
    return error.kind in _BY_HTTP_STATUS


def failed_state(error: AppError) -> TaskState.ValueType:
    """Give the state of a task that an error ended, or that waits until the owner connects Gmail again."""
    is_waiting = error.kind is Kind.FAILED_PRECONDITION and error.reason == GRANT_REVOKED
    return TaskState.TASK_STATE_AUTH_REQUIRED if is_waiting else TaskState.TASK_STATE_FAILED


def data_of(error: AppError, request_id: str) -> dict[str, Any]:
    """Write an error as the data part of a failed task's status."""
    data: dict[str, Any] = {
        "reason": error.reason,
        "message": error.message,
        "request_id": request_id,
        "retryable": error.mapped.retryable,
    }
    if error.retry_after_s is not None:
        data["retry_after_s"] = error.retry_after_s
    return data


def rpc_error_of(error: AppError, request_id: str) -> RpcError:
    """Render an error of ours for JSON-RPC."""
    return RpcError(error.mapped.a2a_code, error.message, error.reason, details_of(error, request_id))


def details_of(error: AppError, request_id: str) -> list[dict[str, Any]]:
    """Write google.rpc details: ErrorInfo, and RetryInfo and BadRequest where they apply."""
    # SDK clients show ErrorInfo's metadata and drop its reason when the domain is not the protocol's own.
    metadata = {**error.metadata, "reason": error.reason, "request_id": request_id}
    details = [error_info(error.reason, DOMAIN, metadata)]
    if error.retry_after_s is not None:
        details.append({"@type": RETRY_INFO_TYPE, "retryDelay": f"{error.retry_after_s:g}s"})
    if error.fields:
        details.append(
            bad_request(
                {"field": f.field, "reason": f.reason, "description": f.message} for f in error.fields
            )
        )
    return details


def rpc_error_of_protocol(error: A2AError, request_id: str) -> RpcError:
    """Render one of the protocol's errors, raised by the SDK or by us, for JSON-RPC."""
    reason = A2A_ERROR_REASONS.get(type(error), "INTERNAL_ERROR")
    code = JSON_RPC_ERROR_CODE_MAP.get(type(error), INTERNAL_ERROR)
    details = [error_info(reason, A2A_DOMAIN, {"request_id": request_id})]
    errors = (error.data or {}).get("errors")
    if errors:
        details.append(bad_request({"field": e["field"], "description": e["message"]} for e in errors))
    return RpcError(code, error.message, reason, details)


def protocol_rpc_error(code: int, reason: str, message: str) -> RpcError:
    """Make an error of JSON-RPC itself."""
    return RpcError(code, message, reason, [error_info(reason, A2A_DOMAIN, {})])


def error_info(reason: str, domain: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Write a google.rpc.ErrorInfo."""
    return {"@type": ERROR_INFO_TYPE, "reason": reason, "domain": domain, "metadata": dict(metadata)}


def bad_request(violations: Any) -> dict[str, Any]:
    """Write a google.rpc.BadRequest."""
    return {"@type": BAD_REQUEST_TYPE, "fieldViolations": list(violations)}
