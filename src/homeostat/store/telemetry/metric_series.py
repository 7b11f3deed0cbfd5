"""From points of one metric to one value per step: the aggregations of ``core.metrics.MetricAggregation``.

Called by ``metric_query`` with points sorted by series and time.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.core.errors import BadRequestError
from homeostat.core.metrics import MetricAggregation, MetricQuery, MetricType, usual_aggregation
from homeostat.store.telemetry.metric_buckets import check_size, explicit, exponential
from homeostat.store.telemetry.metric_math import (
    SPREAD_MAX_NS,
    Floats,
    Growth,
    Numbers,
    Shares,
    exponential_quantile,
    growth,
    histogram_quantile,
    increases,
    shares,
)
from homeostat.store.telemetry.metric_schema import METRIC_TYPES, TEMPORALITY_DELTA
from homeostat.store.telemetry.schema import column

_A: Final = MetricAggregation
_NUMBERS: Final = {_A.LAST, _A.AVG, _A.MIN, _A.MAX, _A.SUM, _A.COUNT}
_GROWING: Final = {_A.RATE, _A.INCREASE}
_DISTRIBUTION: Final = {_A.AVG, _A.SUM, _A.COUNT, *_GROWING}

ALLOWED: Final = {
    MetricType.GAUGE: _NUMBERS,
    MetricType.SUM: _NUMBERS | _GROWING,
    MetricType.HISTOGRAM: _DISTRIBUTION | {_A.MIN, _A.MAX, _A.QUANTILE},
    MetricType.EXPONENTIAL_HISTOGRAM: _DISTRIBUTION | {_A.MIN, _A.MAX, _A.QUANTILE},
    MetricType.SUMMARY: _DISTRIBUTION | {_A.QUANTILE},
}
"""What can be asked of each type."""


@dataclass(frozen=True, slots=True)
class Points:
    """Points of one metric, sorted by series and time."""

    table: pa.Table
    series: Numbers  # of each point
    group: Numbers  # of each series: the line of the answer it belongs to
    groups: int

    def numbers(self, name: str) -> Floats:
        """A column, NaN for null."""
        return column(self.table, name).to_numpy(zero_copy_only=False).astype(np.float64)

    def times(self, name: str) -> Numbers:
        """A column of Unix ns."""
        return column(self.table, name).to_numpy()

    def where(self, mask: npt.NDArray[np.bool_]) -> "Points":
        """Some of the points."""
        return Points(self.table.filter(pa.array(mask)), self.series[mask], self.group, self.groups)


@dataclass(frozen=True, slots=True)
class Steps:
    """The time that is asked about, Unix ns."""

    begin_ns: int
    step_ns: int
    count: int
    end_ns: int  # within the last step

    @property
    def read_ns(self) -> tuple[int, int]:
        """The time whose points are needed: what grows within the steps is told by points around them, too."""
        around = max(SPREAD_MAX_NS, 2 * self.step_ns)
        return self.begin_ns - around, self.end_ns + around

    def of(self, times: Numbers) -> Numbers:
        """The step of each time; -1 outside."""
        return np.where((times >= self.begin_ns) & (times < self.end_ns), (times - self.begin_ns) // self.step_ns, -1)


def chosen_aggregation(query: MetricQuery, kind: MetricType, *, monotonic: bool) -> MetricAggregation:
    """What the query wants of a metric of this type. Raises BadRequestError when it has no such thing."""
    wanted = query.aggregation or usual_aggregation(kind, monotonic=monotonic)
    if wanted not in ALLOWED[kind]:
        possible = ", ".join(sorted(ALLOWED[kind]))
        raise BadRequestError(f"{query.name} is a {kind}: it has no {wanted}. Ask for {possible}.")
    return wanted


def aggregate(points: Points, kind: MetricType, wanted: MetricAggregation, steps: Steps, q: float) -> Floats:
    """One row per group, one value per step; NaN where there was nothing."""
    if wanted is _A.QUANTILE:
        if kind is MetricType.SUMMARY:
            return _summary_quantile(points, steps, q)
        return _quantile(points, kind, steps, q)
    if kind in {MetricType.GAUGE, MetricType.SUM}:
        points = points.where(~np.isnan(points.numbers("value")))
        if wanted in _GROWING:
            return _grown(points, points.numbers("value"), "value", steps, per_second=wanted is _A.RATE)
        return _of_values(points, points.numbers("value"), kind, wanted, steps)
    points = points.where(~np.isnan(points.numbers("count")))
    if wanted in {_A.MIN, _A.MAX}:
        return _of_values(points, points.numbers(wanted.value), kind, wanted, steps)
    if wanted in {_A.SUM, _A.AVG}:
        total = _grown(points, points.numbers("sum"), "count", steps)
        if wanted is _A.SUM:
            return total
        count = _grown(points, points.numbers("count"), "count", steps)
        return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return _grown(points, points.numbers("count"), "count", steps, per_second=wanted is _A.RATE)


def _growth(points: Points, total: str, steps: Steps) -> Growth:
    delta = column(points.table, "temporality").to_numpy() == TEMPORALITY_DELTA
    times, starts = points.times("time_ns"), points.times("start_ns")
    return growth(points.series, times, starts, points.numbers(total), delta, steps.read_ns[0])


def _shares(of: Growth, steps: Steps) -> Shares:
    return shares(of, steps.begin_ns, steps.step_ns, steps.end_ns)


def _grown(points: Points, values: Floats, total: str, steps: Steps, *, per_second: bool = False) -> Floats:
    """The increase in each step, added up over the series of a group; its rate is over the time that is covered."""
    of = _growth(points, total, steps)
    parts = _shares(of, steps)
    amount = increases(values, of)[parts.point] * parts.share
    if per_second:
        cell = points.series[parts.point] * steps.count + parts.step
        cells, of_part = np.unique(cell, return_inverse=True)
        covered = np.bincount(of_part, weights=parts.seconds, minlength=len(cells))
        amount = np.bincount(of_part, weights=amount, minlength=len(cells)) / np.maximum(covered, 1e-9)
        line, step = points.group[cells // max(steps.count, 1)], cells % max(steps.count, 1)
    else:
        line, step = points.group[points.series[parts.point]], parts.step
    return _added(line * steps.count + step, amount, points.groups, steps)


def _added(cell: Numbers, amount: Floats, groups: int, steps: Steps) -> Floats:
    """Amounts added up by cell, NaN where there was none."""
    size = groups * steps.count
    there = np.bincount(cell, minlength=size) > 0
    total = np.bincount(cell, weights=amount, minlength=size)
    return np.where(there, total, np.nan).reshape(groups, steps.count)


def _of_values(points: Points, values: Floats, kind: MetricType, wanted: MetricAggregation, steps: Steps) -> Floats:
    """Of the points in each step. The last of several series: of gauges their mean, of sums their sum."""
    step = steps.of(points.times("time_ns"))
    inside = np.flatnonzero((step >= 0) & ~np.isnan(values))
    series, step, values = points.series[inside], step[inside], values[inside]
    if wanted is _A.LAST:
        cell = series * steps.count + step
        newest = np.append(cell[1:] != cell[:-1], np.ones(min(len(cell), 1), np.bool_))
        series, step, values = series[newest], step[newest], values[newest]
    cell = points.group[series] * steps.count + step
    if wanted in {_A.MIN, _A.MAX}:
        extreme, best = (np.minimum, np.inf) if wanted is _A.MIN else (np.maximum, -np.inf)
        found = np.full(points.groups * steps.count, best)
        extreme.at(found, cell, values)
        return np.where(np.isinf(found), np.nan, found).reshape(points.groups, steps.count)
    if wanted is _A.COUNT:
        return _added(cell, np.ones(len(cell)), points.groups, steps)
    total = _added(cell, values, points.groups, steps)
    if wanted is _A.AVG or (wanted is _A.LAST and kind is MetricType.GAUGE):
        return total / _added(cell, np.ones(len(cell)), points.groups, steps)
    return total


def _quantile(points: Points, kind: MetricType, steps: Steps, q: float) -> Floats:
    points = points.where(~np.isnan(points.numbers("count")))
    size = points.groups * steps.count
    if kind is MetricType.EXPONENTIAL_HISTOGRAM:
        buckets = exponential(points.table)
        check_size(size * buckets.counts.shape[1])
        counts = _bucket_sums(points, buckets.counts, steps)
        return exponential_quantile(q, buckets.lower, buckets.upper, counts).reshape(points.groups, steps.count)
    parts = list(explicit(points.table))
    if not parts:
        return np.full((points.groups, steps.count), np.nan)
    edges = np.unique(np.concatenate([part.bounds for part in parts]))
    check_size(size * (len(edges) + 1))
    cumulative = np.zeros((size, len(edges) + 1))
    for part in parts:
        mask = np.zeros(len(points.series), dtype=np.bool_)
        mask[part.rows] = True
        own = np.cumsum(_bucket_sums(points.where(mask), part.counts, steps), axis=1)
        at = np.searchsorted(part.bounds, edges, side="right") - 1  # the last own edge that is not above
        known = np.where(at[None, :] >= 0, own[:, np.maximum(at, 0)], 0.0)
        cumulative += np.concatenate([known, own[:, -1:]], axis=1)
    counts = np.diff(cumulative, axis=1, prepend=0.0)
    return histogram_quantile(q, edges, np.maximum(counts, 0.0)).reshape(points.groups, steps.count)


def _bucket_sums(points: Points, counts: Floats, steps: Steps) -> Floats:
    """The increase of every bucket, added up by group and step: shape ``(groups * steps, buckets)``."""
    of = _growth(points, "count", steps)
    parts = _shares(of, steps)
    check_size(len(parts.point) * counts.shape[1])
    added = increases(counts, of)
    cell = points.group[points.series[parts.point]] * steps.count + parts.step
    total = np.zeros((points.groups * steps.count, counts.shape[1]))
    np.add.at(total, cell, added[parts.point] * parts.share[:, None])
    return total


def _summary_quantile(points: Points, steps: Steps, q: float) -> Floats:
    """The newest value that the sender computed for this very quantile."""
    if points.groups < len(points.group):
        raise BadRequestError("Quantiles of summaries can't be merged. Ask for every series (leave group_by out).")
    values = np.full(len(points.series), np.nan)
    for row, quantiles in enumerate(column(points.table, "quantiles").to_pylist()):
        values[row] = next((entry["value"] for entry in quantiles if abs(entry["quantile"] - q) < 1e-9), np.nan)
    if not np.isfinite(values).any() and len(values):
        raise BadRequestError(f"The summary has no quantile {q}: its sender did not compute it.")
    return _of_values(points, values, MetricType.SUMMARY, _A.LAST, steps)


def type_of(number: int) -> MetricType:
    """The metric type of the column ``type``."""
    return MetricType(METRIC_TYPES[number])
