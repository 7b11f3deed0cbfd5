"""OTLP metric requests -> the flat columns of ``store.telemetry.metric_schema``, one row per data point.

Called by the intake of metrics, for what arrives and for what its log replays. A point that can't be (a metric
without a name, a histogram whose buckets contradict its bounds) is dropped and counted; NaN is "no value".
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from homeostat.core.ports import Clock
from homeostat.observe.decode.choice import Choice
from homeostat.observe.decode.common import (
    Decoded,
    Outcome,
    decode_groups,
    nanoseconds,
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
from homeostat.store.telemetry.schema import UNKNOWN_SERVICE

_POINTS: Final = (
    "NumberDataPoint",
    "HistogramDataPoint",
    "ExponentialHistogramDataPoint",
    "SummaryDataPoint",
)
_SERIALIZED: Final = frozenset(f"{owner}.attributes" for owner in (*_POINTS, "Resource", "InstrumentationScope"))
_RARE_TYPES: Final = ("exponential_histogram", "summary")
_RARE: Final = frozenset(
    {
        *(f"Metric.{name}" for name in _RARE_TYPES),
        "NumberDataPoint.exemplars",
        "HistogramDataPoint.exemplars",
    }
)
_FULL: Final = handler(ExportMetricsServiceRequest, "homeostat_metrics", raw=_SERIALIZED)
_LEAN: Final = handler(ExportMetricsServiceRequest, "homeostat_metrics_lean", raw=_SERIALIZED | _RARE)
"""Without what most requests do not have: every builder costs its share of every group. What is rare comes as bytes,
so that one sees when this was not enough."""

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
    resource: pa.StructArray
    scope: pa.StructArray
    scope_of: Indices
    resource_of: Indices
    request_of: Indices


@dataclass(frozen=True, slots=True)
class _Points:
    """The points of all metrics of one type."""

    kind: int  # an index of METRIC_TYPES
    holder: pa.StructArray  # what a metric says of that type, one row each
    point: pa.StructArray
    metric_of: Indices


def _decode_list(now_ns: int, requests: list[bytes]) -> tuple[pa.Table, list[Outcome]]:
    metrics = _metrics(_CHOICE.parse(requests))
    parts = _points_of(metrics.metric)
    if not parts:
        return METRIC_SCHEMA.empty_table(), [Outcome()] * len(requests)
    metric_of = np.concatenate([part.metric_of for part in parts])
    table, valid = _table(metrics, parts, metric_of, now_ns)
    valid &= _named(metrics.metric)[metric_of]
    request_of = metrics.request_of[metric_of]
    kept = np.bincount(request_of[valid], minlength=len(requests))
    rejected = np.bincount(request_of[~valid], minlength=len(requests))
    outcomes = [Outcome(k, r) for k, r in zip(kept.tolist(), rejected.tolist(), strict=True)]
    return table if valid.all() else table.filter(pa.array(valid)), outcomes


def _is_enough(of_request: pa.ListArray) -> bool:
    """Whether the lean handler left nothing serialized."""
    metric = of_request.flatten().field("scope_metrics").flatten().field("metrics").flatten()
    if any(pc.any(pc.is_valid(metric.field(name))).as_py() for name in _RARE_TYPES):
        return False
    points = [metric.field(name).field("data_points").values for name in METRIC_TYPES if name not in _RARE_TYPES]
    return not any(len(point.field("exemplars").values) for point in points)


_CHOICE: Final = Choice(
    _LEAN, _FULL, message="ExportMetricsServiceRequest", column="resource_metrics", is_enough=_is_enough
)


def _metrics(of_request: pa.ListArray) -> _Metrics:
    resources = of_request.flatten()
    of_resource = resources.field("scope_metrics")
    scopes = of_resource.flatten()
    of_scope = scopes.field("metrics")
    scope_of = _parents(of_scope)
    resource_of = _parents(of_resource)[scope_of]
    return _Metrics(
        metric=of_scope.flatten(),
        resource=resources.field("resource"),
        scope=scopes.field("scope"),
        scope_of=scope_of,
        resource_of=resource_of,
        request_of=_parents(of_request)[resource_of],
    )


def _parents(lists: pa.ListArray) -> Indices:
    return pc.list_parent_indices(lists).to_numpy().astype(np.int64)


def _named(metric: pa.StructArray) -> Mask:
    return pc.not_equal(pc.binary_length(metric.field("name")), 0).to_numpy(zero_copy_only=False)


def _points_of(metric: pa.StructArray) -> list[_Points]:
    """The types that there are points of, each with all of them."""
    found: list[_Points] = []
    for kind, name in enumerate(METRIC_TYPES):
        holder = metric.field(name)
        if pa.types.is_struct(holder.type) and len(holder.field("data_points").values):
            lists = holder.field("data_points")
            found.append(_Points(kind, holder, lists.flatten(), _parents(lists)))
    return found


def _table(metrics: _Metrics, parts: Sequence[_Points], metric_of: Indices, now_ns: int) -> tuple[pa.Table, Mask]:
    """All points, type by type, and which of them can be. What does not depend on the type is made once."""
    common = _words(metrics, metric_of)
    common["labels"] = _LABELS.column(pa.concat_arrays([part.point.field("attributes") for part in parts]))
    read = [_of_type(part, now_ns) for part in parts]
    pieces = [(columns, len(part.point)) for part, (columns, _) in zip(parts, read, strict=True)]
    arrays = [common.get(field.name) or _one_behind_the_other(pieces, field) for field in METRIC_SCHEMA]
    return pa.Table.from_arrays(arrays, schema=METRIC_SCHEMA), np.concatenate([valid for _, valid in read])


def _words(metrics: _Metrics, metric_of: Indices) -> Columns:
    """What points have in common with the others of their metric, scope or resource."""
    of_scope, of_resource = metrics.scope_of[metric_of], metrics.resource_of[metric_of]
    resource = _LABELS.column(metrics.resource.field("attributes"))
    services = [_service_of(text) for text in resource.dictionary.to_pylist()]
    return {
        **{name: _texts(metrics.metric.field(name), metric_of) for name in ("name", "unit", "description")},
        "service": words(services, resource.indices.to_numpy()[of_resource]),
        "resource": resource.take(pa.array(of_resource)),
        "scope": _texts(metrics.scope.field("name"), of_scope),
        "scope_version": _texts(metrics.scope.field("version"), of_scope),
        "scope_attributes": _LABELS.column(metrics.scope.field("attributes")).take(pa.array(of_scope)),
    }


def _texts(texts: pa.StringArray, row_of: Indices) -> pa.DictionaryArray:
    return words([text or "" for text in texts.to_pylist()], row_of)


def _service_of(resource: str) -> str:
    return json.loads(resource).get("service.name") or UNKNOWN_SERVICE


def _one_behind_the_other(pieces: Sequence[tuple[Columns, int]], field: pa.Field) -> pa.Array:
    """A column of the points of all types; null where a type has none."""
    if not any(field.name in columns for columns, _ in pieces):
        return pa.nulls(sum(rows for _, rows in pieces), field.type)
    return pa.concat_arrays([_column(columns, field, rows) for columns, rows in pieces])


def _column(columns: Columns, field: pa.Field, rows: int) -> pa.Array:
    if field.name not in columns:
        return pa.nulls(rows, field.type)
    values = columns[field.name]
    return values if values.type == field.type else values.cast(field.type)


def _of_type(part: _Points, now_ns: int) -> tuple[Columns, Mask]:
    """The columns that points of this type have a value in, and which points can be."""
    point, metric_of = part.point, part.metric_of
    flags = point.field("flags")
    values, valid = _VALUES_OF[part.kind](point)
    if (flags.to_numpy() & NO_RECORDED_VALUE).any():
        given = pc.equal(pc.bit_wise_and(flags, NO_RECORDED_VALUE), 0)
        values = {name: pc.if_else(given, column, pa.scalar(None, column.type)) for name, column in values.items()}
    return {
        "type": pa.array(np.full(len(point), part.kind, np.int8)),
        "temporality": _temporality(part.holder, metric_of),
        "monotonic": _monotonic(part.holder, metric_of),
        "time_ns": _time(point.field("time_unix_nano"), now_ns),
        "start_ns": pa.array(nanoseconds(point.field("start_time_unix_nano"))),
        "flags": flags,
        **values,
        "exemplars": _exemplars(point),
    }, valid


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
    if not np.isnan(values.to_numpy(zero_copy_only=False)).any():
        return values
    return pc.if_else(pc.fill_null(pc.is_nan(values), False), pa.scalar(None, pa.float64()), values)


def _value(point: pa.StructArray) -> pa.Array:
    """``as_double`` or ``as_int``; null where neither is set."""
    real, whole = point.field("as_double"), point.field("as_int")
    if whole.null_count == len(whole):
        return _number(real)
    return _number(pc.coalesce(real, pc.cast(whole, pa.float64(), safe=False)))


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
    if not len(exemplar):  # the lean handler's are never any
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
