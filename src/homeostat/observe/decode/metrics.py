"""OTLP metric requests -> the flat columns of ``store.telemetry.metric_schema``, one row per data point.

Called by the intake of metrics, for what arrives and for what its log replays. A point that can't be (a metric
without a name, a histogram whose buckets contradict its bounds) is dropped and counted; NaN is "no value".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from homeostat.core.errors import TelemetryRejectedError
from homeostat.core.ports import Clock
from homeostat.observe.decode.common import (
    Decoded,
    Outcome,
    decode_groups,
    nanoseconds,
    resource_columns,
    scope_columns,
    words,
)
from homeostat.observe.decode.counting import METRIC_LEVELS
from homeostat.observe.decode.flat import handler
from homeostat.observe.decode.labels import Labels
from homeostat.observe.decode.values import attribute_map
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.metric_schema import (
    EXEMPLAR,
    METRIC_SCHEMA,
    METRIC_TYPES,
    NO_RECORDED_VALUE,
    QUANTILE,
)

_POINTS: Final = (
    "NumberDataPoint",
    "HistogramDataPoint",
    "ExponentialHistogramDataPoint",
    "SummaryDataPoint",
)
_HANDLER: Final = handler(
    ExportMetricsServiceRequest, "homeostat_metrics", raw={f"{point}.attributes" for point in _POINTS}
)
_LABELS: Final = Labels()

Columns = dict[str, pa.Array]
Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]


def decode_metrics(requests: Sequence[bytes], *, now_ns: int = 0) -> Decoded:
    """Decode serialized ``ExportMetricsServiceRequest`` messages. A bad one spoils none of the others.

    ``now_ns`` (Unix time) is given to points that do not say their time.
    """
    return decode_groups(requests, METRIC_SCHEMA, METRIC_LEVELS, partial(_decode_list, now_ns))


def metrics_decoder(clock: Clock) -> Callable[[Sequence[bytes]], Decoded]:
    """``decode_metrics`` with the clock's time for points without any."""
    return lambda requests: decode_metrics(requests, now_ns=int(clock.now().timestamp() * 1e9))


@dataclass(frozen=True, slots=True)
class _Metrics:
    """The metrics of all requests, and where each comes from."""

    metric: pa.StructArray
    words: Columns  # of each metric: what its points have in common
    named: Mask
    request_of: Indices


def _decode_list(now_ns: int, requests: list[bytes]) -> tuple[pa.Table, list[Outcome]]:
    try:
        of_request = _HANDLER.list_to_record_batch(requests).column("resource_metrics")
    except ValueError as error:
        raise TelemetryRejectedError(f"The body is not an ExportMetricsServiceRequest: {error}") from error
    metrics = _metrics(of_request)
    tables: list[pa.Table] = []
    kept, rejected = np.zeros(len(requests), np.int64), np.zeros(len(requests), np.int64)
    for kind, name in enumerate(METRIC_TYPES):
        lists = metrics.metric.field(name).field("data_points")
        if not len(lists.values):
            continue
        table, valid, request_of = _points(metrics, kind, lists, now_ns)
        kept += np.bincount(request_of[valid], minlength=len(requests))
        rejected += np.bincount(request_of[~valid], minlength=len(requests))
        tables.append(table if valid.all() else table.filter(pa.array(valid)))
    outcomes = [Outcome(int(k), int(r)) for k, r in zip(kept, rejected, strict=True)]
    return pa.concat_tables(tables) if tables else METRIC_SCHEMA.empty_table(), outcomes


def _metrics(of_request: pa.ListArray) -> _Metrics:
    resources = of_request.flatten()
    of_resource = resources.field("scope_metrics")
    scopes = of_resource.flatten()
    of_scope = scopes.field("metrics")
    scope_of = _parents(of_scope)
    resource_of = _parents(of_resource)[scope_of]
    metric = of_scope.flatten()
    every = np.arange(len(metric))
    return _Metrics(
        metric=metric,
        words={
            **{name: words(metric.field(name).to_pylist(), every) for name in ("name", "unit", "description")},
            **resource_columns(resources.field("resource"), resource_of),
            **scope_columns(scopes.field("scope"), scope_of),
        },
        named=pc.not_equal(pc.binary_length(metric.field("name")), 0).to_numpy(zero_copy_only=False),
        request_of=_parents(of_request)[resource_of],
    )


def _parents(lists: pa.ListArray) -> Indices:
    return pc.list_parent_indices(lists).to_numpy().astype(np.int64)


def _points(metrics: _Metrics, kind: int, lists: pa.ListArray, now_ns: int) -> tuple[pa.Table, Mask, Indices]:
    """The points of one type: all of them as a table, which of them can be, and the request of each."""
    point, metric_of = lists.flatten(), _parents(lists)
    metric, places = metrics.metric, pa.array(metric_of)
    given = pc.equal(pc.bit_wise_and(point.field("flags"), NO_RECORDED_VALUE), 0)
    columns: Columns = {
        "type": pa.array(np.full(len(point), kind, np.int8)),
        "temporality": _temporality(metric.field(METRIC_TYPES[kind]), metric_of),
        "monotonic": _monotonic(metric.field(METRIC_TYPES[kind]), metric_of),
        **{name: column.take(places) for name, column in metrics.words.items()},
        "labels": _LABELS.column(point.field("attributes")),
        "time_ns": _time(point.field("time_unix_nano"), now_ns),
        "start_ns": pa.array(nanoseconds(point.field("start_time_unix_nano"))),
        "flags": point.field("flags"),
    }
    values, valid = _VALUES_OF[kind](point)
    if given.false_count:
        values = {name: pc.if_else(given, column, pa.scalar(None, column.type)) for name, column in values.items()}
    columns |= values
    columns["exemplars"] = _exemplars(point)
    return _table(columns, len(point)), valid & metrics.named[metric_of], metrics.request_of[metric_of]


