"""Rows of ``METRIC_SCHEMA`` as rows of the five ``otel_metrics_*`` tables. Called by ``sink``.

What a point does not say is written as a collector writes it (0), but for sums and extremes of distributions: they
become NaN, which is no value that anybody measured. The tables have no column for an exponential histogram's zero
threshold: it is not kept.
"""

import math
from typing import Final

import pyarrow as pa

from homeostat.store.clickhouse.convert import hexadecimal, maps_of, nested, texts, times
from homeostat.store.clickhouse.tables import METRICS
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.metric_schema import METRIC_TYPES
from homeostat.store.telemetry.schema import column

_NAN: Final = pa.scalar(math.nan, pa.float64())
_COUNTS: Final = pa.list_(pa.uint64())


def encode_metrics(points: pa.Table) -> dict[str, pa.Table]:
    """By table, those of the rows that belong there."""
    types = column(points, "type")
    found: dict[str, pa.Table] = {}
    for number, kind in enumerate(METRIC_TYPES):
        rows = points.filter(pc.equal(types, pa.scalar(number, types.type)))
        if rows.num_rows:
            found[METRICS[kind]] = pa.table(_common(rows) | _ENCODERS[kind](rows))
    return found


def _common(rows: pa.Table) -> dict[str, pa.Array]:
    return {
        "ResourceAttributes": maps_of(column(rows, "resource")),
        "ScopeName": texts(column(rows, "scope")),
        "ScopeVersion": texts(column(rows, "scope_version")),
        "ScopeAttributes": maps_of(column(rows, "scope_attributes")),
        "ServiceName": texts(column(rows, "service")),
        "MetricName": texts(column(rows, "name")),
        "MetricDescription": texts(column(rows, "description")),
        "MetricUnit": texts(column(rows, "unit")),
        "Attributes": maps_of(column(rows, "labels")),
        "StartTimeUnix": times(column(rows, "start_ns")),
        "TimeUnix": times(column(rows, "time_ns")),
        "Flags": pc.fill_null(column(rows, "flags"), 0),
    }


def _exemplars(rows: pa.Table) -> dict[str, pa.Array]:
    def whole(maps: pa.Array) -> pa.Array:
        return pa.array([value or [] for value in maps.to_pylist()], maps.type) if maps.null_count else maps

    return nested(
        column(rows, "exemplars"),
        {
            "Exemplars.FilteredAttributes": ("attributes", whole),
            "Exemplars.TimeUnix": ("time_ns", times),
            "Exemplars.Value": ("value", lambda values: pc.fill_null(values, 0.0)),
            "Exemplars.SpanId": ("span_id", hexadecimal),
            "Exemplars.TraceId": ("trace_id", hexadecimal),
        },
    )


def _temporality(rows: pa.Table) -> dict[str, pa.Array]:
    return {"AggregationTemporality": pc.fill_null(column(rows, "temporality"), 0).cast(pa.int32())}


def _value(rows: pa.Table) -> dict[str, pa.Array]:
    return {"Value": pc.fill_null(column(rows, "value"), 0.0)}


def _distribution(rows: pa.Table) -> dict[str, pa.Array]:
    return {"Count": pc.fill_null(column(rows, "count"), 0), "Sum": pc.fill_null(column(rows, "sum"), _NAN)}


def _extremes(rows: pa.Table) -> dict[str, pa.Array]:
    return {name.capitalize(): pc.fill_null(column(rows, name), _NAN) for name in ("min", "max")}


def _lists(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Without nulls, which ClickHouse has no place for."""
    return pa.array([value or [] for value in values.to_pylist()], kind) if values.null_count else values


def _gauge(rows: pa.Table) -> dict[str, pa.Array]:
    return _value(rows) | _exemplars(rows)


def _sum(rows: pa.Table) -> dict[str, pa.Array]:
    monotonic = {"IsMonotonic": pc.fill_null(column(rows, "monotonic"), False)}
    return _value(rows) | _exemplars(rows) | _temporality(rows) | monotonic


def _histogram(rows: pa.Table) -> dict[str, pa.Array]:
    buckets = {
        "BucketCounts": _lists(column(rows, "bucket_counts"), _COUNTS),
        "ExplicitBounds": _lists(column(rows, "bounds"), pa.list_(pa.float64())),
    }
    return _distribution(rows) | _extremes(rows) | _temporality(rows) | _exemplars(rows) | buckets


def _exponential(rows: pa.Table) -> dict[str, pa.Array]:
    buckets = {
        "Scale": pc.fill_null(column(rows, "scale"), 0),
        "ZeroCount": pc.fill_null(column(rows, "zero_count"), 0),
        "PositiveOffset": pc.fill_null(column(rows, "positive_offset"), 0),
        "PositiveBucketCounts": _lists(column(rows, "positive_counts"), _COUNTS),
        "NegativeOffset": pc.fill_null(column(rows, "negative_offset"), 0),
        "NegativeBucketCounts": _lists(column(rows, "negative_counts"), _COUNTS),
    }
    return _distribution(rows) | _extremes(rows) | _temporality(rows) | _exemplars(rows) | buckets


def _summary(rows: pa.Table) -> dict[str, pa.Array]:
    quantiles = nested(
        column(rows, "quantiles"),
        {
            f"ValueAtQuantiles.{name.capitalize()}": (name, lambda values: pc.fill_null(values, _NAN))
            for name in ("quantile", "value")
        },
    )
    return _distribution(rows) | quantiles


_ENCODERS: Final = {
    "gauge": _gauge,
    "sum": _sum,
    "histogram": _histogram,
    "exponential_histogram": _exponential,
    "summary": _summary,
}
