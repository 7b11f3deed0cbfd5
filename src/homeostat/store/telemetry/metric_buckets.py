"""Histograms of many points as matrices with common buckets. Called by ``metric_series`` for quantiles."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from homeostat.core.errors import BadRequestError
from homeostat.store.telemetry.metric_math import Floats, Numbers
from homeostat.store.telemetry.schema import column

_CELLS_MAX: Final = 16_000_000  # 128 MB
_EXPONENTIAL_MAX: Final = 640  # buckets; more are merged by halving the resolution
_SCALES: Final = (-10, 20)  # what OpenTelemetry's SDKs can make


def check_size(cells: int) -> None:
    """Raises BadRequestError when a matrix would be too large to be made."""
    if cells > _CELLS_MAX:
        raise BadRequestError("That is too much for one quantile. Ask for less time, fewer series or longer steps.")


@dataclass(frozen=True, slots=True)
class Explicit:
    """Points whose histograms have the same bounds. ``counts``: shape ``(points, bounds + 1)``."""

    rows: Numbers  # of the table
    bounds: Floats
    counts: Floats


def explicit(table: pa.Table) -> Iterator[Explicit]:
    """The points of a table by their bounds; points without buckets are left out."""
    lists, counts = column(table, "bounds"), column(table, "bucket_counts")
    sizes, lengths = _lengths(lists), _lengths(counts)
    whole = lengths == sizes + 1
    for size in np.unique(sizes[whole]).tolist():
        rows = np.flatnonzero(whole & (sizes == size))
        check_size(len(rows) * (size + 1))
        bounds = _matrix(lists, rows, size)
        values = _matrix(counts, rows, size + 1)
        distinct, of_row = np.unique(bounds, axis=0, return_inverse=True)
        for number, edges in enumerate(distinct):
            chosen = np.flatnonzero(of_row.ravel() == number)
            yield Explicit(rows[chosen], edges, values[chosen])


def _lengths(lists: pa.ListArray) -> Numbers:
    return np.diff(lists.offsets.to_numpy().astype(np.int64))


def _values(lists: pa.ListArray) -> Floats:
    """All values that the offsets count through from the first on."""
    return lists.flatten().to_numpy(zero_copy_only=False).astype(np.float64)


def _matrix(lists: pa.ListArray, rows: Numbers, size: int) -> Floats:
    """Lists of one length as rows."""
    offsets = lists.offsets.to_numpy().astype(np.int64)
    if not size:
        return np.zeros((len(rows), 0))
    return _values(lists)[(offsets[rows] - offsets[0])[:, None] + np.arange(size)]


@dataclass(frozen=True, slots=True)
class Exponential:
    """Points with exponential histograms on one scale. Edges ascend; ``counts``: shape ``(points, buckets)``."""

    lower: Floats
    upper: Floats
    counts: Floats


def exponential(table: pa.Table) -> Exponential:
    """All points of a table on the coarsest of their scales (or one on which they fit)."""
    scales = column(table, "scale").to_numpy(zero_copy_only=False)
    scales = np.clip(np.nan_to_num(scales.astype(np.float64)), *_SCALES).astype(np.int64)
    positive, negative = _buckets(table, "positive"), _buckets(table, "negative")
    scale = int(scales.min()) if len(scales) else 0
    while True:
        ranges = [_merged(side, scales - scale) for side in (positive, negative)]
        width = sum(int(index.max() - index.min()) + 1 for index in ranges if len(index))
        if width <= _EXPONENTIAL_MAX:
            break
        scale -= 1
    zero = np.nan_to_num(column(table, "zero_count").to_numpy(zero_copy_only=False).astype(np.float64))
    threshold = np.nan_to_num(column(table, "zero_threshold").to_numpy(zero_copy_only=False).astype(np.float64))
    low, high, middle = float(-threshold.max(initial=0.0)), float(threshold.max(initial=0.0)), zero[:, None]
    check_size(table.num_rows * (width + 1))
    plus = _dense(positive, ranges[0], table.num_rows)
    minus = _dense(negative, ranges[1], table.num_rows)
    first_plus = int(ranges[0].min()) if len(ranges[0]) else 0
    first_minus = int(ranges[1].min()) if len(ranges[1]) else 0
    up = first_plus + np.arange(plus.shape[1], dtype=np.float64)
    down = first_minus + np.arange(minus.shape[1], dtype=np.float64)
    with np.errstate(over="ignore"):  # a sender's numbers: what is too large is infinite
        edges, mirrored = (
            np.exp2(np.append(up, up[-1:] + 1) * 2.0**-scale),
            np.exp2(np.append(down, down[-1:] + 1) * 2.0**-scale),
        )
    return Exponential(
        lower=np.concatenate([-mirrored[:0:-1], [low], edges[:-1]]),
        upper=np.concatenate([-mirrored[-2::-1], [high], edges[1:]]),
        counts=np.concatenate([minus[:, ::-1], middle, plus], axis=1),
    )


@dataclass(frozen=True, slots=True)
class _Side:
    row: Numbers
    index: Numbers  # on the point's own scale
    count: Floats


def _buckets(table: pa.Table, side: str) -> _Side:
    lists = column(table, f"{side}_counts")
    offset = np.nan_to_num(column(table, f"{side}_offset").to_numpy(zero_copy_only=False).astype(np.float64))
    lengths, starts = _lengths(lists), lists.offsets.to_numpy().astype(np.int64)
    row = np.repeat(np.arange(len(lengths)), lengths)
    position = np.arange(len(row)) - (starts[:-1] - starts[0])[row]
    return _Side(row, offset.astype(np.int64)[row] + position, _values(lists))


def _merged(side: _Side, finer_by: Numbers) -> Numbers:
    """Bucket numbers on a coarser scale: neighbours are merged in pairs, once for each step of the scale."""
    return side.index >> np.minimum(finer_by[side.row], 62)


def _dense(side: _Side, index: Numbers, rows: int) -> Floats:
    if not len(index):
        return np.zeros((rows, 0))
    width = int(index.max() - index.min()) + 1
    cell = side.row * width + (index - index.min())
    counts = np.bincount(cell, weights=side.count, minlength=rows * width)
    return counts.astype(np.float64).reshape(rows, width)
