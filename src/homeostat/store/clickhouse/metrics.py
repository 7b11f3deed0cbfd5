"""Metric points in the five ``otel_metrics_*`` tables, asked by ``store.telemetry`` (``shared.SharedMetrics``)."""

from typing import Any, Final

import pyarrow as pa

from homeostat.core.errors import BadRequestError
from homeostat.store.clickhouse.conditions import Conditions, contains
from homeostat.store.clickhouse.convert import as_schema, json_of, unix_ns
from homeostat.store.clickhouse.engine import Engine
from homeostat.store.clickhouse.tables import METRICS
from homeostat.store.telemetry.metric_schema import METRIC_SCHEMA
from homeostat.store.telemetry.metric_segment import MetricEntry

_POINTS_MAX: Final = 5_000_000  # of one question; their bytes are bounded by the engine
_NAMES_MAX: Final = 10_000  # the first by name: no question may ask for more
_SERVICES_MAX: Final = 1_000
_OBJECTS: Final = frozenset({"resource", "scope_attributes", "labels"})

_NO_FLOAT: Final = "CAST(NULL AS Nullable(Float64))"
_NO_COUNT: Final = "CAST(NULL AS Nullable(UInt64))"
_NO_INT: Final = "CAST(NULL AS Nullable(Int32))"
_NO_COUNTS: Final = "CAST([] AS Array(UInt64))"
_EXEMPLARS: Final = (
    f"CAST(arrayMap((t, v, i, s, a) -> tuple({unix_ns('t')}, v, unhex(i), unhex(s), a), `Exemplars.TimeUnix`, "
    "`Exemplars.Value`, `Exemplars.TraceId`, `Exemplars.SpanId`, `Exemplars.FilteredAttributes`) "
    "AS Array(Tuple(time_ns Int64, value Float64, trace_id String, span_id String, attributes Map(String, String))))"
)
_NO_EXEMPLARS: Final = (
    "CAST([] AS Array(Tuple(time_ns Int64, value Float64, trace_id String, span_id String, "
    "attributes Map(String, String))))"
)
_QUANTILES: Final = (
    "CAST(arrayMap((q, v) -> tuple(q, v), `ValueAtQuantiles.Quantile`, `ValueAtQuantiles.Value`) "
    "AS Array(Tuple(quantile Float64, value Float64)))"
)


def _said(name: str) -> str:
    """What was not said was written as NaN."""
    return f"if(isNaN({name}), NULL, {name})"


_DEFAULTS: Final = {
    "name": "MetricName",
    "unit": "MetricUnit",
    "description": "MetricDescription",
    "temporality": "toInt8(0)",
    "monotonic": "false",
    "service": "ServiceName",
    "resource": json_of("ResourceAttributes"),
    "scope": "ScopeName",
    "scope_version": "ScopeVersion",
    "scope_attributes": json_of("ScopeAttributes"),
    "labels": json_of("Attributes"),
    "time_ns": unix_ns("TimeUnix"),
    "start_ns": unix_ns("StartTimeUnix"),
    "value": _NO_FLOAT,
    "count": _NO_COUNT,
    "sum": _NO_FLOAT,
    "min": _NO_FLOAT,
    "max": _NO_FLOAT,
    "bounds": "CAST([] AS Array(Float64))",
    "bucket_counts": _NO_COUNTS,
    "scale": _NO_INT,
    "zero_count": _NO_COUNT,
    "zero_threshold": _NO_FLOAT,
    "positive_offset": _NO_INT,
    "positive_counts": _NO_COUNTS,
    "negative_offset": _NO_INT,
    "negative_counts": _NO_COUNTS,
    "quantiles": "CAST([] AS Array(Tuple(quantile Float64, value Float64)))",
    "flags": "toUInt32(Flags)",
    "exemplars": _EXEMPLARS,
}
_TEMPORALITY: Final = {"temporality": "toInt8(AggregationTemporality)"}
_DISTRIBUTION: Final = {"count": "Count", "sum": _said("Sum")}
_EXTREMES: Final = {"min": _said("Min"), "max": _said("Max")}
_OF_TYPE: Final = {
    "gauge": {"value": "Value"},
    "sum": {"value": "Value", "monotonic": "IsMonotonic", **_TEMPORALITY},
    "histogram": {
        **_DISTRIBUTION,
        **_EXTREMES,
        **_TEMPORALITY,
        "bounds": "ExplicitBounds",
        "bucket_counts": "BucketCounts",
    },
    "exponential_histogram": {
        **_DISTRIBUTION,
        **_EXTREMES,
        **_TEMPORALITY,
        "scale": "Scale",
        "zero_count": "ZeroCount",
        "positive_offset": "PositiveOffset",
        "positive_counts": "PositiveBucketCounts",
        "negative_offset": "NegativeOffset",
        "negative_counts": "NegativeBucketCounts",
    },
    "summary": {**_DISTRIBUTION, "quantiles": _QUANTILES, "exemplars": _NO_EXEMPLARS},
}


