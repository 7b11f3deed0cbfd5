"""Telemetry of the processes of the world: spans, log records and metrics, W3C context in and out, to Homeostat."""

import os
from collections.abc import Mapping
from typing import Final

from opentelemetry._logs import SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanContext, Tracer
from opentelemetry.trace.propagation import set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.trace.status import Status, StatusCode

from homeostat.core.ports import Clock
from homeostat.world.exporter import PatientExporter, PatientLogExporter, PatientMetricExporter

NAMESPACE = "homeostat-demo"
QUEUE_SPANS_MAX = 4_096
BATCH_SPANS_MAX = 512
METRICS_INTERVAL_MS = 5_000
DURATION_EDGES_S: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Those that the semantic conventions advise."""

REQUEST_START_HEADER = "x-request-start"
WAITED_US_MAX = 60_000_000
"""A request that claims to have waited longer than a minute is not believed."""
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class Telemetry:
    """The tracer of one process. ``endpoint`` None: spans are made (so that context flows on) and not sent."""

    def __init__(self, service: str, endpoint: str | None, export_interval_ms: int, clock: Clock) -> None:
        resource = Resource.create(
            {
                "service.name": service,
                "service.namespace": NAMESPACE,
                "service.instance.id": f"{service}-{os.getpid()}",
                "process.pid": os.getpid(),
            }
        )
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        if endpoint is not None:
            self._provider.add_span_processor(
                BatchSpanProcessor(
                    PatientExporter(endpoint, clock.monotonic),
                    max_queue_size=QUEUE_SPANS_MAX,
                    schedule_delay_millis=export_interval_ms,
                    max_export_batch_size=BATCH_SPANS_MAX,
                )
            )
        self.tracer: Tracer = self._provider.get_tracer("homeostat.world")
        self._logs, self._metrics = self._others(resource, endpoint, export_interval_ms, clock)
        self._logger = self._logs.get_logger("homeostat.world")
        self._durations = self._metrics.get_meter("homeostat.world").create_histogram(
            "http.server.request.duration",
            unit="s",
            description="Duration of HTTP server requests.",
            explicit_bucket_boundaries_advisory=DURATION_EDGES_S,
        )

    def _others(
        self, resource: Resource, endpoint: str | None, export_interval_ms: int, clock: Clock
    ) -> tuple[LoggerProvider, MeterProvider]:
        logs = LoggerProvider(resource=resource, shutdown_on_exit=False)
        if endpoint is None:
            return logs, MeterProvider(resource=resource, shutdown_on_exit=False)
        logs.add_log_record_processor(
            BatchLogRecordProcessor(
                PatientLogExporter(endpoint, clock.monotonic), schedule_delay_millis=export_interval_ms
            )
        )
        reader = PeriodicExportingMetricReader(
            PatientMetricExporter(endpoint, clock.monotonic), export_interval_millis=METRICS_INTERVAL_MS
        )
        return logs, MeterProvider([reader], resource=resource, shutdown_on_exit=False)

    def served(self, span: Span, route: str, status: int, duration_s: float, said: str) -> None:
        """Tell of a request: how long it took, and what it was about, as a log record of its span."""
        context = child_context(span)
        attributes: dict[str, str | int] = {
            "http.request.method": "POST",
            "http.route": route,
            "http.response.status_code": status,
        }
        self._durations.record(duration_s, attributes, context=context)
        severity = SeverityNumber.INFO if status < 400 else SeverityNumber.ERROR
        self._logger.emit(
            context=context,
            severity_number=severity,
            severity_text=severity.name,
            body=said,
            attributes=attributes,
        )

    def close(self) -> None:
        """Send what is left."""
        for provider in (self._provider, self._logs, self._metrics):
            provider.shutdown()


def context_in(headers: Mapping[str, str]) -> Context:
    """The caller's trace context from ``traceparent`` and ``tracestate``; an empty one when there is none."""
    return _PROPAGATOR.extract(headers, context=Context())


def headers_out(span: Span) -> dict[str, str]:
    """The headers that make the callee's spans children of this one."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, context=child_context(span))
    return carrier


def request_start(clock: Clock) -> str:
    """The value of ``x-request-start`` for a request that is sent now: Unix microseconds, as proxies write it."""
    return f"t={int(clock.now().timestamp() * 1e6)}"


def arrival_unix_nano(headers: Mapping[str, str], clock: Clock) -> int:
    """When a request was sent to us, else now: a SERVER span that begins then contains the time it waited for us.

    A process that is stopped or starved reads its requests late. Were that time left out, the slow service would look
    fast and the whole delay would seem to be nobody's. Only sensible because all processes share one clock.
    """
    now_us = int(clock.now().timestamp() * 1e6)
    text = headers.get(REQUEST_START_HEADER, "").removeprefix("t=")
    sent_us = int(text) if text.isdigit() and len(text) < 20 else now_us
    return 1_000 * (sent_us if now_us - WAITED_US_MAX <= sent_us <= now_us else now_us)


def child_context(span: Span) -> Context:
    """A context in which new spans are children of this one."""
    return set_span_in_context(span, Context())


def trace_id_of(context: SpanContext) -> str:
    """Lower-case hex."""
    return format(context.trace_id, "032x")


def mark_failed(span: Span, error_type: str, message: str) -> None:
    """Status ERROR with its type, as the semantic conventions have it."""
    span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR, message))
