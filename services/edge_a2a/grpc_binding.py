"""The gRPC binding: the SDK's servicer behind the same admission as HTTP."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

import grpc
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers.grpc_handler import GrpcHandler, GrpcServerCallContextBuilder
from a2a.types import a2a_pb2, a2a_pb2_grpc
from a2a.utils.error_handlers import A2A_DOMAIN
from a2a.utils.errors import (
    A2A_ERROR_REASONS,
    A2AError,
    InvalidParamsError,
    PushNotificationNotSupportedError,
    UnsupportedOperationError,
    VersionNotSupportedError,
)
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio  # pyright: ignore[reportAttributeAccessIssue]
from grpc_status import rpc_status

from services.common.client_address import FORWARDED_HEADER, Peer
from services.common.edge import REQUEST_ID_HEADER, Admission, Gate, Headers
from services.common.errors import AppError, Kind, internal
from services.common.grpc_status import to_status
from services.common.protected_resource import ProtectedResource
from services.common.telemetry import get_logger
from services.edge_a2a.agent import Agent, state_of
from services.edge_a2a.agent_card import PROTOCOL_VERSION

SERVICE: Final = a2a_pb2.DESCRIPTOR.services_by_name["A2AService"].full_name
VERSION_KEY: Final = "a2a-version"
Context = aio.ServicerContext[Any, Any]

_UNIMPLEMENTED: Final[Mapping[type[A2AError], str]] = {
    kind: A2A_ERROR_REASONS[kind]
    for kind in (PushNotificationNotSupportedError, UnsupportedOperationError, VersionNotSupportedError)
}

_admission: ContextVar[Admission] = ContextVar("admission")


class GrpcBinding:
    """A listening server. Plaintext, or TLS when a certificate is given."""

    def __init__(
        self, agent: Agent, gate: Gate, resource: ProtectedResource, *, max_message_bytes: int
    ) -> None:
        options = (
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 20_000),
        )
        self._server = aio.server(interceptors=[_Rim(gate, resource)], options=options)
        self._health = health_aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        a2a_pb2_grpc.add_A2AServiceServicer_to_server(_Servicer(agent, _ContextBuilder()), self._server)

    async def start(self, listen: str, cert_file: Path | None, key_file: Path | None) -> int:
        """Bind and serve; returns the port. Raises OSError when the address is taken."""
        try:
            port = self._bind(listen, cert_file, key_file)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {listen}: is the port taken?") from error
        await self._server.start()
        await self._health.set("", health_pb2.HealthCheckResponse.SERVING)
        return port

    async def stop(self, drain_s: float) -> None:
        """Turn unready, let calls in flight finish within `drain_s`, close."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(drain_s)

    def _bind(self, listen: str, cert_file: Path | None, key_file: Path | None) -> int:
        if cert_file is None or key_file is None:
            return self._server.add_insecure_port(listen)
        pair = (key_file.read_bytes(), cert_file.read_bytes())
        return self._server.add_secure_port(listen, grpc.ssl_server_credentials([pair]))


class _ContextBuilder(GrpcServerCallContextBuilder):
    def build(self, context: Context) -> ServerCallContext:
        return ServerCallContext(state={"grpc_context": context, **state_of(_admission.get())})


class _Metadata(Headers):
    """Invocation metadata, read like HTTP headers."""

    def __init__(self, raw: Iterable[tuple[str, Any]] | None) -> None:
        self._pairs = [(key.lower(), value) for key, value in raw or () if isinstance(value, str)]
        super().__init__(self._pairs)

    def every(self, key: str) -> list[str]:
        """Every value of a key, in order."""
        return [value for name, value in self._pairs if name == key.lower()]


