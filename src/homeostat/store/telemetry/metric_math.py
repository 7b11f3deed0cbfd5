"""Arithmetic of metric points: increases that are aware of resets, shares of steps, quantiles of histograms.

Pure and vectorised; called by ``metric_series``. Points come sorted by series and time; times are Unix ns.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SPREAD_MAX_NS: Final = 300 * 10**9
"""An increase over a longer time (Prometheus' look-back) is not spread over it: who knows where it was."""


@dataclass(frozen=True, slots=True)
class Growth:
    """When what was counted was added. One row for each point; not ``known``: nothing can be said."""

    start: Numbers
    stop: Numbers
    known: Mask
    reset: Mask  # the count began anew: the point's own value is the increase; else that less the previous one


def growth(series: Numbers, times: Numbers, starts: Numbers, totals: Floats, delta: Mask, from_ns: int) -> Growth:
    """What each point says of the time before it.

    ``totals`` is what must never fall within a series (a sum's value, a histogram's count), ``delta`` whose points
    stand for themselves. A cumulative point that is the first of its series counts from its start time on, if that
    is not before ``from_ns``: points before it were not read. (OpenTelemetry metrics data model, "Resets and gaps".)
    """
    first = np.ones(len(series), dtype=np.bool_)
    first[1:] = series[1:] != series[:-1]
    previous = np.maximum(np.arange(len(series)) - 1, 0)
    has_start = (starts > 0) & (starts < times)
    began_anew = (totals < totals[previous]) | (
        has_start & (starts >= times[previous]) & (starts != starts[previous])
    )
    reset = delta | first | began_anew
    start = np.where(first, times, times[previous])
    start = np.where(has_start & reset, np.where(delta | first, starts, np.maximum(starts, start)), start)
    known = delta | ~first | (has_start & (starts >= from_ns))
    return Growth(np.minimum(start, times), times, known, reset)


def increases(values: Floats, of: Growth) -> Floats:
    """What each point adds; ``values`` has the shape ``(points,)`` or ``(points, buckets)``."""
    previous = np.maximum(np.arange(len(values)) - 1, 0)
    reset = of.reset if values.ndim == 1 else of.reset[:, None]
    added = values - np.where(reset, 0.0, values[previous])
    return np.maximum(added, 0.0) if values.ndim > 1 else added


@dataclass(frozen=True, slots=True)
class Shares:
    """Which share of which point's increase falls into which step."""

    point: Numbers
    step: Numbers
    share: Floats
    seconds: Floats  # how long the point covers the step


def shares(of: Growth, begin_ns: int, step_ns: int, end_ns: int) -> Shares:
    """Spread increases evenly over the time that they took; those of an unknown moment lie where the point is."""
    longest = max(SPREAD_MAX_NS, 2 * step_ns)
    start = np.where(of.stop - of.start > longest, of.stop - step_ns, of.start)
    which = np.flatnonzero(of.known & (of.stop > begin_ns) & (start < end_ns))
    start, stop = start[which], of.stop[which]
    first = np.maximum((start - begin_ns) // step_ns, 0)
    last = (np.minimum(np.maximum(stop - 1, start), end_ns - 1) - begin_ns) // step_ns
    count = np.maximum(last - first + 1, 0)
    point = np.repeat(np.arange(len(which)), count)
    step = np.arange(len(point)) - np.repeat(np.cumsum(count) - count, count) + first[point]
    left = np.maximum(start[point], begin_ns + step * step_ns)
    right = np.minimum(np.minimum(stop[point], end_ns), begin_ns + (step + 1) * step_ns)
    length = (stop - start)[point]
    share = np.where(length > 0, (right - left) / np.maximum(length, 1), 1.0)
    seconds = np.where(length > 0, (right - left) / 1e9, step_ns / 1e9)
    return Shares(which[point], step, share, seconds)


def histogram_quantile(q: float, bounds: Floats, counts: Floats) -> Floats:
    """Prometheus' ``histogram_quantile`` for many histograms at once.

    ``bounds``: ascending upper edges, shape ``(n,)``; ``counts``: per bucket, the last one without an edge, shape
    ``(histograms, n + 1)``. Linear within the bucket, from 0 on for the first if its edge is positive; beyond the
    last edge it is that edge. NaN where nothing was counted.
    """
    cumulative = np.cumsum(counts, axis=1)
    total = cumulative[:, -1]
    answer = np.full(len(counts), np.nan)
    there = total > 0
    if not len(bounds) or not there.any():
        return answer
    cumulative = cumulative[there]
    rank = q * total[there]
    at = np.minimum((cumulative < rank[:, None]).sum(axis=1), len(bounds))
    lower_edges = np.concatenate([[min(0.0, float(bounds[0]))], bounds])
    rows = np.arange(len(at))
    before = np.where(at > 0, cumulative[rows, np.maximum(at - 1, 0)], 0.0)
    inside = np.minimum(at, len(bounds) - 1)
    width = bounds[inside] - lower_edges[inside]
    share = (rank - before) / np.maximum(counts[there][rows, at], 1e-300)
    value = lower_edges[inside] + width * np.clip(share, 0.0, 1.0)
    value = np.where((at == 0) & (bounds[0] <= 0), bounds[0], value)
    answer[there] = np.where(at == len(bounds), bounds[-1], value)
    return answer


def exponential_quantile(q: float, lower: Floats, upper: Floats, counts: Floats) -> Floats:
    """The quantile of exponential histograms: geometric within a bucket, linear within the one around zero.

    ``lower`` and ``upper``: the buckets' edges, ascending, shape ``(n,)``; ``counts``: shape ``(histograms, n)``.
    (Prometheus, native histograms, "Interpolation within a bucket".)
    """
    cumulative = np.cumsum(counts, axis=1)
    answer = np.full(len(counts), np.nan)
    there = cumulative[:, -1] > 0 if counts.shape[1] else np.zeros(len(counts), np.bool_)
    if not there.any():
        return answer
    cumulative = cumulative[there]
    rank = q * cumulative[:, -1]
    at = np.minimum((cumulative < rank[:, None]).sum(axis=1), len(upper) - 1)
    rows = np.arange(len(at))
    inside = counts[there][rows, at]
    share = np.clip((rank - (cumulative[rows, at] - inside)) / np.maximum(inside, 1e-300), 0.0, 1.0)
    low, high = lower[at], upper[at]
    same_sign = low * high > 0
    size_low, size_high = np.abs(np.where(same_sign, low, 1.0)), np.abs(np.where(same_sign, high, 1.0))
    with np.errstate(invalid="ignore", over="ignore"):  # edges may be infinite
        geometric = np.sign(low) * size_low * (size_high / size_low) ** share
        answer[there] = np.where(same_sign, geometric, low + (high - low) * share)
    return answer
