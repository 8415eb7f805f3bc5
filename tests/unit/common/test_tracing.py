"""W3C trace context by hand, and what a span says."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from services.common.errors import denied
from services.common.tracing import Trace, current_trace, parse_traceparent, span, start_trace, within

ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = Trace(int(ID, 16), int(SPAN, 16), is_sampled=True)
_exporter = InMemorySpanExporter()


@pytest.fixture(scope="module", autouse=True)
def _provider() -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(_exporter))
    otel.set_tracer_provider(provider)


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    _exporter.clear()
    yield _exporter
    _exporter.clear()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"00-{ID}-{SPAN}-01", SAMPLED),
        (f"00-{ID}-{SPAN}-00", Trace(SAMPLED.trace_id, SAMPLED.span_id, is_sampled=False)),
        (f"00-{ID}-{SPAN}-03", SAMPLED),  # flags that we do not know are passed over
        (f"00-{ID}-{SPAN}-02", Trace(SAMPLED.trace_id, SAMPLED.span_id, is_sampled=False)),
        (f"cc-{ID}-{SPAN}-01", SAMPLED),  # a later version is read as far as we know it
        (f"cc-{ID}-{SPAN}-01-what-comes-next", SAMPLED),
        (f"cc-{ID}-{SPAN}-01.what", None),
        (f"00-{ID}-{SPAN}-01-more", None),  # version 00 ends with the flags
        (f"ff-{ID}-{SPAN}-01", None),  # no version
        (f"00-{'0' * 32}-{SPAN}-01", None),  # no trace
        (f"00-{ID}-{'0' * 16}-01", None),  # no parent
        (f"00-{ID.upper()}-{SPAN}-01", None),  # lower case only
        (f"00-{ID[:-1]}-{SPAN}-01", None),
        (f"00-{ID}-{SPAN}", None),
        (f"00-{ID}-{SPAN}-01\n", None),
        (f" 00-{ID}-{SPAN}-01", None),
        ("", None),
        (None, None),
    ],
)
def test_traceparent_is_read_as_the_standard_says(text: str | None, expected: Trace | None) -> None:
    """W3C Trace Context §3.2; what is malformed starts a new trace."""
    assert parse_traceparent(text) == expected


@given(st.text(max_size=80))
def test_no_header_breaks_the_reader(text: str) -> None:
    """Headers are the client's to choose."""
    parse_traceparent(text)


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_what_is_written_reads_back(trace_id: int, span_id: int, is_sampled: bool) -> None:
    """Leading zeros included."""
    trace = Trace(trace_id, span_id, is_sampled)
    assert parse_traceparent(trace.to_traceparent()) == trace


def test_the_ratio_decides_who_is_sampled() -> None:
    """Never, always, and never twice the same trace."""
    assert not any(start_trace(0).is_sampled for _ in range(100))
    begun = [start_trace(1) for _ in range(100)]
    assert all(trace.is_sampled for trace in begun)
    assert len({trace.trace_id for trace in begun}) == 100


@pytest.mark.parametrize("trace", [None, Trace(1, 2, is_sampled=False)])
def test_without_sampling_nothing_is_recorded_and_the_context_stays(
    trace: Trace | None, exporter: InMemorySpanExporter
) -> None:
    """The header goes on as it came, so that the next hop decides the same."""
    with within(trace), span("work") as recording:
        assert not recording.is_recording()
        assert current_trace() == trace
    assert exporter.get_finished_spans() == ()


@pytest.mark.promise("traces.whole")
def test_spans_of_one_trace_hang_together(exporter: InMemorySpanExporter) -> None:
    """The outer span is a child of the caller's, the inner of the outer, and both end."""
    with within(SAMPLED):
        with span("outer", service="x"), span("inner"):
            pass
        assert current_trace() == SAMPLED
    inner, outer = exporter.get_finished_spans()
    assert [each.context.trace_id for each in (inner, outer)] == [SAMPLED.trace_id] * 2
    assert outer.parent is not None
    assert inner.parent is not None
    assert outer.parent.span_id == SAMPLED.span_id
    assert inner.parent.span_id == outer.context.span_id
    assert dict(outer.attributes or {}) == {"service": "x"}


def test_the_next_hop_is_told_of_the_innermost_span(exporter: InMemorySpanExporter) -> None:
    """So that its spans become children of it."""
    with within(SAMPLED), span("call"):
        told = current_trace()
    (call,) = exporter.get_finished_spans()
    assert told == Trace(SAMPLED.trace_id, call.context.span_id, is_sampled=True)


@pytest.mark.promise("traces.private")
@pytest.mark.parametrize(
    ("error", "description"),
    [
        (ValueError("planted-secret a@example.org"), "ValueError"),
        (denied("SCOPE_MISSING", "planted-secret"), "SCOPE_MISSING"),
    ],
)
def test_a_failed_span_says_what_kind_and_nothing_more(
    error: Exception, description: str, exporter: InMemorySpanExporter
) -> None:
    """The text of an exception may quote mail: no attribute, event or status holds it."""
    with within(SAMPLED), pytest.raises(type(error)), span("work"):
        raise error
    (failed,) = exporter.get_finished_spans()
    assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, description)
    assert "planted-secret" not in failed.to_json()
    assert failed.events == ()
