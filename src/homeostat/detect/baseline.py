"""What is normal for each service and operation, learned from its own good past. Both RED detectors use it.

Normal is learned in intervals of ``INTERVAL_S``, and only once an interval is ``GUARD_S`` old: a fault is found
within that time, and an interval in which its service was bad is not learned. What was learned fades with a
half-life of about five minutes. After a restart the past is read again from the rollups.
"""

import math
import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache

from homeostat.core.ports import RedReader
from homeostat.core.red import BUCKETS_PER_OCTAVE, RedPoint
from homeostat.detect.windows import Key, read_points

INTERVAL_S = 5
GUARD_S = 10
HISTORY_INTERVALS = 60  # five minutes are read again after a restart
WARM_UP_INTERVALS = 6  # a latency baseline speaks from half a minute on
MIN_INTERVAL_REQUESTS = 20  # a p95 of fewer is not a p95
FADE = 0.5 ** (INTERVAL_S / 300.0)
FLOOR_MS = 1.0  # no baseline is below this: the clock and the histogram know nothing finer
SERIES_MAX = 5_000  # as many as are remembered; a series beyond it is judged without a past


def slow_requests(point: RedPoint, limit_ms: float) -> int:
    """How many requests took longer than ``limit_ms``, to the bucket: those whose bucket's upper edge is above it.

    Consistent with ``RedPoint.quantile_ms``: its p95 is above the limit exactly when more than 5 % are slow.
    """
    return sum(point.histogram[min(_first_slow_bucket(limit_ms), len(point.histogram) - 1) :])


@lru_cache(maxsize=4 * 5_000)
def _first_slow_bucket(limit_ms: float) -> int:
    return math.floor(BUCKETS_PER_OCTAVE * math.log2(limit_ms * 1000.0)) + 1


@dataclass(slots=True)
class Past:
    """The good past of one series. Counts fade and are therefore not whole numbers."""

    requests: float = 0.0
    errors: float = 0.0
    slow: float = 0.0
    self_ms: float = 0.0  # sum of self time over ``requests``
    total_ms: float = 0.0  # sum of durations over ``requests``
    calls: float = 0.0  # requests that it sent
    door_ms: float = 0.0  # what it waited for them longer than those it called say that they took, over ``calls``
    p95_ms: deque[float] = field(default_factory=lambda: deque[float](maxlen=HISTORY_INTERVALS))
    waiting: list[RedPoint] = field(default_factory=list[RedPoint])  # too few requests for a p95 of their own yet
    baseline_p95_ms: float | None = None
    """Median of the intervals' p95: one bad interval that slipped in does not move it. None before warm-up."""

    @property
    def is_new(self) -> bool:
        """Whether nothing that is ``GUARD_S`` old has been seen of it, neither good nor bad."""
        return not (self.requests or self.p95_ms or self.waiting)

    @property
    def mean_ms(self) -> float | None:
        """Mean duration; None without requests."""
        return self.total_ms / self.requests if self.requests else None

    @property
    def mean_self_ms(self) -> float | None:
        """Mean time of its own; None without requests."""
        return self.self_ms / self.requests if self.requests else None

    @property
    def mean_door_ms(self) -> float:
        """Mean time at the door of what it calls, for a call; 0 where it calls nobody."""
        return self.door_ms / self.calls if self.calls else 0.0

    def fade(self) -> None:
        """Let one interval pass."""
        self.requests *= FADE
        self.errors *= FADE
        self.slow *= FADE
        self.self_ms *= FADE
        self.total_ms *= FADE
        self.calls *= FADE
        self.door_ms *= FADE

    def learn(self, point: RedPoint, slow: int, *, good: bool, at_doors_ms: float = 0.0) -> None:
        """Add one interval. Of one that was not ``good`` only the p95 is kept, and only until there is a baseline.

        A service without a baseline may be slow by nature: with nothing learned it would be called bad for ever.
        If it is ill instead, its good times will outvote these intervals.
        """
        if good:
            self.requests += point.requests
            self.errors += point.errors
            self.slow += slow
            self.self_ms += point.self_duration_sum_ms
            self.total_ms += point.duration_sum_ms
            self.calls += point.downstream_requests
            self.door_ms += at_doors_ms
        elif self.baseline_p95_ms is not None:
            return
        self.waiting.append(point)
        if sum(waiting.requests for waiting in self.waiting) >= MIN_INTERVAL_REQUESTS:
            p95 = _merged(self.waiting).quantile_ms(0.95)
            if p95 is not None:
                self.p95_ms.append(p95)
            if len(self.p95_ms) >= WARM_UP_INTERVALS:
                self.baseline_p95_ms = max(FLOOR_MS, statistics.median(self.p95_ms))
            self.waiting.clear()


