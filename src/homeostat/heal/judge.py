"""Is a measured signal good, bad, or not known yet? Pure functions; ``verify`` and ``treatment`` call them.

Good is what would let detection close the issue (``detect.share``): below the closing limit, and surely below the
opening one. Shares are judged by exact bounds, not by a bare ratio: 0 errors in 5 requests prove nothing.
"""

from dataclasses import dataclass
from enum import StrEnum

from homeostat.core.binomial import is_above, is_below
from homeostat.core.config import DetectConfig, LatencyConfig
from homeostat.core.models import Signal

GOOD_ALPHA = 0.05
"""A signal is called good with 95 % confidence, as detection does before it closes an issue."""

BAD_ALPHA = 0.005
"""Calling a remedy useless takes more evidence, because undoing a good one costs an outage."""

P95_SAMPLES_MIN = 30
"""Were a fifth of all requests still slow, at most one slow one in thirty would be an accident of 1 %."""


class Word(StrEnum):
    """What a measurement says."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"  # no data, or not enough to say


@dataclass(frozen=True, slots=True)
class Judgement:
    """One word on one measurement, with its numbers."""

    word: Word
    value: float | None
    samples: int
    reason: str


@dataclass(frozen=True, slots=True)
class Opened:
    """What is known of the signal from the time when its issue opened: the value then, and the normal one."""

    observed: float | None
    baseline: float | None = None


def error_rate(signal: Signal, opened: Opened, config: DetectConfig) -> Judgement:
    """Good: below the closing threshold, and surely below the opening one or far below what opened the issue."""
    value, total = signal.value, signal.sample_size
    if value is None or total <= 0:
        return Judgement(Word.UNKNOWN, None, 0, "no requests")
    limits = config.error_rate
    threshold, hits = limits.threshold_percent / 100, round(value * total)
    said = f"{value:.1%} of {total} requests fail"
    surely_better = opened.observed is not None and is_below(hits, total, opened.observed / 2, GOOD_ALPHA)
    surely_good = is_below(hits, total, threshold, GOOD_ALPHA) or (total >= limits.min_requests and surely_better)
    if value <= _closing_share(config) and surely_good:
        return Judgement(Word.GOOD, value, total, said)
    if total >= limits.min_requests and is_above(hits, total, threshold, BAD_ALPHA):
        return Judgement(Word.BAD, value, total, said)
    if value > _closing_share(config) and total >= limits.min_requests:
        said += f", and its issue closes at {_closing_share(config):.1%}"
        return Judgement(Word.UNKNOWN, value, total, said)
    return Judgement(Word.UNKNOWN, value, total, f"{said}: too few to say")


def latency(signal: Signal, opened: Opened, config: DetectConfig) -> Judgement:
    """Good: the 95th percentile is below the closing limit over enough requests. Bad: above the opening one."""
    value, total = signal.value, signal.sample_size
    if value is None or total <= 0:
        return Judgement(Word.UNKNOWN, None, 0, "no requests")
    limits = config.latency
    limit = _slow_limit_ms(limits, opened)
    closing = _close_limit_ms(limits, opened)
    said = f"the 95th percentile of {total} requests is {value:.0f} ms"
    if value < closing and total >= P95_SAMPLES_MIN:
        return Judgement(Word.GOOD, value, total, said)
    if value >= limit and total >= limits.min_requests:
        return Judgement(Word.BAD, value, total, said)
    if value >= closing and total >= limits.min_requests:
        return Judgement(Word.UNKNOWN, value, total, f"{said}, and its issue closes below {closing:.0f} ms")
    return Judgement(Word.UNKNOWN, value, total, f"{said}: too few to say")


def leans_good(signal: Signal, opened: Opened, config: DetectConfig) -> bool | None:
    """Is what was measured, if not surely, on the closing side? None below ``min_requests``: nobody can tell.

    Nor can anybody of a signal that no remedy is judged by (a machine's pressure).
    """
    if signal.name == "cpu_pressure":
        return None
    errors, value = signal.name == "error_rate", signal.value
    enough = config.error_rate.min_requests if errors else config.latency.min_requests
    if value is None or signal.sample_size < enough:
        return None
    return value <= _closing_share(config) if errors else value < _close_limit_ms(config.latency, opened)


def _closing_share(config: DetectConfig) -> float:
    """As ``detect.error_rate`` closes."""
    return min(config.error_rate.close_percent, config.error_rate.threshold_percent) / 100


def _slow_limit_ms(config: LatencyConfig, opened: Opened) -> float:
    """As ``detect.latency`` opens."""
    return max(config.threshold_ms, config.ratio * (opened.baseline or 0.0))


def _close_limit_ms(config: LatencyConfig, opened: Opened) -> float:
    """As ``detect.latency`` closes."""
    return _slow_limit_ms(config, opened) * min(1.0, config.close_ratio / config.ratio)
