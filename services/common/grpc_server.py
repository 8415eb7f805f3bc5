"""One way to serve gRPC: mutual TLS, every method through the dispatcher, health, drain."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio  # pyright: ignore[reportAttributeAccessIssue]
from grpc_status import rpc_status

from services.common.dispatch import Dispatcher, Envelope
from services.common.errors import AppError
from services.common.grpc_status import to_status
from services.common.policy import Policy, methods_of
from services.common.tls import TlsFiles, peer_name

MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
MAX_METADATA_BYTES: Final = 32 * 1024
"""Room for a passport of many mailboxes. Beyond the soft limit gRPC refuses at random (RED)."""
OPTIONS: Final = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", 2 * MAX_METADATA_BYTES),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 20_000),
    ("grpc.max_connection_age_ms", 15 * 60_000),
    ("grpc.max_connection_age_grace_ms", 60_000),
)


@dataclass(frozen=True, slots=True)
class Service:
    """A proto service and the object whose snake_case methods answer it."""

    descriptor: ServiceDescriptor
    handler: object


class GrpcServer:
    """A listening server. `serving` is what health answers; `port` is the bound one."""

    def __init__(self, dispatcher: Dispatcher, tls: TlsFiles, services: Sequence[Service]) -> None:
        self._server = aio.server(options=OPTIONS)
        self._tls = tls
        self._health = health_aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._server.add_generic_rpc_handlers(
            tuple(_generic_handler(dispatcher, service) for service in services)
        )
        self.port = 0

    async def start(self, listen: str) -> int:
        """Bind and serve, unready; returns the port. Raises OSError when the address is taken."""
        try:
            self.port = self._server.add_secure_port(listen, self._tls.server_credentials())
        except RuntimeError as error:
            raise OSError(f"cannot listen on {listen}: is the port taken?") from error
        await self.set_serving(False)
        await self._server.start()
        return self.port

    async def set_serving(self, is_serving: bool) -> None:
        """Tell health checks whether to send us work."""
        status = health_pb2.HealthCheckResponse
        await self._health.set("", status.SERVING if is_serving else status.NOT_SERVING)

    async def stop(self, drain_s: float) -> None:
        """Turn unready, let calls in flight finish within `drain_s`, close."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(drain_s)

    async def serve_until(self, stop: asyncio.Event, drain_s: float) -> None:
        """Serve until `stop` is set, then drain."""
        await stop.wait()
        await self.stop(drain_s)


def _generic_handler(dispatcher: Dispatcher, service: Service) -> grpc.GenericRpcHandler:
    handlers = {
        method.name: _method_handler(
            dispatcher, method, policy, getattr(service.handler, snake_case(method.name))
        )
        for method, policy in methods_of(service.descriptor)
    }
    return grpc.method_handlers_generic_handler(service.descriptor.full_name, handlers)


def _method_handler(
    dispatcher: Dispatcher, method: MethodDescriptor, policy: Policy, handler: Any
) -> grpc.RpcMethodHandler:
    async def unary(request: Any, context: aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await dispatcher.unary(policy, handler, request, _envelope(context))
        except AppError as error:
            await context.abort_with_status(rpc_status.to_status(to_status(error)))

    async def stream(request: Any, context: aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        try:
            async for answer in dispatcher.stream(policy, handler, request, _envelope(context)):
                yield answer
        except AppError as error:
            await context.abort_with_status(rpc_status.to_status(to_status(error)))

    request_class, response_class = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    make = (
        grpc.unary_stream_rpc_method_handler
        if method.server_streaming
        else grpc.unary_unary_rpc_method_handler
    )
    return make(
        stream if method.server_streaming else unary,
        request_deserializer=request_class.FromString,
        response_serializer=response_class.SerializeToString,
    )


def _envelope(context: aio.ServicerContext[Any, Any]) -> Envelope:
    metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    names = context.auth_context().get("x509_subject_alternative_name", ())
    return Envelope(peer_name(names), metadata, context.time_remaining())


def snake_case(name: str) -> str:
    """`ListMailboxes` → `list_mailboxes`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