def _table(columns: Columns, rows: int) -> pa.Table:
    arrays = [
        _typed(columns[field.name], field.type) if field.name in columns else pa.nulls(rows, field.type)
        for field in METRIC_SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=METRIC_SCHEMA)


def _typed(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    return values if values.type == wanted else values.cast(wanted)


def _time(times: pa.Array, now_ns: int) -> pa.Array:
    numbers = nanoseconds(times)
    return pa.array(np.where(numbers == 0, now_ns, numbers))


def _temporality(kind: pa.StructArray, metric_of: Indices) -> pa.Array:
    if "aggregation_temporality" not in kind.type.names:
        return pa.array(np.zeros(len(metric_of), np.int8))
    numbers = pc.fill_null(kind.field("aggregation_temporality"), 0).to_numpy()[metric_of]
    return pa.array(np.where((numbers >= 0) & (numbers <= 2), numbers, 0).astype(np.int8))


def _monotonic(kind: pa.StructArray, metric_of: Indices) -> pa.Array:
    if "is_monotonic" not in kind.type.names:
        return pa.array(np.zeros(len(metric_of), np.bool_))
    return pc.take(pc.fill_null(kind.field("is_monotonic"), False), pa.array(metric_of))


# -- what each type has -------------------------------------------------------------------------------------


def _number(values: pa.Array) -> pa.Array:
    """NaN is no value: a sum over it would be none either."""
    return pc.if_else(pc.fill_null(pc.is_nan(values), False), pa.scalar(None, pa.float64()), values)


def _value(point: pa.StructArray) -> pa.Array:
    """``as_double`` or ``as_int``; null where neither is set."""
    whole = pc.cast(point.field("as_int"), pa.float64(), safe=False)
    return _number(pc.coalesce(point.field("as_double"), whole))


def _plain_points(point: pa.StructArray) -> tuple[Columns, Mask]:
    return {"value": _value(point)}, np.ones(len(point), np.bool_)


def _totals(point: pa.StructArray) -> Columns:
    names = [name for name in ("sum", "min", "max") if name in point.type.names]
    return {"count": point.field("count"), **{name: _number(point.field(name)) for name in names}}


def _histograms(point: pa.StructArray) -> tuple[Columns, Mask]:
    bounds, counts = point.field("explicit_bounds"), point.field("bucket_counts")
    edges = pc.list_value_length(bounds).to_numpy()
    buckets = pc.list_value_length(counts).to_numpy()
    fitting = (buckets == edges + 1) | ((buckets == 0) & (edges == 0))
    columns = {**_totals(point), "bounds": bounds, "bucket_counts": counts}
    return columns, fitting & _ascending(bounds)


def _ascending(lists: pa.ListArray) -> Mask:
    """Which lists are strictly ascending (a NaN is not)."""
    values, row_of = lists.flatten().to_numpy(), _parents(lists)
    falls = ~(np.diff(values) > 0) & (row_of[1:] == row_of[:-1])
    broken = np.concatenate([row_of[1:][falls], row_of[np.isnan(values)]])
    result = np.ones(len(lists), np.bool_)
    result[broken] = False
    return result


def _exponential_histograms(point: pa.StructArray) -> tuple[Columns, Mask]:
    columns = {
        **_totals(point),
        "scale": point.field("scale"),
        "zero_count": point.field("zero_count"),
        "zero_threshold": point.field("zero_threshold"),
        **_side(point, "positive"),
        **_side(point, "negative"),
    }
    return columns, np.ones(len(point), np.bool_)


def _side(point: pa.StructArray, side: str) -> Columns:
    buckets = point.field(side)
    return {f"{side}_offset": buckets.field("offset"), f"{side}_counts": buckets.field("bucket_counts")}


def _summaries(point: pa.StructArray) -> tuple[Columns, Mask]:
    given = point.field("quantile_values")
    pair = given.flatten()
    pairs = pa.StructArray.from_arrays([pair.field("quantile"), pair.field("value")], fields=list(QUANTILE))
    quantiles = pa.ListArray.from_arrays(_offsets(given), pairs)
    return {**_totals(point), "quantiles": quantiles}, np.ones(len(point), np.bool_)


def _offsets(lists: pa.ListArray) -> pa.Array:
    """Offsets into ``lists.flatten()``."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))


def _exemplars(point: pa.StructArray) -> pa.Array:
    """Exemplars; an id of the wrong length is left out of one."""
    if "exemplars" not in point.type.names:
        return pa.nulls(len(point), pa.list_(EXEMPLAR))
    lists = point.field("exemplars")
    exemplar = lists.flatten()
    if not len(exemplar):
        return pa.nulls(len(point), pa.list_(EXEMPLAR))
    columns = [
        pa.array(nanoseconds(exemplar.field("time_unix_nano"))),
        _value(exemplar),
        _id_of(exemplar.field("trace_id"), 16),
        _id_of(exemplar.field("span_id"), 8),
        attribute_map(exemplar.field("filtered_attributes")),
    ]
    values = pa.StructArray.from_arrays(columns, fields=list(EXEMPLAR))
    return pa.ListArray.from_arrays(_offsets(lists), values)


def _id_of(ids: pa.BinaryArray, width: int) -> pa.BinaryArray:
    return pc.if_else(pc.equal(pc.binary_length(ids), width), ids, pa.scalar(b"", pa.binary()))


_VALUES_OF: Final[tuple[Callable[[pa.StructArray], tuple[Columns, Mask]], ...]] = (
    _plain_points,
    _plain_points,
    _histograms,
    _exponential_histograms,
    _summaries,
)
