"""`AppError` as a gRPC status with google.rpc details, and back."""

from typing import Final

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc import aio
from grpc_status import rpc_status

from services.common.errors import BY_GRPC_CODE, DOMAIN, AppError, FieldError, Kind, internal

_NANOS: Final = 1_000_000_000
_OURS_TO_HIDE: Final = frozenset({Kind.INTERNAL})


def to_status(error: AppError) -> status_pb2.Status:
    """Write an error as a status with ErrorInfo, and RetryInfo and BadRequest where they apply."""
    status = status_pb2.Status(code=error.mapped.grpc_code, message=error.message)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=dict(error.metadata))
    status.details.append(_packed(info))
    if error.retry_after_s is not None:
        seconds, nanos = divmod(round(error.retry_after_s * _NANOS), _NANOS)
        delay = duration_pb2.Duration(seconds=seconds, nanos=nanos)
        status.details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    if error.fields:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=f.field, reason=f.reason, description=f.message)
            for f in error.fields
        ]
        status.details.append(_packed(error_details_pb2.BadRequest(field_violations=violations)))
    return status


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def from_rpc_error(error: aio.AioRpcError, peer: str) -> AppError:
    """Rebuild the error that a peer raised; what the transport itself raised becomes `<PEER>_DOWN`."""
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]
    except ValueError:  # details that contradict the code are nobody's of ours
        status = None
    if status is not None:
        rebuilt = _from_status(status)
        if rebuilt is not None:
            return rebuilt
    return _from_code(error.code(), peer)


def _from_status(status: status_pb2.Status) -> AppError | None:
    info, retry, bad = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.RetryInfo(),
        error_details_pb2.BadRequest(),
    )
    for detail in status.details:
        for message in (info, retry, bad):
            if detail.Is(message.DESCRIPTOR):  # pyright: ignore[reportArgumentType]
                detail.Unpack(message)
    if info.domain != DOMAIN:
        return None
    fields = tuple(FieldError(v.field, v.reason, v.description) for v in bad.field_violations)
    delay = retry.retry_delay
    retry_after_s = delay.seconds + delay.nanos / _NANOS if retry.HasField("retry_delay") else None
    kind = BY_GRPC_CODE.get(status.code, Kind.INTERNAL)
    return AppError(
        kind,
        info.reason,
        status.message,
        retry_after_s=retry_after_s,
        fields=fields,
        metadata=dict(info.metadata),
    )


def _from_code(code: grpc.StatusCode, peer: str) -> AppError:
    kind = BY_GRPC_CODE.get(code.value[0], Kind.INTERNAL)
    if kind in _OURS_TO_HIDE or code.value[0] == code_pb2.UNKNOWN:
        return internal()
    if kind is Kind.UNAVAILABLE:
        return AppError(
            kind, f"{peer.upper()}_DOWN", "A service that this needs does not answer.", retry_after_s=1.0
        )
    return AppError(kind, kind.value, "The request could not be served.")
