"""Finds services and operations that fail more often than the threshold, surely. See ``share`` for the test."""

from homeostat.core.config import ErrorRateConfig
from homeostat.core.models import Evidence, IssueType, Severity
from homeostat.core.ports import RedReader
from homeostat.core.red import RedPoint
from homeostat.detect.baseline import Baselines, Past
from homeostat.detect.red_detector import Judged, RedDetector
from homeostat.detect.share import ShareTest
from homeostat.detect.windows import Key

SIGNAL = "error_rate"


def error_rate_detector(red: RedReader, baselines: Baselines, config: ErrorRateConfig) -> RedDetector:
    """The detector of high error rates."""
    test = ShareTest(
        threshold=config.threshold_percent / 100.0,
        close_at=min(config.close_percent, config.threshold_percent) / 100.0,
        confidence=config.confidence,
        min_requests=config.min_requests,
    )
    return RedDetector(red, baselines, test, _ErrorRate(test, baselines))


class _ErrorRate:
    """A bad request is one that failed."""

    detector = "error_rate"
    type = IssueType.HIGH_ERROR_RATE

    def __init__(self, test: ShareTest, baselines: Baselines) -> None:
        self._test = test
        self._baselines = baselines

    def hits(self, key: Key, point: RedPoint) -> int:
        """Failed requests."""
        del key
        return point.errors

    close_hits = hits

    def can_judge(self, past: Past) -> bool:
        """An error is an error from the first second on."""
        del past
        return True

    def past_hits(self, past: Past) -> float:
        """Failed requests of the past."""
        return past.errors

    def severity(self, judged: Judged) -> Severity:
        """By multiples of the threshold: ten and more is critical, three and more high."""
        multiple = judged.share / self._test.threshold
        return Severity.CRITICAL if multiple >= 10 else Severity.HIGH if multiple >= 3 else Severity.MEDIUM

    def bad_evidence(self, judged: Judged, lower_bound: float) -> Evidence:
        """The counts, the bound and the past."""
        rate = judged.share
        confidence = self._test.confidence_of(judged.reason)
        past = self._past_rate(judged.key)
        before = "" if past is None else f"; {past:.2%} before"
        return Evidence(
            signal=SIGNAL,
            observed=rate,
            threshold=self._test.threshold,
            unit="ratio",
            sample_size=judged.point.requests,
            window_s=judged.window_s,
            lower_bound=lower_bound,
            baseline=past,
            operation=judged.key[1],
            detail=f"{judged.hits} of {judged.point.requests} requests failed within {judged.window_s} s "
            f"({rate:.1%}); with {confidence:.2%} confidence the rate is above {lower_bound:.1%}{before}.",
        )

    def other_evidence(self, key: Key, point: RedPoint | None, window_s: int) -> Evidence:
        """What is there to see when it is not bad."""
        return Evidence(
            signal=SIGNAL,
            observed=None if point is None else point.error_rate,
            threshold=self._test.threshold,
            unit="ratio",
            sample_size=0 if point is None else point.requests,
            window_s=window_s,
            baseline=self._past_rate(key),
            detail="Not enough requests to say."
            if point is None
            else f"{point.errors} of {point.requests} requests failed within {window_s} s.",
        )

    def _past_rate(self, key: Key) -> float | None:
        past = self._baselines.of(key)
        return past.errors / past.requests if past.requests >= 1 else None
