"""Rows of persisted rollups as answers: points, steps, minutes and edges. Called by ``rollups``; nothing here reads
files."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.core.red import HISTOGRAM_BUCKETS, Edge, RedMinutes, RedPoint, share_within
from homeostat.observe.red import MinuteRows, point
from homeostat.observe.red_buckets import MINUTE_S
from homeostat.store.telemetry.rollup_schema import (
    EDGE_SUMS,
    SUMS,
    cells_of,
    edge_codes,
    histogram_of,
    raw_histogram_of,
    sums_of,
)
from homeostat.store.telemetry.schema import column

MINUTE_COLUMNS: Final = ("start_s", "requests", "errors", "duration_sum_ms")
"""What ``minutes_of`` needs without histograms."""

HISTOGRAM_COLUMNS: Final = ("buckets", "bucket_counts")
"""What it needs for them."""

STEP_COLUMNS: Final = ("start_s", *SUMS, "buckets", "bucket_counts")
"""What ``steps_of`` needs."""


def within(table: pa.Table, start_s: int, end_s: int) -> pa.Table:
    """The rows that begin in ``[start_s, end_s)``."""
    begins = column(table, "start_s").to_numpy()
    wanted = (begins >= start_s) & (begins < end_s)
    return table if wanted.all() else table.filter(pa.array(wanted)).combine_chunks()


def points_of(tables: Sequence[pa.Table], window: tuple[int, int], *, by_service: bool) -> list[RedPoint]:
    """One point for each series; all rows count."""
    tables = [table for table in tables if table.num_rows]
    if not tables:
        return []
    cells = cells_of(tables)
    size = len(cells.names)
    sums = np.stack([np.bincount(cells.series, weights=values, minlength=size) for values in cells.sums.T], axis=1)
    buckets = cells.bucket_series * HISTOGRAM_BUCKETS + cells.bucket
    counts = np.bincount(buckets, weights=cells.bucket_count, minlength=size * HISTOGRAM_BUCKETS)
    dense = counts.astype(np.int64).reshape(size, HISTOGRAM_BUCKETS)
    return [
        point(service, None if by_service else operation, window, sums[row], dense[row])
        for row, (service, operation) in enumerate(cells.names)
    ]


def together(older: Iterable[RedPoint], newer: Iterable[RedPoint], window: tuple[int, int]) -> list[RedPoint]:
    """Two halves of one window as one, sorted."""
    found = {(one.service, one.operation): one for one in older}
    for one in newer:
        key = one.service, one.operation
        found[key] = add(found[key], one, window) if key in found else add(one, None, window)
    return sorted(found.values(), key=lambda one: (one.service, one.operation or ""))


def add(one: RedPoint, other: RedPoint | None, window: tuple[int, int]) -> RedPoint:
    """Two points of one series as one over ``window``."""
    first, second = _numbers(one), _numbers(other) if other is not None else None
    sums, histogram = first if second is None else (first[0] + second[0], first[1] + second[1])
    return point(one.service, one.operation, window, sums, histogram)


def _numbers(one: RedPoint) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    sums = [
        one.requests,
        one.errors,
        one.duration_sum_ms,
        one.downstream_requests,
        one.downstream_errors,
        one.downstream_duration_sum_ms,
    ]
    histogram = np.array(one.histogram or [0] * HISTOGRAM_BUCKETS, dtype=np.int64)
    return np.array(sums, dtype=np.float64), histogram


def steps_of(tables: Sequence[pa.Table], service: str, start_s: int, end_s: int, step_s: int) -> list[RedPoint]:
    """One point of the service for each step from ``start_s`` in which there is a row."""
    tables = [table for table in tables if table.num_rows]
    if not tables:
        return []
    table = pa.concat_tables(tables).combine_chunks()
    step = (column(table, "start_s").to_numpy() - start_s) // step_s
    present, place = np.unique(step, return_inverse=True)
    sums = np.stack([np.bincount(place, weights=values) for values in sums_of(table, SUMS).T], axis=1)
    rows, bucket, count = histogram_of(table)
    cells = place[rows] * HISTOGRAM_BUCKETS + bucket
    counts = np.bincount(cells, weights=count, minlength=len(present) * HISTOGRAM_BUCKETS)
    dense = counts.astype(np.int64).reshape(-1, HISTOGRAM_BUCKETS)
    begins = [start_s + number * step_s for number in present.tolist()]
    return [
        point(service, None, (at, min(at + step_s, end_s)), sums[row], dense[row]) for row, at in enumerate(begins)
    ]


def edges_of(tables: Sequence[pa.Table], recent: Sequence[Edge]) -> list[Edge]:
    """Edges of persisted rows and of memory, by caller and callee."""
    found = {(edge.caller, edge.callee): edge for edge in recent}
    for table in tables:
        if not table.num_rows:
            continue
        callers, callees, edge = edge_codes(table)
        sums = [np.bincount(edge, weights=values) for values in sums_of(table, EDGE_SUMS).T]
        for caller, callee, requests, errors, duration in zip(callers, callees, *sums, strict=True):
            known = found.get((caller, callee), Edge(caller, callee, 0, 0, 0.0))
            found[caller, callee] = Edge(
                caller,
                callee,
                known.requests + round(requests),
                known.errors + round(errors),
                known.duration_sum_ms + float(duration),
            )
    return sorted(found.values(), key=lambda edge: (edge.caller, edge.callee))


@dataclass(frozen=True, slots=True)
class Durations:
    """What is wanted to be known of durations."""

    histograms: bool
    within_ms: float | None  # how many requests took at most so long; None: nobody asks


class _Grid:
    """Dense minutes to be filled, one row for each minute that has anything."""

    def __init__(
        self, begins: Sequence[npt.NDArray[np.int64]], start_s: int, end_s: int, durations: Durations
    ) -> None:
        self._histograms = durations.histograms
        self._shares = None if durations.within_ms is None else share_within(durations.within_ms)
        self._first = start_s - start_s % MINUTE_S
        is_present = np.zeros(max(0, -(-(end_s - self._first) // MINUTE_S)), dtype=np.bool_)
        for times in begins:
            is_present[(times - self._first) // MINUTE_S] = True
        minutes = np.flatnonzero(is_present)
        self._row = np.cumsum(is_present) - 1
        self.start_s = (minutes * MINUTE_S + self._first).astype(np.int64)
        self.sums = np.zeros((3, len(minutes)))
        self.histogram = np.zeros((len(minutes), HISTOGRAM_BUCKETS if self._histograms else 0), dtype=np.int32)
        self.within = np.zeros(0 if self._shares is None else len(minutes))

    def rows(self, times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The row of each time."""
        return self._row[(times - self._first) // MINUTE_S]

    def fill(self, tables: Sequence[pa.Table]) -> None:
        """Add persisted rows. Files are many and mostly small: their sums are added all at once."""
        rows = self.rows(_all(tables, "start_s"))
        once = len(rows) < 2 or bool((rows[1:] > rows[:-1]).all())
        for place, name in enumerate(("requests", "errors", "duration_sum_ms")):
            _add(self.sums[place], rows, _all(tables, name), once=once)
        first = 0
        for table in tables:
            self._fill_durations(table, rows[first : first + table.num_rows], once=once)
            first += table.num_rows

    def _fill_durations(self, table: pa.Table, rows: npt.NDArray[np.int64], *, once: bool) -> None:
        if not self._histograms and self._shares is None:
            return
        lengths, bucket, count = raw_histogram_of(table)
        if self._histograms:
            cells = np.repeat((rows * HISTOGRAM_BUCKETS).astype(np.int32), lengths)
            cells += bucket
            _add(self.histogram.reshape(-1), cells, count, once=once)
        if self._shares is not None:
            within = self._shares.take(bucket)
            within *= count
            filled = np.flatnonzero(lengths)
            begins = (np.cumsum(lengths) - lengths)[filled]
            _add(self.within, rows[filled], np.add.reduceat(within, begins), once=once)

    def fill_rows(self, minutes: MinuteRows) -> None:
        """Add minutes from memory."""
        rows = self.rows(minutes.start_s)
        self.sums[:, rows] += minutes.sums[:, :3].T
        if self._histograms:
            self.histogram[rows] += minutes.histogram.astype(np.int32)
        if self._shares is not None:
            self.within[rows] += minutes.histogram @ self._shares

    def keep(self, which: npt.NDArray[np.bool_]) -> None:
        """Leave the other minutes out."""
        self.start_s, self.sums, self.histogram = self.start_s[which], self.sums[:, which], self.histogram[which]
        if self._shares is not None:
            self.within = self.within[which]


def _all(tables: Sequence[pa.Table], name: str) -> npt.NDArray[Any]:
    return np.concatenate([column(table, name).to_numpy() for table in tables])


def _add(to: npt.NDArray[Any], places: npt.NDArray[Any], values: npt.NDArray[Any], *, once: bool) -> None:
    """Add at places; ``once``: no place comes twice, which is several times quicker."""
    if once:
        to[places] += values
    else:
        np.add.at(to, places, values)


def minutes_of(
    tables: Sequence[pa.Table],
    recent: MinuteRows,
    series: tuple[str, str | None],
    window: tuple[int, int],
    durations: Durations,
) -> RedMinutes:
    """The minutes of a series (service and operation): persisted rows and those of memory, all within the window."""
    begins = [column(table, "start_s").to_numpy() for table in tables]
    begins.append(recent.start_s)
    oldest = min((int(times.min()) for times in begins if len(times)), default=window[0])
    newest = max((int(times.max()) for times in begins if len(times)), default=oldest)
    grid = _Grid(begins, oldest, newest + 1, durations)
    if tables:
        grid.fill(tables)
    grid.fill_rows(recent)
    served = grid.sums[0] > 0  # a minute with calls to others only is none of requests
    if not served.all():
        grid.keep(served)
    return RedMinutes(
        service=series[0],
        operation=series[1],
        start_s=grid.start_s,
        requests=np.rint(grid.sums[0]).astype(np.int64),
        errors=np.rint(grid.sums[1]).astype(np.int64),
        duration_sum_ms=grid.sums[2],
        histogram=grid.histogram,
        within=grid.within,
    )
