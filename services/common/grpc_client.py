"""One way to call a peer: mutual TLS, passport, trace, deadline, retries as data, errors rebuilt.

`Channel` offers what generated stubs ask of a grpc.aio channel, so `MailServiceStub(channel)` works as
it is, and another transport can take this place without touching a caller.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Final

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.trace import SpanKind

from services.common.context import bounded_timeout_s, current_call
from services.common.dispatch import PASSPORT_KEY, REQUEST_ID_KEY, TRACEPARENT_KEY
from services.common.errors import AppError, Kind, unauthenticated
from services.common.grpc_server import MAX_MESSAGE_BYTES, MAX_METADATA_BYTES
from services.common.grpc_status import from_rpc_error
from services.common.policy import Policy, policy_of
from services.common.tls import TlsFiles
from services.common.tracing import current_trace, span

OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # An error with many fields travels as metadata.
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", 2 * MAX_METADATA_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A peer that was restarted is found again before the retries of a call are used up.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.lb_policy_name", "round_robin"),
)
MAX_TRIES: Final = 4
_FIRST_BACKOFF_S: Final = 0.1
_CERTIFICATE_CHECK_S: Final = 5.0


class Channel:
    """A lasting connection to one backend, renewed when our certificate changes."""

    def __init__(self, address: str, audience: str, tls: TlsFiles) -> None:
        self.audience = audience
        self._address = address
        self._tls = tls
        self._fingerprint = tls.fingerprint()
        self._checked_at = time.monotonic()
        self._wire = self._connect()
        self._closing: set[asyncio.Task[None]] = set()
        self._methods: list[_Method] = []

    def unary_unary(
        self, path: str, request_serializer: Any, response_deserializer: Any, **_: Any
    ) -> "UnaryMethod":
        """Make a method that answers once. Called by generated stubs."""
        method = UnaryMethod(
            self, path, lambda wire: wire.unary_unary(path, request_serializer, response_deserializer)
        )
        self._methods.append(method)
        return method

    def unary_stream(
        self, path: str, request_serializer: Any, response_deserializer: Any, **_: Any
    ) -> "StreamMethod":
        """Make a method that answers with a stream. Called by generated stubs."""
        method = StreamMethod(
            self, path, lambda wire: wire.unary_stream(path, request_serializer, response_deserializer)
        )
        self._methods.append(method)
        return method

    async def is_serving(self, timeout_s: float = 1.0) -> bool:
        """Ask the peer's health service (grpc.health.v1)."""
        try:
            stub = health_pb2_grpc.HealthStub(self.wire())
            check: Any = stub.Check  # pyright: ignore[reportAttributeAccessIssue]
            answer = await check(health_pb2.HealthCheckRequest(), timeout=timeout_s)
        except aio.AioRpcError:
            return False
        return answer.status == health_pb2.HealthCheckResponse.SERVING

    async def close(self) -> None:
        """Close the connection for good."""
        await self._wire.close()
        # gRPC's objects complain when they outlive the interpreter, as in some cache that holds on to us.
        for method in self._methods:
            method.release()
        del self._wire

    def wire(self) -> aio.Channel:
        """The gRPC channel to use now."""
        if time.monotonic() - self._checked_at > _CERTIFICATE_CHECK_S:
            self._renew_when_changed()
        return self._wire

    def _connect(self) -> aio.Channel:
        return aio.secure_channel(self._address, self._tls.channel_credentials(), options=OPTIONS)

    def _renew_when_changed(self) -> None:
        self._checked_at = time.monotonic()
        fingerprint = self._tls.fingerprint()
        if fingerprint == self._fingerprint:
            return
        self._fingerprint = fingerprint
        old, self._wire = self._wire, self._connect()
        closing = asyncio.create_task(old.close(grace=30))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


