"""W3C trace context by hand, and spans only where a trace is sampled (ADR: tracing).

Whether a trace is sampled is decided once, at the edge that starts it. Unsampled requests cost one
random number and one header; the OpenTelemetry SDK is touched only by sampled ones.
"""

import contextlib
import random
import re
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from opentelemetry import trace as otel
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from services.common.context import undo
from services.common.errors import AppError

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_random: Final = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Trace:
    """Where we are in a trace: the W3C `traceparent` header as numbers."""

    trace_id: int
    span_id: int
    is_sampled: bool

    @property
    def trace_id_hex(self) -> str:
        """The trace id as 32 hex digits, as logs and problem documents show it."""
        return f"{self.trace_id:032x}"

    def to_traceparent(self) -> str:
        """Write the `traceparent` header (W3C Trace Context §3.2)."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{int(self.is_sampled):02x}"


def parse_traceparent(text: str | None) -> Trace | None:
    """Read a `traceparent` header (W3C Trace Context §3.2); None when it is absent or malformed."""
    match = _TRACEPARENT.fullmatch(text or "")
    if match is None or not _is_known_version(match[1], more=match[5] is not None):
        return None
    trace_id, span_id = int(match[2], 16), int(match[3], 16)
    return Trace(trace_id, span_id, bool(int(match[4], 16) & 1)) if trace_id and span_id else None


def _is_known_version(version: str, *, more: bool) -> bool:
    # Version 00 ends with the flags, later ones may go on (§3.2.4); ff is no version.
    return version != "ff" and not (version == "00" and more)


def start_trace(sample_ratio: float) -> Trace:
    """Begin a trace, sampled with the given probability."""
    is_sampled = sample_ratio > 0 and _random.random() < sample_ratio
    return Trace(_random.getrandbits(128) | 1, _random.getrandbits(64) | 1, is_sampled)


_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


def current_trace() -> Trace | None:
    """The trace that this task works for."""
    return _current.get()


@contextlib.contextmanager
def within(trace: Trace | None) -> Iterator[None]:
    """Work for a trace."""
    token = _current.set(trace)
    try:
        yield
    finally:
        undo(_current, token)


Attribute = str | int | float | bool


@contextlib.contextmanager
def span(name: str, kind: SpanKind = SpanKind.INTERNAL, **attributes: Attribute) -> Iterator[Span]:
    """Record a span around a block when the current trace is sampled; otherwise do nothing.

    Attributes must never hold addresses, subjects, bodies, tokens or unsubscribe URLs. A failure is
    recorded by its stable reason or its type, never by its text.
    """
    trace = _current.get()
    if trace is None or not trace.is_sampled:
        yield otel.INVALID_SPAN
        return
    recording = _start(name, kind, trace, attributes)
    context = recording.get_span_context()
    token = _current.set(Trace(context.trace_id, context.span_id, is_sampled=True))
    try:
        yield recording
    except BaseException as error:
        recording.set_status(Status(StatusCode.ERROR, _reason(error)))
        raise
    finally:
        undo(_current, token)
        recording.end()


def _start(name: str, kind: SpanKind, trace: Trace, attributes: dict[str, Attribute]) -> Span:
    parent = SpanContext(trace.trace_id, trace.span_id, is_remote=True, trace_flags=TraceFlags(1))
    context = otel.set_span_in_context(NonRecordingSpan(parent))
    tracer = otel.get_tracer("mailwarden")
    return tracer.start_span(name, context=context, kind=kind, attributes=attributes)


def _reason(error: BaseException) -> str:
    return error.reason if isinstance(error, AppError) else type(error).__name__
