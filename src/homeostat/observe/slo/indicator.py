"""From RED to good and bad events: requests with errors, or slower than a threshold. Used by ``sources``."""

from bisect import bisect_left

import numpy as np
import numpy.typing as npt

from homeostat.core.red import HISTOGRAM_BUCKETS, RedMinutes, RedPoint, bucket_upper_ms
from homeostat.core.slo import Sli, SliKind
from homeostat.observe.slo.minutes import MinuteCounts

_EDGES_MS = tuple(bucket_upper_ms(index) for index in range(HISTOGRAM_BUCKETS))


def fast_share(threshold_ms: float) -> tuple[int, float]:
    """Which bucket a threshold lies in, and what share of that bucket's requests is not slower.

    Linear within the bucket, as Prometheus' ``histogram_quantile`` has it; the bucket spans 9 % of the duration, so
    the share of all requests is wrong by at most what lies in that one bucket. The last bucket has no upper edge:
    what is in it is slower than any threshold that reaches it.
    """
    index = bisect_left(_EDGES_MS, threshold_ms)
    if index >= HISTOGRAM_BUCKETS - 1:
        return HISTOGRAM_BUCKETS - 1, 0.0
    lower = _EDGES_MS[index - 1] if index else 0.0
    return index, (threshold_ms - lower) / (_EDGES_MS[index] - lower)


def red_minutes(sli: Sli, minutes: RedMinutes) -> MinuteCounts:
    """Events of each minute."""
    total = minutes.requests.astype(np.float64)
    if sli.kind is SliKind.LATENCY and sli.threshold_ms is not None:
        bad = np.maximum(0.0, total - _fast(minutes.histogram, sli.threshold_ms))
    else:
        bad = minutes.errors.astype(np.float64)
    return MinuteCounts(minutes.start_s, bad, total)


def red_point(sli: Sli, point: RedPoint, minute_s: int) -> MinuteCounts:
    """Events of the minute that has only begun, out of a reading of its first seconds."""
    total = float(point.requests)
    if sli.kind is SliKind.LATENCY and sli.threshold_ms is not None:
        histogram = np.asarray(point.histogram or (0,) * HISTOGRAM_BUCKETS, np.int64)
        bad = max(0.0, total - float(_fast(histogram[np.newaxis, :], sli.threshold_ms)[0]))
    else:
        bad = float(point.errors)
    return MinuteCounts(np.array([minute_s], np.int64), np.array([bad]), np.array([total]))


def _fast(histogram: npt.NDArray[np.int64] | npt.NDArray[np.int32], threshold_ms: float) -> npt.NDArray[np.float64]:
    """Requests not slower than the threshold, per row."""
    index, share = fast_share(threshold_ms)
    return histogram[:, :index].sum(axis=1, dtype=np.int64) + histogram[:, index] * share
