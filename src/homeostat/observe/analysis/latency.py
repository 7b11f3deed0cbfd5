"""Percentiles and heat map over time, from the rollups: exact counts of every request, whatever was sampled."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from homeostat.core.analysis import Bucket, Latency, LatencyPoint
from homeostat.core.red import HISTOGRAM_BUCKETS, RedMinutes, RedPoint, RedReach, bucket_upper_ms

QUANTILES = (0.50, 0.95, 0.99)
FINE_PER_ROW = 4
"""Buckets of the rollups in a row of the heat map: two rows for each doubling of the duration."""

Counts = npt.NDArray[np.int64]


def columns_of(points: Sequence[RedPoint]) -> RedMinutes:
    """Points of a service (of any step) in the shape of minutes."""
    histograms = [point.histogram or (0,) * HISTOGRAM_BUCKETS for point in points]
    return RedMinutes(
        service=points[0].service if points else "",
        operation=points[0].operation if points else None,
        start_s=np.array([point.start_s for point in points], dtype=np.int64),
        requests=np.array([point.requests for point in points], dtype=np.int64),
        errors=np.array([point.errors for point in points], dtype=np.int64),
        duration_sum_ms=np.array([point.duration_sum_ms for point in points], dtype=np.float64),
        histogram=np.array(histograms, dtype=np.int32).reshape(len(points), HISTOGRAM_BUCKETS),
    )


def latency(
    rows: RedMinutes, *, service: str, operation: str | None, start_s: int, end_s: int, step_s: int, reach: RedReach
) -> Latency:
    """One point per step of ``[start_s, end_s)``. Steps of which nobody counted any second are unknown."""
    steps = max(0, -(-(end_s - start_s) // step_s))
    step_of = (rows.start_s - start_s) // step_s
    inside = (step_of >= 0) & (step_of < steps)
    place = step_of[inside]
    requests = _by_step(rows.requests[inside], place, steps)
    errors = _by_step(rows.errors[inside], place, steps)
    histogram = _by_step(rows.histogram[inside], place, steps)
    quantiles = _quantiles_ms(histogram)
    buckets, counts = _heat(histogram)
    points = tuple(
        LatencyPoint(
            time=datetime.fromtimestamp(at, UTC),
            requests=int(requests[index]),
            errors=int(errors[index]),
            p50_ms=quantiles[index][0],
            p95_ms=quantiles[index][1],
            p99_ms=quantiles[index][2],
            counts=tuple(counts[index].tolist()),
        )
        if reach.known_s(at := start_s + index * step_s, at + step_s) > 0
        else _unknown(at)
        for index in range(steps)
    )
    return Latency(service=service, operation=operation, step_s=step_s, buckets=buckets, points=points)


def _by_step(values: Counts | npt.NDArray[np.int32], place: Counts, steps: int) -> Counts:
    """Rows added up by the step that each belongs to; they come in order of time."""
    sums = np.zeros((steps, *values.shape[1:]), np.int64)
    if len(place):
        heads = np.flatnonzero(np.append(True, place[1:] != place[:-1]))
        sums[place[heads]] = np.add.reduceat(values, heads, axis=0)
    return sums


def _unknown(start_s: int) -> LatencyPoint:
    return LatencyPoint(
        time=datetime.fromtimestamp(start_s, UTC),
        requests=None,
        errors=None,
        p50_ms=None,
        p95_ms=None,
        p99_ms=None,
        counts=None,
    )


def _quantiles_ms(histogram: Counts) -> list[tuple[float | None, ...]]:
    """Upper edges of the buckets in which each quantile of each row lies, as ``core.red.quantiles_ms`` reads them."""
    running = histogram.cumsum(axis=1)
    totals = running[:, -1] if len(running) else np.zeros(0, np.int64)
    found: list[list[float | None]] = [[] for _ in range(len(totals))]
    for share in QUANTILES:
        wanted = np.maximum(share * totals, 1)
        index = (running < wanted[:, None]).sum(axis=1)
        for row, (total, at) in enumerate(zip(totals.tolist(), index.tolist(), strict=True)):
            found[row].append(bucket_upper_ms(at) if total else None)
    return [tuple(row) for row in found]


def _heat(histogram: Counts) -> tuple[tuple[Bucket, ...], Counts]:
    """Rows of the heat map between the shortest and the longest that occurred, and the counts of each step."""
    coarse = (np.arange(HISTOGRAM_BUCKETS) + FINE_PER_ROW - 1) // FINE_PER_ROW
    heads = np.flatnonzero(np.append(True, coarse[1:] != coarse[:-1]))
    counts = np.add.reduceat(histogram, heads, axis=1)
    used = np.flatnonzero(counts.sum(axis=0))
    if not len(used):
        return (), counts[:, :0]
    first, last = int(used[0]), int(used[-1])
    buckets = tuple(_bucket(row, is_last=row == int(coarse[-1])) for row in range(first, last + 1))
    return buckets, counts[:, first : last + 1]


def _bucket(row: int, *, is_last: bool) -> Bucket:
    lower = bucket_upper_ms((row - 1) * FINE_PER_ROW) if row else 0.0
    return Bucket(lower_ms=lower, upper_ms=None if is_last else bucket_upper_ms(row * FINE_PER_ROW))
