"""A trace backend for one demo: receives OTLP over gRPC and draws one trace as a tree."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from grpc import aio
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

HOST: Final = "127.0.0.1"
_NS_PER_MS: Final = 1_000_000
_SERVICE_NAME: Final = "service.name"


@dataclass(frozen=True, slots=True)
class Span:
    """One step of one process. Times in nanoseconds since 1970."""

    trace_id: str
    id: str
    parent_id: str
    service: str
    name: str
    start_ns: int
    end_ns: int

    @property
    def duration_ms(self) -> float:
        """How long it took."""
        return (self.end_ns - self.start_ns) / _NS_PER_MS


@dataclass(slots=True)
class TraceReceiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps every span that the services export."""

    spans: dict[str, list[Span]] = field(default_factory=lambda: defaultdict(list))
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _server: aio.Server | None = None

    async def start(self) -> str:
        """Serve on a free port; answers with the endpoint that services export to."""
        self._server = aio.server(options=(("grpc.so_reuseport", 0),))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._server)
        port = self._server.add_insecure_port(f"{HOST}:0")
        await self._server.start()
        return f"http://{HOST}:{port}"

    async def stop(self) -> None:
        """Stop serving."""
        if self._server:
            await self._server.stop(None)

    async def Export(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802  the name is OTLP's
        """Take a batch of spans. Called by the exporters."""
        for resource in request.resource_spans:
            attributes = {item.key: item.value.string_value for item in resource.resource.attributes}
            for scope in resource.scope_spans:
                for raw in scope.spans:
                    span = _span(raw, attributes.get(_SERVICE_NAME, "?"))
                    self.spans[span.trace_id].append(span)
        self._arrived.set()
        return trace_service_pb2.ExportTraceServiceResponse()

    async def trace(
        self, trace_id: str, root_id: str, services: Collection[str], timeout_s: float
    ) -> Sequence[Span]:
        """Wait for a trace that hangs together under `root_id` and has spans of all these services.

        Services export on their own time, one after the other. After `timeout_s` answers with what there is.
        """

        def is_whole() -> bool:
            spans = self.spans[trace_id]
            known = {span.id for span in spans} | {root_id}
            is_connected = all(span.parent_id in known for span in spans)
            return is_connected and {span.service for span in spans}.issuperset(services)

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not is_whole():
                    self._arrived.clear()
                    await self._arrived.wait()
        return sorted(self.spans[trace_id], key=lambda span: span.start_ns)


def _span(raw: Any, service: str) -> Span:
    return Span(
        trace_id=raw.trace_id.hex(),
        id=raw.span_id.hex(),
        parent_id=raw.parent_span_id.hex(),
        service=service,
        name=raw.name,
        start_ns=raw.start_time_unix_nano,
        end_ns=raw.end_time_unix_nano,
    )


def children_of(spans: Sequence[Span]) -> dict[str, list[Span]]:
    """Spans by the id of their parent, in the order of their start."""
    found: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        found[span.parent_id].append(span)
    return found