class _Method:
    """What both kinds of method share: which gRPC callable, which metadata, which deadline."""

    def __init__(self, channel: Channel, path: str, bind: Callable[[aio.Channel], Any]) -> None:
        self.policy = policy_of(_descriptor(path))
        self._channel = channel
        self._bind = bind
        self._bound_to: aio.Channel | None = None
        self._bound: Any = None

    def _callable(self) -> Any:
        wire = self._channel.wire()
        if wire is not self._bound_to:
            self._bound_to, self._bound = wire, self._bind(wire)
        return self._bound

    def release(self) -> None:
        """Let go of gRPC's objects."""
        self._bound_to = self._bound = None

    def _is_renewed(self, error: AppError, metadata: list[tuple[str, str]]) -> bool:
        """Whether a call that was refused for its passport is worth a second try with another one.

        The backend has done nothing then. Passports stop being believed when their signing key is dropped.
        """
        call = current_call()
        if error.reason != "PASSPORT_INVALID" or call is None or call.on_passport_refused is None:
            return False
        call.on_passport_refused(self._channel.audience, dict(metadata).get(PASSPORT_KEY, ""))
        return True

    async def _metadata(self) -> list[tuple[str, str]]:
        metadata: list[tuple[str, str]] = []
        call = current_call()
        if call is not None:
            metadata.append((REQUEST_ID_KEY, call.request_id))
        if self.policy.needs_passport:
            metadata.append((PASSPORT_KEY, await _passport_for(self._channel.audience)))
        if (trace := current_trace()) is not None:
            metadata.append((TRACEPARENT_KEY, trace.to_traceparent()))
        return metadata


class UnaryMethod(_Method):
    """A method that answers once: `await stub.ListMailboxes(request)`."""

    async def __call__(self, request: Any) -> Any:
        """Call. Raises AppError."""
        with span(self.policy.action, SpanKind.CLIENT):
            metadata = await self._metadata()
            try:
                return await self._tried(request, metadata)
            except AppError as error:
                if not self._is_renewed(error, metadata):
                    raise
            return await self._tried(request, await self._metadata())

    async def _tried(self, request: Any, metadata: list[tuple[str, str]]) -> Any:
        for delay_s in _backoffs(self.policy):
            try:
                return await self._once(request, metadata)
            except AppError as error:
                if error.kind is not Kind.UNAVAILABLE or not _has_time_for(delay_s):
                    raise
                await asyncio.sleep(delay_s)
        return await self._once(request, metadata)

    async def _once(self, request: Any, metadata: list[tuple[str, str]]) -> Any:
        timeout_s = bounded_timeout_s(self.policy.timeout_s)
        try:
            return await self._callable()(request, timeout=timeout_s, metadata=metadata)
        except aio.AioRpcError as error:
            raise from_rpc_error(error, self._channel.audience) from None


class StreamMethod(_Method):
    """A method that answers with a stream: `async for operation in stub.WatchOperation(request)`."""

    async def __call__(self, request: Any) -> AsyncIterator[Any]:  # type: ignore[override]
        """Call. Raises AppError. The stream has no deadline but the one of the policy."""
        metadata, is_begun = await self._metadata(), False
        try:
            async with contextlib.aclosing(self._once(request, metadata)) as stream:
                async for answer in stream:
                    is_begun = True
                    yield answer
        except AppError as error:
            if is_begun or not self._is_renewed(error, metadata):
                raise
        else:
            return
        async with contextlib.aclosing(self._once(request, await self._metadata())) as stream:
            async for answer in stream:
                yield answer

    async def _once(self, request: Any, metadata: list[tuple[str, str]]) -> AsyncGenerator[Any]:
        stream = self._callable()(request, timeout=self.policy.timeout_s, metadata=metadata)
        try:
            async for answer in stream:
                yield answer
        except aio.AioRpcError as error:
            raise from_rpc_error(error, self._channel.audience) from None
        finally:
            stream.cancel()


async def _passport_for(audience: str) -> str:
    call = current_call()
    if call is None or call.passport_for is None:
        raise unauthenticated("CREDENTIAL_MISSING", "This call needs a credential.")
    return await call.passport_for(audience)


def _backoffs(policy: Policy) -> list[float]:
    if not policy.is_repeatable:
        return []
    return [_FIRST_BACKOFF_S * 3**n * random.uniform(0.5, 1.5) for n in range(MAX_TRIES - 1)]  # noqa: S311 jitter


def _has_time_for(delay_s: float) -> bool:
    call = current_call()
    left = call.time_left_s() if call else None
    return left is None or left > delay_s


def _descriptor(path: str) -> MethodDescriptor:
    return descriptor_pool.Default().FindMethodByName(path.strip("/").replace("/", "."))  # type: ignore[attr-defined]
