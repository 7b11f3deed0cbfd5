"""From RED to good and bad events: requests with errors, or slower than a threshold. Used by ``sources``."""

import numpy as np

from homeostat.core.red import HISTOGRAM_BUCKETS, RedMinutes, RedPoint, share_within
from homeostat.core.slo import Sli, SliKind
from homeostat.observe.slo.minutes import MinuteCounts


def within_ms(sli: Sli) -> float | None:
    """How long a good request may take; None: that does not matter."""
    return sli.threshold_ms if sli.kind is SliKind.LATENCY else None


def red_minutes(sli: Sli, minutes: RedMinutes) -> MinuteCounts:
    """Events of each minute; ``minutes`` asked for with ``within_ms``."""
    total = minutes.requests.astype(np.float64)
    if within_ms(sli) is None:
        return MinuteCounts(minutes.start_s, minutes.errors.astype(np.float64), total)
    return MinuteCounts(minutes.start_s, np.maximum(0.0, total - minutes.within), total)


def red_point(sli: Sli, point: RedPoint, minute_s: int) -> MinuteCounts:
    """Events of the minute that has only begun, out of a reading of its first seconds."""
    total = float(point.requests)
    threshold_ms = within_ms(sli)
    if threshold_ms is None:
        bad = float(point.errors)
    else:
        histogram = np.asarray(point.histogram or (0,) * HISTOGRAM_BUCKETS, np.int64)
        bad = max(0.0, total - float(histogram @ share_within(threshold_ms)))
    return MinuteCounts(np.array([minute_s], np.int64), np.array([bad]), np.array([total]))
