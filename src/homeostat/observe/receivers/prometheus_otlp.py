"""Prometheus' series as OTLP metrics. Used by ``prometheus_write`` (what is sent) and ``prometheus_text`` (scraped).

The rules are those of OpenTelemetry's "Prometheus and OpenMetrics Compatibility": names stay as they are, counters
are monotonic cumulative sums, ``job`` is service.name (``namespace/name`` where it has a slash), ``instance`` is
service.instance.id, ``otel_scope_*`` name the scope, the staleness marker is "no recorded value".
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as otlp

from homeostat.core.errors import TelemetryRejectedError

Labels = dict[str, str]
Resource = tuple[tuple[str, str], ...]
"""Attributes of a resource, sorted."""

STALE_BITS: Final = 0x7FF0000000000002
"""The NaN with which Prometheus says that a series has ended."""

_SCOPE_NAME: Final = "otel_scope_name"
_SCOPE_VERSION: Final = "otel_scope_version"
_SUM_SUFFIXES: Final = ("_total", "_bucket", "_count", "_sum")
_CUMULATIVE: Final = otlp.AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
_NO_VALUE: Final = otlp.DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
_POINT_COST: Final = 64  # bytes of a point beside its labels
_REQUEST_BYTES: Final = 4 << 20  # of one request to the intake
_MS: Final = 1_000_000
_LATEST_NS: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Family:
    """What is known of a metric beside its samples."""

    kind: str = "unknown"  # of prometheus_proto.TYPE_NAMES
    unit: str = ""
    help: str = ""


UNKNOWN_FAMILY: Final = Family()


@dataclass(frozen=True, slots=True)
class Measured:
    """An exemplar."""

    labels: Mapping[str, str]
    value: float
    time_ms: int


def is_stale(value: float) -> bool:
    """Whether it is the staleness marker."""
    return math.isnan(value) and struct.unpack("<Q", struct.pack("<d", value))[0] == STALE_BITS


def is_counter(name: str, kind: str) -> bool:
    """Whether a series only grows: as its type says, else by the ending of its name."""
    match kind:
        case "counter":
            return True
        case "histogram" | "summary":
            return name.endswith(("_bucket", "_count", "_sum"))
        case "unknown":
            return name.endswith(_SUM_SUFFIXES)
        case _:
            return False


@dataclass(slots=True)
class OtlpMetrics:
    """Collects points into requests of a bounded size. ``bytes_max`` bounds all of them together."""

    bytes_max: int
    _requests: list[ExportMetricsServiceRequest] = field(default_factory=list[ExportMetricsServiceRequest])
    _metrics: dict[tuple[object, ...], otlp.Metric] = field(default_factory=dict[tuple[object, ...], otlp.Metric])
    _scopes: dict[tuple[object, ...], otlp.ScopeMetrics] = field(
        default_factory=dict[tuple[object, ...], otlp.ScopeMetrics]
    )
    _resources: dict[Resource, otlp.ResourceMetrics] = field(default_factory=dict[Resource, otlp.ResourceMetrics])
    _size: int = 0
    _total: int = 0

    def payloads(self) -> list[bytes]:
        """The serialized requests."""
        return [request.SerializeToString() for request in self._requests]

    def number(
        self,
        resource: Resource,
        name: str,
        labels: Labels,
        value: float,
        time_ms: int,
        *,
        family: Family = UNKNOWN_FAMILY,
        start_ms: int = 0,
    ) -> otlp.NumberDataPoint:
        """Add one sample; exemplars may be added to what is returned."""
        shape = "sum" if is_counter(name, family.kind) else "gauge"
        metric, attributes = self._metric(resource, name, labels, shape, family)
        if shape == "sum":
            metric.sum.is_monotonic = True
            metric.sum.aggregation_temporality = _CUMULATIVE
            point = metric.sum.data_points.add()
        else:
            point = metric.gauge.data_points.add()
        _describe(point, attributes, time_ms, start_ms)
        if is_stale(value):
            point.flags = _NO_VALUE
        else:
            point.as_double = value
        return point

    def histogram(
        self, resource: Resource, name: str, labels: Labels, time_ms: int, *, family: Family, start_ms: int = 0
    ) -> otlp.HistogramDataPoint:
        """Add a histogram with explicit bounds; the caller fills the returned point."""
        metric, attributes = self._metric(resource, name, labels, "histogram", family)
        metric.histogram.aggregation_temporality = _CUMULATIVE
        point = metric.histogram.data_points.add()
        _describe(point, attributes, time_ms, start_ms)
        return point

    def exponential(
        self, resource: Resource, name: str, labels: Labels, time_ms: int, *, family: Family, start_ms: int = 0
    ) -> otlp.ExponentialHistogramDataPoint:
        """Add a native histogram; the caller fills the returned point."""
        metric, attributes = self._metric(resource, name, labels, "exponential_histogram", family)
        metric.exponential_histogram.aggregation_temporality = _CUMULATIVE
        point = metric.exponential_histogram.data_points.add()
        _describe(point, attributes, time_ms, start_ms)
        return point

    def summary(
        self, resource: Resource, name: str, labels: Labels, time_ms: int, *, family: Family, start_ms: int = 0
    ) -> otlp.SummaryDataPoint:
        """Add a summary; the caller fills the returned point."""
        metric, attributes = self._metric(resource, name, labels, "summary", family)
        point = metric.summary.data_points.add()
        _describe(point, attributes, time_ms, start_ms)
        return point

    def measured(self, exemplars: list[Measured], into: otlp.NumberDataPoint | otlp.HistogramDataPoint) -> None:
        """Add exemplars to a point. ``trace_id`` and ``span_id`` become ids where they are hexadecimal."""
        for given in exemplars:
            self._account(_POINT_COST + sum(len(key) + len(value) for key, value in given.labels.items()))
            exemplar = into.exemplars.add(time_unix_nano=_nanoseconds(given.time_ms), as_double=given.value)
            exemplar.trace_id = _id(given.labels.get("trace_id", ""), 16)
            exemplar.span_id = _id(given.labels.get("span_id", ""), 8)
            rest = {key: value for key, value in given.labels.items() if key not in {"trace_id", "span_id"}}
            exemplar.filtered_attributes.extend(_attributes(rest))

    def _account(self, size: int) -> None:
        self._size += size
        self._total += size
        if self._total > self.bytes_max:
            raise TelemetryRejectedError(
                f"The samples take more than {self.bytes_max >> 20} MiB with their labels. Send smaller batches "
                "(max_samples_per_send of Prometheus' queue_config)."
            )

    def _metric(
        self, resource: Resource, name: str, labels: Labels, shape: str, family: Family
    ) -> tuple[otlp.Metric, Labels]:
        """The metric that a point belongs to, and the labels that are the point's own."""
        scope = labels.get(_SCOPE_NAME, ""), labels.get(_SCOPE_VERSION, "")
        own = {key: value for key, value in labels.items() if key not in {_SCOPE_NAME, _SCOPE_VERSION}}
        self._account(_POINT_COST + sum(len(key) + len(value) for key, value in own.items()))
        if not self._requests or self._size > _REQUEST_BYTES:
            self._begin_request()
        key = (resource, scope, name, shape)
        metric = self._metrics.get(key)
        if metric is None:
            self._account(len(name) + len(family.help) + len(family.unit))
            metric = self._scope(resource, *scope).metrics.add(name=name, unit=family.unit, description=family.help)
            self._metrics[key] = metric
        return metric, own

    def _scope(self, resource: Resource, name: str, version: str) -> otlp.ScopeMetrics:
        scope = self._scopes.get((resource, name, version))
        if scope is None:
            scope = self._resource(resource).scope_metrics.add()
            scope.scope.name, scope.scope.version = name, version
            self._scopes[resource, name, version] = scope
        return scope

    def _resource(self, resource: Resource) -> otlp.ResourceMetrics:
        found = self._resources.get(resource)
        if found is None:
            self._account(sum(len(key) + len(value) for key, value in resource))
            found = self._requests[-1].resource_metrics.add()
            found.resource.attributes.extend(_attributes(dict(resource)))
            self._resources[resource] = found
        return found

    def _begin_request(self) -> None:
        self._requests.append(ExportMetricsServiceRequest())
        self._metrics.clear()
        self._scopes.clear()
        self._resources.clear()
        self._size = 0


