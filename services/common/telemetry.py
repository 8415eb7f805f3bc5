"""Logs, traces and metrics of one process, set up in one call.

Logs are JSON lines on standard error with the request id and the trace id. Traces and metrics leave
by OTLP when an endpoint is configured. None of them may hold addresses, subjects, bodies, tokens or
unsubscribe URLs.
"""

import logging
import sys
from collections.abc import Callable
from typing import Any, Final

import orjson
import structlog
from opentelemetry import metrics as otel_metrics
from opentelemetry import trace as otel_trace
from structlog.typing import EventDict, WrappedLogger

from services.common.context import current_call
from services.common.failures import tell_failure
from services.common.settings import BaseServiceSettings
from services.common.tracing import current_trace, span

__all__ = ["get_logger", "record_duration", "span", "start"]

_QUIET_LOGGERS: Final = (
    "asyncio",
    "alembic",
    "googleapiclient",
    "aiohttp.access",
    "uvicorn.access",
    "mcp",
    "procrastinate",
)


def start(service: str, settings: BaseServiceSettings) -> Callable[[], None]:
    """Configure the process's telemetry and return what flushes it at the end."""
    _start_logs(service, settings.log_level)
    if not settings.otel_exporter_otlp_endpoint:
        return lambda: None
    return _start_export(service, settings.otel_exporter_otlp_endpoint)


def get_logger() -> Any:
    """The structured logger. Call it with a stable event name and key=value facts."""
    return structlog.get_logger()


def _start_logs(service: str, level: str) -> None:
    shared = [structlog.stdlib.add_log_level, _add_ids, structlog.processors.TimeStamper(fmt="iso", utc=True)]

    def add_service(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    final = [add_service, tell_failure]
    structlog.configure(
        processors=[*shared, *final, structlog.processors.JSONRenderer(serializer=orjson.dumps)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_keep_first_line, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *final,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    # Only libraries log by this way. At DEBUG they print bodies: whole answers, mail and secrets in them.
    floor = max(logging.getLevelName(level), logging.INFO)
    logging.basicConfig(handlers=[handler], level=floor, force=True)
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


def _keep_first_line(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    # What libraries add below it is the repr of objects and of exceptions.
    event["event"] = str(event.get("event", "")).partition("\n")[0]
    return event


def _add_ids(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if (call := current_call()) is not None:
        event.setdefault("request_id", call.request_id)
    if (trace := current_trace()) is not None:
        event.setdefault("trace_id", trace.trace_id_hex)
    return event


def _start_export(service: str, endpoint: str) -> Callable[[], None]:
    # Imported only when used: the SDK and its exporters are some 20 MB in every process.
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON

    resource = Resource.create({"service.name": service, "service.namespace": "mailwarden"})
    insecure = endpoint.startswith("http://")
    traces = TracerProvider(resource=resource, sampler=ALWAYS_ON, shutdown_on_exit=False)
    traces.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, insecure=insecure), schedule_delay_millis=500)
    )
    otel_trace.set_tracer_provider(traces)
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=endpoint, insecure=insecure))
    meters = MeterProvider(resource=resource, metric_readers=[reader], shutdown_on_exit=False)
    otel_metrics.set_meter_provider(meters)

    def stop() -> None:
        traces.shutdown()
        meters.shutdown()

    return stop


_meter: Final = otel_metrics.get_meter("mailwarden")
_duration: Final = _meter.create_histogram(
    "mailwarden_request_duration_seconds",
    unit="s",
    description="Time to answer a request, by action and outcome.",
)


def record_duration(seconds: float, **labels: str) -> None:
    """Record how long a request took. Labels are few and bounded: service, action, reason."""
    _duration.record(seconds, labels)