class _Rim(aio.ServerInterceptor):
    """Admits every call of the A2A service; the health service stays open."""

    def __init__(self, gate: Gate, resource: ProtectedResource) -> None:
        self._gate = gate
        self._resource = resource

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the method that a call is for."""
        handler: Any = await continuation(handler_call_details)
        path: Any = handler_call_details.method
        if handler is None or not path.startswith(f"/{SERVICE}/"):
            return handler
        name = path.rpartition("/")[2]
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(name, handler.unary_stream),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(name, handler.unary_unary), handler.request_deserializer, handler.response_serializer
        )

    def _unary(self, name: str, method: Any) -> Any:
        async def call(request: Any, context: Context) -> Any:
            return await self._admitted(name, context, lambda _: method(request, context))

        return call

    def _stream(self, name: str, method: Any) -> Any:
        # Written out by hand, not yielded: so everything of one call happens in one task and is closed there.
        async def call(request: Any, context: Context) -> None:
            async def write_all(admission: Admission) -> None:
                admission.hold_stream()
                async with aclosing(method(request, context)) as answers:
                    async for answer in answers:
                        await context.write(answer)

            await self._admitted(name, context, write_all)

        return call

    async def _admitted(
        self, name: str, context: Context, work: Callable[[Admission], Awaitable[Any]]
    ) -> Any:
        metadata = _Metadata(context.invocation_metadata())
        peer = Peer.of_grpc(context.peer(), metadata.every(FORWARDED_HEADER))
        with self._gate.admit(metadata, f"GRPC {name}", peer, has_deadline=False) as admission:
            try:
                await _enter(metadata, admission, context)
                return await work(admission)
            except aio.AbortError:
                admission.reason = "REFUSED"
                raise
            except AppError as error:
                await _abort(context, admission, error, self._challenge(admission, error))
            except Exception:  # noqa: BLE001 - the rim: whatever it is, no text of it leaves
                get_logger().exception("unexpected", route=admission.route)
                await _abort(context, admission, internal())

    def _challenge(self, admission: Admission, error: AppError) -> str:
        return self._resource.challenge(error, held=admission.caller.scopes if admission.caller else ())


async def _enter(metadata: _Metadata, admission: Admission, context: Context) -> None:
    try:
        _require_version(metadata.get(VERSION_KEY, ""))
        await admission.authenticate()
        _admission.set(admission)
    finally:  # a refusal too says how the caller stands
        await context.send_initial_metadata(
            (
                (REQUEST_ID_HEADER.lower(), admission.request_id),
                (VERSION_KEY, PROTOCOL_VERSION),
                *((name.lower(), value) for name, value in admission.limit_headers().items()),
            )
        )


def _require_version(version: str) -> None:
    # The service's name says 1.0 already (0.3 is another service), so that a call without a version is clear.
    if version and version.partition(".")[0] != PROTOCOL_VERSION.partition(".")[0]:
        raise AppError(
            Kind.UNIMPLEMENTED,
            _UNIMPLEMENTED[VersionNotSupportedError],
            f"Send a2a-version: {PROTOCOL_VERSION}. No other version is served.",
        )


class _Servicer(GrpcHandler):
    """The SDK's servicer, with the status codes that A2A 1.0.0 §5.4 and its conformance kit demand."""

    async def abort_context(self, error: A2AError, context: Context) -> None:
        """End a call with one of the protocol's errors."""
        reason = _UNIMPLEMENTED.get(type(error))
        if reason is not None:
            raise AppError(Kind.UNIMPLEMENTED, reason, error.message)
        await super().abort_context(error, context)


async def _abort(context: Context, admission: Admission, error: AppError, challenge: str = "") -> None:
    admission.reason = error.reason
    status = to_status(error)
    if (reason := _protocol_reason(error)) is not None:
        # SDK clients look for the protocol's own reason beside ours.
        info = any_pb2.Any()
        info.Pack(error_details_pb2.ErrorInfo(reason=reason, domain=A2A_DOMAIN))
        status.details.append(info)
    await context.abort_with_status(_to_grpc(status, challenge))


def _to_grpc(status: status_pb2.Status, challenge: str) -> Any:
    made: Any = rpc_status.to_status(status)
    if not challenge:
        return made
    # Where HTTP has a header, gRPC has metadata.
    return made._replace(trailing_metadata=(*made.trailing_metadata, ("www-authenticate", challenge)))


def _protocol_reason(error: AppError) -> str | None:
    if error.kind is Kind.INVALID_ARGUMENT:
        return A2A_ERROR_REASONS[InvalidParamsError]
    if error.kind is Kind.UNIMPLEMENTED:
        is_own = error.reason in _UNIMPLEMENTED.values()
        return error.reason if is_own else A2A_ERROR_REASONS[UnsupportedOperationError]
    return None
