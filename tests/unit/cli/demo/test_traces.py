"""The trace receiver, fed as an exporter feeds it."""

import asyncio

from grpc import aio
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from services.cli.demo.traces import TraceReceiver

TRACE, ROOT = "ab" * 16, "00" * 8


def exported(service: str, span_id: str, parent_id: str) -> trace_service_pb2.ExportTraceServiceRequest:
    """One span, as a batch of one."""
    name = common_pb2.KeyValue(key="service.name", value=common_pb2.AnyValue(string_value=service))
    span = trace_pb2.Span(
        trace_id=bytes.fromhex(TRACE),
        span_id=bytes.fromhex(span_id), parent_span_id=bytes.fromhex(parent_id),
        name="work", start_time_unix_nano=1_000_000, end_time_unix_nano=3_500_000,
    )  # fmt: skip
    resource = trace_pb2.ResourceSpans(
        resource=resource_pb2.Resource(attributes=[name]), scope_spans=[trace_pb2.ScopeSpans(spans=[span])]
    )
    return trace_service_pb2.ExportTraceServiceRequest(resource_spans=[resource])


async def test_a_trace_is_whole_when_every_service_has_told_its_part() -> None:
    """Parts come in any order; the children may come before their parents."""
    receiver = TraceReceiver()
    endpoint = await receiver.start()
    try:
        async with aio.insecure_channel(endpoint.removeprefix("http://")) as channel:
            stub = trace_service_pb2_grpc.TraceServiceStub(channel)
            waiting = asyncio.create_task(receiver.trace(TRACE, ROOT, ("edge", "core"), 5))
            await stub.Export(exported("core", "22" * 8, "11" * 8))
            assert not waiting.done()
            await stub.Export(exported("edge", "11" * 8, ROOT))
            spans = await waiting
    finally:
        await receiver.stop()
    assert {span.service for span in spans} == {"core", "edge"}
    assert [span.duration_ms for span in spans] == [2.5, 2.5]


async def test_an_incomplete_trace_is_given_as_it_is() -> None:
    """The wait is bounded."""
    receiver = TraceReceiver()
    await receiver.Export(exported("core", "22" * 8, "11" * 8), None)
    assert [span.service for span in await receiver.trace(TRACE, ROOT, ("core",), 0.01)] == ["core"]
    assert await receiver.trace("cd" * 16, ROOT, ("core",), 0.01) == []
