"""One span or one measurement that a caller of the compatible interface tells, as an OTLP request: nothing else.

Called by ``api.observability``; what comes out goes the way of everything that is received.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from homeostat.api.observability_models import MetricBody, SubmittedType
from homeostat.core.models import Span

SCOPE: Final = "homeostat.api.observability"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NANOSECONDS: Final = 1_000
_INCREASE_NS: Final = 1_000_000_000
"""Nobody says since when a counter's increase or an observation counts: within the last second."""

UNKNOWN_SERVICE: Final = "unknown_service"


def one_span(
    unique: str,
    *,
    service: str,
    operation: str,
    start: datetime,
    duration_ms: float,
    error: str | None,
    attributes: dict[str, str],
) -> Span:
    """A root span of kind server. ``unique`` makes its ids."""
    digest = hashlib.sha256(unique.encode()).hexdigest()
    return Span(
        trace_id=digest[:32],
        span_id=digest[32:48],
        parent_span_id=None,
        name=operation,
        kind="server",
        service=service,
        start=start,
        start_unix_nano=_nanoseconds(start),
        duration_ms=duration_ms,
        status="ok" if error is None else "error",
        status_message=error or "",
        attributes=attributes,
        resource={"service.name": service},
        scope=SCOPE,
    )


def span_request(span: Span) -> bytes:
    """A serialized ExportTraceServiceRequest with this span."""
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    of_resource.resource.attributes.extend(_attributes(span.resource))
    of_scope = of_resource.scope_spans.add()
    of_scope.scope.name = span.scope
    failed = span.status == "error"
    of_scope.spans.add(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=bytes.fromhex(span.span_id),
        name=span.name,
        kind=WireSpan.SPAN_KIND_SERVER,
        start_time_unix_nano=span.start_unix_nano,
        end_time_unix_nano=span.start_unix_nano + round(span.duration_ms * 1_000_000),
        attributes=_attributes(span.attributes),
        status=Status(
            code=Status.STATUS_CODE_ERROR if failed else Status.STATUS_CODE_OK, message=span.status_message
        ),
    )
    return request.SerializeToString()


def metric_request(name: str, value: float, given: MetricBody, now: datetime) -> bytes:
    """A serialized ExportMetricsServiceRequest with this value. A counter's value is what is added."""
    request = ExportMetricsServiceRequest()
    of_resource = request.resource_metrics.add()
    service = given.labels.get("service") or given.labels.get("service_name") or UNKNOWN_SERVICE
    of_resource.resource.attributes.extend(_attributes({"service.name": service}))
    of_scope = of_resource.scope_metrics.add()
    of_scope.scope.name = SCOPE
    metric = of_scope.metrics.add(name=name, unit=given.unit)
    _fill(metric, value, given, _nanoseconds(now))
    return request.SerializeToString()


def _fill(metric: Metric, value: float, given: MetricBody, time_ns: int) -> None:
    labels, delta = _attributes(given.labels), AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
    began_ns = time_ns - _INCREASE_NS
    match given.type:
        case SubmittedType.GAUGE:
            metric.gauge.data_points.add(attributes=labels, time_unix_nano=time_ns, as_double=value)
        case SubmittedType.COUNTER:
            metric.sum.aggregation_temporality, metric.sum.is_monotonic = delta, True
            metric.sum.data_points.add(
                attributes=labels, start_time_unix_nano=began_ns, time_unix_nano=time_ns, as_double=value
            )
        case SubmittedType.HISTOGRAM:
            metric.histogram.aggregation_temporality = delta
            metric.histogram.data_points.add(
                attributes=labels,
                start_time_unix_nano=began_ns,
                time_unix_nano=time_ns,
                count=1,
                sum=value,
                min=value,
                max=value,
                bucket_counts=[1],
            )
        case SubmittedType.SUMMARY:
            metric.summary.data_points.add(
                attributes=labels, start_time_unix_nano=began_ns, time_unix_nano=time_ns, count=1, sum=value
            )


def _attributes(values: dict[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in values.items()]


def _nanoseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1) * _NANOSECONDS