def _entry(number: int, row: dict[str, Any]) -> MetricEntry:
    services = row.pop("services")
    more = len(services) > _SERVICES_MAX
    named = tuple(sorted(services)[:_SERVICES_MAX])
    return MetricEntry(type=number, start=0, stop=0, services=named, more_services=more, **row)


class ClickHouseMetrics:
    """``shared.SharedMetrics`` over the five tables."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def entries(self, since_ns: int, contains: str) -> list[MetricEntry]:
        """See ``SharedMetrics``."""
        return [
            entry for number, kind in enumerate(METRICS) for entry in self._entries(number, kind, since_ns, contains)
        ]

    def _entries(self, number: int, kind: str, since_ns: int, text: str) -> list[MetricEntry]:
        where = Conditions()
        where.between("TimeUnix", since_ns, 2**63 - 1)
        if text:
            where.add(contains("MetricName"), text=text)
        monotonic = "max(IsMonotonic)" if kind == "sum" else "false"
        answer = self._engine.query(
            f"SELECT toString(MetricName) AS name, {unix_ns('min(TimeUnix)')} AS first_ns, "
            f"{unix_ns('max(TimeUnix)')} AS last_ns, argMax(MetricUnit, TimeUnix) AS unit, "
            f"argMax(MetricDescription, TimeUnix) AS description, toBool({monotonic}) AS monotonic, "
            f"groupUniqArray({_SERVICES_MAX + 1})(toString(ServiceName)) AS services\n"
            f"FROM {METRICS[kind]} WHERE {where.sql} GROUP BY name ORDER BY name LIMIT {_NAMES_MAX}",
            where.parameters,
        )
        return [_entry(number, row) for row in answer.to_pylist()]

    def points(self, name: str, service: str | None, time: tuple[int, int]) -> pa.Table:
        """See ``SharedMetrics``."""
        parts = [self._points(number, kind, name, service, time) for number, kind in enumerate(METRICS)]
        parts = [part for part in parts if part.num_rows]
        return pa.concat_tables(parts).unify_dictionaries() if parts else METRIC_SCHEMA.empty_table()

    def _points(self, number: int, kind: str, name: str, service: str | None, time: tuple[int, int]) -> pa.Table:
        where = Conditions()
        where.add("MetricName = {name:String}", name=name)
        if service is not None:
            where.add("ServiceName = {service:String}", service=service)
        where.between("TimeUnix", *time)
        expressions = _DEFAULTS | _OF_TYPE[kind] | {"type": f"toInt8({number})"}
        chosen = ", ".join(f"{expressions[column]} AS `{column}`" for column in METRIC_SCHEMA.names)
        answer = self._engine.query(
            f"SELECT {chosen} FROM {METRICS[kind]}\nWHERE {where.sql} LIMIT {_POINTS_MAX + 1}", where.parameters
        )
        if answer.num_rows > _POINTS_MAX:
            raise BadRequestError(
                f"{name} has more than {_POINTS_MAX:,} points in that time. Ask for less time, or for one service."
            )
        return as_schema(answer, METRIC_SCHEMA, _OBJECTS)
