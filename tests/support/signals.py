"""What a shop says and measures beside its spans: log records and metrics over OTLP, for the tests of those pages."""

import hashlib
import time
from dataclasses import dataclass

import httpx2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs, SeverityNumber
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    Exemplar,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

EDGES_MS = [5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0]
"""Upper bounds of the histogram's buckets."""


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def _id(name: str, size: int) -> bytes:
    return hashlib.sha256(name.encode()).digest()[:size]


def trace_of(name: str) -> str:
    """The trace id in hex that a purchase of ``support.shop.market`` (or a record here) has under this name."""
    return _id(name, 16).hex()


def _post(otlp_url: str, path: str, content: bytes) -> None:
    headers = {"content-type": "application/x-protobuf"}
    httpx2.post(f"{otlp_url}{path}", content=content, headers=headers, timeout=20).raise_for_status()


def _record(service: str, number: int, trace: str, time_ns: int) -> LogRecord:
    declined = number % 20 == 19
    severity, body = SeverityNumber.SEVERITY_NUMBER_INFO, f"charged card for cart c-{number} in {6 + number % 9} ms"
    if declined:
        severity, body = SeverityNumber.SEVERITY_NUMBER_ERROR, f"bank declined cart c-{number}: code 51"
    elif number % 8 == 0:
        severity, body = SeverityNumber.SEVERITY_NUMBER_WARN, f"shard 7 answered after {400 + number % 60} ms"
    elif number % 5 == 0:
        severity, body = SeverityNumber.SEVERITY_NUMBER_DEBUG, f"cache miss for item {1000 + number}"
    return LogRecord(
        time_unix_nano=time_ns,
        severity_number=severity,
        severity_text="",
        body=AnyValue(string_value=body),
        trace_id=_id(trace, 16),
        span_id=_id(trace + service, 8),
        attributes=[_text("shop.cart", f"c-{number}"), _text("shop.region", ("eu", "us")[number % 2])],
    )


def say(otlp_url: str, name: str, records: int, *, from_ns: int, every_ms: float, service: str = "payment") -> None:
    """So many log records of one service, each with the trace ``"{name} {number}"``. Raises when they are refused."""
    said = [
        _record(service, number, f"{name} {number}", from_ns + int(number * every_ms * 1e6))
        for number in range(records)
    ]
    resource = Resource(attributes=[_text("service.name", service), _text("service.version", "1.4.2")])
    _post(
        otlp_url,
        "/v1/logs",
        ExportLogsServiceRequest(
            resource_logs=[ResourceLogs(resource=resource, scope_logs=[ScopeLogs(log_records=said)])]
        ).SerializeToString(),
    )


@dataclass(frozen=True)
class Moment:
    """What one export of the meters says; the counters go on from one to the next."""

    name: str  # of the traces that its exemplars point to
    number: int
    from_ns: int  # in which counting began
    time_ns: int


def _histogram(moment: Moment) -> Metric:
    each = moment.number + 1
    buckets = [0, 20 * each, 30 * each, 10 * each, 4 * each, 2 * each, each + (moment.number // 4), 0, 0]
    trace = f"{moment.name} {moment.number % 40}"
    exemplar = Exemplar(
        time_unix_nano=moment.time_ns,
        as_double=420.0 + moment.number % 30,
        trace_id=_id(trace, 16),
        span_id=_id(trace + "payment", 8),
    )
    point = HistogramDataPoint(
        attributes=[_text("shop.region", "eu")],
        start_time_unix_nano=moment.from_ns,
        time_unix_nano=moment.time_ns,
        count=sum(buckets),
        sum=18.0 * sum(buckets),
        bucket_counts=buckets,
        explicit_bounds=EDGES_MS,
        exemplars=[exemplar],
    )
    histogram = Histogram(data_points=[point], aggregation_temporality=AGGREGATION_TEMPORALITY_CUMULATIVE)
    return Metric(name="shop.charge.duration", unit="ms", description="Time to charge a card", histogram=histogram)


def _points(moment: Moment, *, steps: dict[str, int], counts: bool) -> list[NumberDataPoint]:
    return [
        NumberDataPoint(
            attributes=[_text("shop.region", region)],
            start_time_unix_nano=moment.from_ns if counts else 0,
            time_unix_nano=moment.time_ns,
            as_int=step * (moment.number + 1) if counts else step + moment.number % 7,
        )
        for region, step in steps.items()
    ]


def measure(otlp_url: str, moment: Moment, *, service: str = "payment") -> None:
    """One export: a histogram with an exemplar, a counter and a gauge. Raises when it is refused."""
    sold = Sum(
        data_points=_points(moment, steps={"eu": 70, "us": 40}, counts=True),
        aggregation_temporality=AGGREGATION_TEMPORALITY_CUMULATIVE,
        is_monotonic=True,
    )
    waiting = Gauge(data_points=_points(moment, steps={"eu": 12, "us": 5}, counts=False))
    metrics = [
        _histogram(moment),
        Metric(name="shop.items.sold", unit="{item}", description="Items that were paid for", sum=sold),
        Metric(name="shop.queue.length", unit="{order}", description="Orders that wait", gauge=waiting),
    ]
    resource = Resource(attributes=[_text("service.name", service)])
    _post(
        otlp_url,
        "/v1/metrics",
        ExportMetricsServiceRequest(
            resource_metrics=[ResourceMetrics(resource=resource, scope_metrics=[ScopeMetrics(metrics=metrics)])]
        ).SerializeToString(),
    )


def measure_for(otlp_url: str, name: str, *, minutes: int, every_s: int = 30) -> None:
    """Exports that cover the last ``minutes``."""
    now_ns = time.time_ns()
    from_ns = now_ns - minutes * 60_000_000_000
    for number in range(minutes * 60 // every_s):
        measure(otlp_url, Moment(name, number, from_ns, from_ns + (number + 1) * every_s * 1_000_000_000))