def resource_of(labels: Labels, more: Mapping[str, str] | None = None) -> Resource:
    """The resource that ``job`` and ``instance`` name; both are taken out of the labels."""
    attributes = dict(more or {})
    job, instance = labels.pop("job", ""), labels.pop("instance", "")
    if job:
        namespace, slash, name = job.partition("/")
        attributes["service.name"] = name if slash and name else job
        if slash and name:
            attributes["service.namespace"] = namespace
    if instance:
        attributes["service.instance.id"] = instance
    return tuple(sorted(attributes.items()))


Point = otlp.NumberDataPoint | otlp.HistogramDataPoint | otlp.ExponentialHistogramDataPoint | otlp.SummaryDataPoint


def _describe(point: Point, labels: Labels, time_ms: int, start_ms: int) -> None:
    point.attributes.extend(_attributes(labels))
    point.time_unix_nano = _nanoseconds(time_ms)
    point.start_time_unix_nano = _nanoseconds(start_ms)


def _nanoseconds(time_ms: int) -> int:
    """Unix time; what is before 1970 or behind the year 2262 lies at the edge."""
    return min(max(0, time_ms) * _MS, _LATEST_NS)


def milliseconds(seconds: float) -> int:
    """Unix seconds in text as milliseconds; 0 for what is no time."""
    return int(seconds * 1000) if math.isfinite(seconds) and abs(seconds) < _LATEST_NS else 0


def _attributes(labels: Mapping[str, str]) -> list[KeyValue]:
    pairs = [KeyValue(key=key) for key in labels]
    for pair, value in zip(pairs, labels.values(), strict=True):
        pair.value.string_value = value
    return pairs


def _id(text: str, width: int) -> bytes:
    """An id in hexadecimal; none when it is something else."""
    if len(text) != 2 * width:
        return b""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
