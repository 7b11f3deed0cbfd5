"""Finds services and operations whose 95th percentile is above the threshold and far above their own normal.

"The p95 is above L" is the same as "more than 5 % of the requests take longer than L", and that is a share: it is
tested exactly as an error rate is (see ``share``), so ten slow requests in a row are enough and two are not.
A slow service makes its callers slow too. Each of them may be found; ``root_cause`` says where it began.
"""

from homeostat.core.config import LatencyConfig
from homeostat.core.models import Evidence, IssueType, Severity
from homeostat.core.ports import RedReader
from homeostat.core.red import RedPoint
from homeostat.detect.baseline import Baselines, Past, slow_requests
from homeostat.detect.red_detector import Judged, RedDetector
from homeostat.detect.share import ShareTest
from homeostat.detect.windows import Key

SIGNAL = "latency_p95_ms"
SLOW_SHARE = 0.05  # of the requests, above a 95th percentile
SURELY_BELOW = 2 * SLOW_SHARE
"""To close, the p95 must be below its limit, and the p90 surely so. Were the p95 itself to be surely below, a service
with 4 % of slow requests would never close, though by its p95 it is well: the hysteresis is in the limit already."""
CONFIDENCE = 0.995  # one-sided, as the error rate's default


def slow_limit_ms(config: LatencyConfig, past: Past) -> float:
    """From what duration on a request is slow: the threshold or ``ratio`` x the baseline, whichever is longer."""
    baseline = past.baseline_p95_ms
    return config.threshold_ms if baseline is None else max(config.threshold_ms, config.ratio * baseline)


def close_limit_ms(config: LatencyConfig, past: Past) -> float:
    """Below this an issue may close: the opening limit scaled by ``close_ratio / ratio``."""
    return slow_limit_ms(config, past) * min(1.0, config.close_ratio / config.ratio)


def latency_detector(red: RedReader, baselines: Baselines, config: LatencyConfig) -> RedDetector:
    """The detector of high latency."""
    test = ShareTest(
        threshold=SLOW_SHARE,
        close_at=SLOW_SHARE,
        confidence=CONFIDENCE,
        min_requests=config.min_requests,
        surely_below=SURELY_BELOW,
    )
    return RedDetector(red, baselines, test, _Latency(config, test, baselines))


class _Latency:
    """A bad request is one that took longer than the limit."""

    detector = "latency"
    type = IssueType.HIGH_LATENCY

    def __init__(self, config: LatencyConfig, test: ShareTest, baselines: Baselines) -> None:
        self._config = config
        self._test = test
        self._baselines = baselines

    def hits(self, key: Key, point: RedPoint) -> int:
        """Requests slower than the opening limit."""
        return slow_requests(point, slow_limit_ms(self._config, self._baselines.of(key)))

    def close_hits(self, key: Key, point: RedPoint) -> int:
        """Requests slower than the closing limit."""
        return slow_requests(point, close_limit_ms(self._config, self._baselines.of(key)))

    def can_judge(self, past: Past) -> bool:
        """A service that has just appeared is starting: caches are cold, connections are being made."""
        return not past.is_new

    def past_hits(self, past: Past) -> float:
        """Slow requests of the past."""
        return past.slow

    def severity(self, judged: Judged) -> Severity:
        """By multiples of the limit: ten and more is critical, two and more high."""
        limit = slow_limit_ms(self._config, self._baselines.of(judged.key))
        multiple = (judged.point.quantile_ms(0.95) or 0.0) / limit
        return Severity.CRITICAL if multiple >= 10 else Severity.HIGH if multiple >= 2 else Severity.MEDIUM

    def bad_evidence(self, judged: Judged, lower_bound: float) -> Evidence:
        """The percentile, the limit and how many requests were beyond it."""
        past = self._baselines.of(judged.key)
        limit, p95 = slow_limit_ms(self._config, past), judged.point.quantile_ms(0.95)
        baseline = past.baseline_p95_ms
        usual = "" if baseline is None else f"; its usual p95 is {baseline:.0f} ms"
        confidence = self._test.confidence_of(judged.reason)
        return Evidence(
            signal=SIGNAL,
            observed=p95,
            threshold=limit,
            unit="ms",
            sample_size=judged.point.requests,
            window_s=judged.window_s,
            baseline=baseline,
            operation=judged.key[1],
            detail=f"{judged.hits} of {judged.point.requests} requests within {judged.window_s} s took longer than "
            f"{limit:.0f} ms; with {confidence:.2%} confidence at least {lower_bound:.1%} do, "
            f"so the p95 is above it{usual}.",
        )

    def other_evidence(self, key: Key, point: RedPoint | None, window_s: int) -> Evidence:
        """What is there to see when it is not bad."""
        past = self._baselines.of(key)
        p95 = None if point is None else point.quantile_ms(0.95)
        return Evidence(
            signal=SIGNAL,
            observed=p95,
            threshold=slow_limit_ms(self._config, past),
            unit="ms",
            sample_size=0 if point is None else point.requests,
            window_s=window_s,
            baseline=past.baseline_p95_ms,
            detail="Not enough requests to say."
            if p95 is None
            else f"p95 {p95:.0f} ms over {window_s} s; below {close_limit_ms(self._config, past):.0f} ms is good.",
        )
