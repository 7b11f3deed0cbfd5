"""The observability answers of IAC Dharma 3.0, to the field name, and how ours become theirs.

Where the original answered with an invented figure, the value is measured, or null. Ratios are percent, as theirs.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import BaseModel, Field

from homeostat.api.models import Answer
from homeostat.core.events import Event
from homeostat.core.models import Span, Trace


class ObservabilityInfo(Answer):
    """What answers here."""

    service: str
    version: str
    status: str


class ObservabilityHealth(Answer):
    """``degraded`` while telemetry cannot be stored."""

    status: str
    timestamp: datetime


class DharmaSpan(Answer):
    """A span in their words."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    kind: str
    start_time: datetime
    end_time: datetime
    duration_ms: float
    service_name: str
    attributes: dict[str, str]
    status: str
    error: str | None


class DharmaTrace(Answer):
    """A trace in their words; its root is the span without a parent, or else the first."""

    trace_id: str
    root_span: DharmaSpan
    spans: list[DharmaSpan]
    total_duration_ms: float
    service_count: int
    span_count: int
    error_count: int
    start_time: datetime
    end_time: datetime


class SubmittedType(StrEnum):
    """Their kinds of metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    SUMMARY = "summary"


class DharmaMetric(Answer):
    """One value of a metric."""

    name: str
    type: str
    value: float
    timestamp: datetime
    labels: dict[str, str]
    unit: str


class CorrelationEvent(Answer):
    """An event in their words. ``related_logs`` are questions to this server."""

    id: str
    timestamp: datetime
    event_type: str
    title: str
    description: str
    affected_services: list[str]
    related_traces: list[str]
    related_metrics: list[str]
    related_logs: list[str]
    severity: str


class Correlation(Answer):
    """The events of a time, newest first."""

    time_window_minutes: int
    events_found: int
    events: list[CorrelationEvent]


class DharmaServiceHealth(Answer):
    """A service over the last five minutes; ``unknown`` and null where there was no request."""

    service_name: str
    status: str  # healthy | degraded | down | unknown
    availability: float | None  # percent
    avg_latency_ms: float | None
    error_rate: float | None  # percent
    request_rate: float | None  # per second
    last_deployment: datetime | None
    active_alerts: int


class DashboardSlo(Answer):
    """An objective, short."""

    name: str
    service: str
    status: str
    current: float | None
    target: float
    error_budget: float | None


class Dashboard(Answer):
    """All at one glance. Totals are since the process started; null where nobody counts."""

    timestamp: datetime
    slos: list[DashboardSlo]
    services_health: list[DharmaServiceHealth]
    recent_events: list[CorrelationEvent]
    total_traces: int | None
    total_metrics: int


class TraceBody(BaseModel):
    """A span that the caller tells of. Only the first two are the original's."""

    service_name: str | None = Field(default=None, min_length=1, max_length=200)
    operation: str | None = Field(default=None, min_length=1, max_length=500)
    duration_ms: float | None = Field(default=None, ge=0, le=86_400_000, allow_inf_nan=False)
    error: str | None = Field(default=None, max_length=2000)
    attributes: dict[str, str] = Field(default_factory=dict, max_length=64)


class MetricBody(BaseModel):
    """A measurement."""

    name: str | None = Field(default=None, min_length=1, max_length=500)
    value: float | None = Field(default=None, allow_inf_nan=False)
    type: SubmittedType = SubmittedType.GAUGE
    labels: dict[str, str] = Field(default_factory=dict, max_length=64)
    unit: str = Field(default="", max_length=100)


def dharma_trace(trace: Trace) -> DharmaTrace | None:
    """None for a trace without spans."""
    if not trace.spans:
        return None
    spans = [_span(span) for span in trace.spans]
    root = next((span for span in spans if span.parent_span_id is None), spans[0])
    start, end = min(span.start_time for span in spans), max(span.end_time for span in spans)
    return DharmaTrace(
        trace_id=trace.trace_id,
        root_span=root,
        spans=spans,
        total_duration_ms=(end - start) / timedelta(milliseconds=1),
        service_count=len({span.service_name for span in spans}),
        span_count=len(spans),
        error_count=sum(span.status == "error" for span in spans),
        start_time=start,
        end_time=end,
    )


def _span(span: Span) -> DharmaSpan:
    failed = span.status == "error"
    return DharmaSpan(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_span_id,
        name=span.name,
        kind=span.kind,
        start_time=span.start,
        end_time=span.start + timedelta(milliseconds=span.duration_ms),
        duration_ms=span.duration_ms,
        service_name=span.service,
        attributes=span.attributes,
        status="error" if failed else "ok",  # they know no third
        error=span.status_message if failed else None,
    )


def correlation_event(event: Event, logs: str) -> CorrelationEvent:
    """``logs``: the question to the log store that belongs to the event."""
    return CorrelationEvent(
        id=event.id,
        timestamp=event.time,
        event_type=event.type.value,
        title=event.title,
        description=event.description,
        affected_services=list(event.services),
        related_traces=list(event.traces),
        related_metrics=list(event.metrics),
        related_logs=[logs],
        severity=event.severity.value,
    )


def last_deployment(events: Sequence[Event], service: str) -> datetime | None:
    """When the service was deployed last. ``events``: deployments, newest first."""
    return next((one.time for one in events if one.change == "deployment" and service in one.services), None)