def _merged(points: list[RedPoint]) -> RedPoint:
    """The durations of several intervals of one series as one."""
    first, last = points[0], points[-1]
    if len(points) == 1:
        return first
    counts = tuple(sum(column) for column in zip(*(point.histogram for point in points), strict=False))
    return replace(first, end_s=last.end_s, histogram=counts)


class Baselines:
    """The past of every series. ``slow_limit_ms`` says from what duration on a request of a series is slow."""

    def __init__(self, red: RedReader, slow_limit_ms: Callable[[Past], float]) -> None:
        self._red = red
        self._slow_limit_ms = slow_limit_ms
        self._past: dict[Key, Past] = {}
        self._learned_to_s: int | None = None
        self._bad_s: dict[str, tuple[int, int]] = {}

    def of(self, key: Key) -> Past:
        """What is known of a series; an empty past for one never seen."""
        return self._past.get(key) or Past()

    def limit_ms(self, key: Key) -> float:
        """From what duration on a request of this series is slow now."""
        return self._slow_limit_ms(self.of(key))

    def mark_bad(self, service: str, from_s: int, to_s: int) -> None:
        """The service was bad in ``[from_s, to_s]``, Unix seconds: what overlaps it is not learned."""
        known = self._bad_s.get(service)
        if known is not None and known[1] >= from_s:
            from_s, to_s = min(from_s, known[0]), max(to_s, known[1])
        self._bad_s[service] = (from_s, to_s)

    def learn(self, now_s: int) -> None:
        """Learn every interval that has become old enough; the first call reads the last five minutes again."""
        newest_s = (now_s - GUARD_S) // INTERVAL_S * INTERVAL_S
        if self._learned_to_s is None or newest_s - self._learned_to_s > HISTORY_INTERVALS * INTERVAL_S:
            self._learned_to_s = newest_s - HISTORY_INTERVALS * INTERVAL_S
        while self._learned_to_s < newest_s:
            self._learn_interval(self._learned_to_s)
            self._learned_to_s += INTERVAL_S

    def _learn_interval(self, start_s: int) -> None:
        for past in self._past.values():
            past.fade()
        admitted: dict[str, float] = {}
        for edge in self._red.edges(start_s, start_s + INTERVAL_S):
            if edge.caller != edge.callee:
                admitted[edge.caller] = admitted.get(edge.caller, 0.0) + edge.duration_sum_ms
        for key, point in read_points(self._red, start_s, start_s + INTERVAL_S).items():
            past = self._past.get(key)
            if past is None:
                if len(self._past) >= SERIES_MAX:
                    continue
                past = self._past[key] = Past()
            bad = self._bad_s.get(key[0])
            good = bad is None or start_s > bad[1] or start_s + INTERVAL_S <= bad[0]
            at_doors_ms = max(0.0, point.downstream_duration_sum_ms - admitted.get(key[0], 0.0))
            past.learn(point, slow_requests(point, self._slow_limit_ms(past)), good=good, at_doors_ms=at_doors_ms)
