"""A collector of OpenTelemetry data (OTLP over gRPC) that keeps what it is sent, as it was sent."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc import aio

_METHODS = tuple(
    f"/opentelemetry.proto.collector.{kind}.v1.{service}/Export"
    for kind, service in (("trace", "TraceService"), ("metrics", "MetricsService"), ("logs", "LogsService"))
)


@dataclass(slots=True)
class Collector:
    """What came in, by method: each entry is one serialized request, in which texts stand in the clear."""

    address: str = ""
    received: dict[str, list[bytes]] = field(default_factory=lambda: {method: [] for method in _METHODS})
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def spans(self) -> bytes:
        """Every span, as bytes."""
        return b"\n".join(self.received[_METHODS[0]])

    @property
    def everything(self) -> bytes:
        """Spans, metrics and logs, as bytes."""
        return b"\n".join(part for parts in self.received.values() for part in parts)

    def handler(self, method: str) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def keep(request: bytes, context: Any) -> bytes:
            self.received[method].append(request)
            self.arrived.set()
            return b""

        return keep


class _Service(grpc.GenericRpcHandler):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method: Any = handler_call_details.method
        if method not in self._collector.received:
            return None
        return grpc.unary_unary_rpc_method_handler(self._collector.handler(method))


@contextlib.asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """Listen on loopback while the block runs."""
    collector, server = Collector(), aio.server()
    server.add_generic_rpc_handlers((_Service(collector),))
    collector.address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield collector
    finally:
        await server.stop(1.0)
