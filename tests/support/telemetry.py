"""Metrics and logs for tests: built with the official protobuf classes, decoded by the real decoders."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from homeostat.api.log_columns import lines
from homeostat.core.logs import LogQuery, LogRecord
from homeostat.core.ports import LogStore
from homeostat.observe.decode.logs import decode_logs
from homeostat.observe.decode.metrics import decode_metrics
from support.spans import NOON_S

DELTA, CUMULATIVE = 1, 2


def ns(at: float) -> int:
    """Seconds from noon as Unix ns."""
    return NOON_S * 10**9 + round(at * 1e9)


def _pairs(pairs: Mapping[str, str]) -> list[KeyValue]:
    built: list[KeyValue] = []
    for key, value in pairs.items():
        pair = KeyValue(key=key)
        pair.value.string_value = value
        built.append(pair)
    return built


@dataclass(frozen=True)
class L:
    """A log record in few words. ``at`` is in seconds from noon."""

    body: str = "hello"
    at: float = 0.0
    service: str = "shop"
    severity: int = 9
    trace: int | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


def logs_body(records: Iterable[L]) -> bytes:
    """The serialized request, one ResourceLogs for each record."""
    request = ExportLogsServiceRequest()
    for record in records:
        of_resource = request.resource_logs.add()
        of_resource.resource.attributes.extend(_pairs({"service.name": record.service}))
        built = of_resource.scope_logs.add().log_records.add()
        built.time_unix_nano = built.observed_time_unix_nano = ns(record.at)
        built.severity_number = record.severity  # pyright: ignore[reportAttributeAccessIssue]
        built.body.string_value = record.body
        if record.trace is not None:
            built.trace_id, built.span_id = record.trace.to_bytes(16, "big"), (1).to_bytes(8, "big")
        built.attributes.extend(_pairs(record.attributes))
    return request.SerializeToString()


async def exported(store: LogStore, query: LogQuery) -> list[LogRecord]:
    """All records of an export, by way of NDJSON."""
    return [LogRecord.model_validate_json(line) async for part in store.export(query) for line in lines(part)]


def logs_table(records: Sequence[L]) -> pa.Table:
    """The decoded columns."""
    return decode_logs([logs_body(records)]).table


def metrics_body(metrics: Iterable[Metric], service: str = "shop") -> bytes:
    """The serialized request."""
    request = ExportMetricsServiceRequest()
    of_resource = request.resource_metrics.add()
    of_resource.resource.attributes.extend(_pairs({"service.name": service}))
    of_resource.scope_metrics.add().metrics.extend(metrics)
    return request.SerializeToString()


def metrics_table(metrics: Iterable[Metric], service: str = "shop") -> pa.Table:
    """The decoded columns."""
    return decode_metrics([metrics_body(metrics, service)]).table


def gauge(name: str, points: Sequence[tuple[float, float]], labels: Mapping[str, str] | None = None) -> Metric:
    """Points are (seconds from noon, value)."""
    metric = Metric(name=name, unit="1", description="a gauge")
    for at, value in points:
        metric.gauge.data_points.add(time_unix_nano=ns(at), as_double=value, attributes=_pairs(labels or {}))
    return metric


def counter(
    name: str,
    points: Sequence[tuple[float, float, float | None]],
    labels: Mapping[str, str] | None = None,
    temporality: int = CUMULATIVE,
) -> Metric:
    """Points are (seconds from noon, value, start in seconds from noon or None)."""
    metric = Metric(name=name)
    metric.sum.is_monotonic = True
    metric.sum.aggregation_temporality = temporality  # pyright: ignore[reportAttributeAccessIssue]
    for at, value, start in points:
        metric.sum.data_points.add(
            time_unix_nano=ns(at),
            start_time_unix_nano=0 if start is None else ns(start),
            as_double=value,
            attributes=_pairs(labels or {}),
        )
    return metric


def histogram(
    name: str,
    points: Sequence[tuple[float, float, Sequence[int]]],
    bounds: Sequence[float],
    temporality: int = CUMULATIVE,
    labels: Mapping[str, str] | None = None,
) -> Metric:
    """Points are (seconds from noon, start in seconds from noon, counts of the buckets)."""
    metric = Metric(name=name)
    metric.histogram.aggregation_temporality = temporality  # pyright: ignore[reportAttributeAccessIssue]
    for at, start, counts in points:
        metric.histogram.data_points.add(
            time_unix_nano=ns(at),
            start_time_unix_nano=ns(start),
            count=sum(counts),
            sum=float(sum(counts)),
            explicit_bounds=bounds,
            bucket_counts=counts,
            attributes=_pairs(labels or {}),
        )
    return metric
