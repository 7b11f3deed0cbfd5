"""RED: rate, errors and duration of a service or an operation over a window, folded from every span."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

import numpy as np
import numpy.typing as npt

HISTOGRAM_BUCKETS = 224
"""Number of exponential buckets. Bucket ``i`` holds durations in (2^((i-1)/8), 2^(i/8)] microseconds; the first
holds whatever is shorter, the last (from 4 minutes on) whatever is longer."""

BUCKETS_PER_OCTAVE = 8
"""OpenTelemetry's exponential histogram at scale 3: a relative error of at most 4.5 %."""


def bucket_upper_ms(index: int) -> float:
    """Upper edge of a bucket in milliseconds."""
    return 2.0 ** (index / BUCKETS_PER_OCTAVE) / 1000.0


_EDGES_MS: Final = tuple(bucket_upper_ms(index) for index in range(HISTOGRAM_BUCKETS))


def share_within(threshold_ms: float) -> npt.NDArray[np.float64]:
    """Which share of each bucket's requests takes at most so long: one number a bucket, 0..1.

    Linear within the bucket that the threshold lies in, as Prometheus' ``histogram_quantile`` has it; a bucket spans
    9 % of the duration, so the share of all requests is wrong by at most what lies in that one bucket. The last one
    has no upper edge: what is in it is slower than any threshold.
    """
    index = bisect_left(_EDGES_MS, threshold_ms)
    shares = np.zeros(HISTOGRAM_BUCKETS)
    shares[: min(index, HISTOGRAM_BUCKETS - 1)] = 1.0
    if index < HISTOGRAM_BUCKETS - 1:
        lower = _EDGES_MS[index - 1] if index else 0.0
        shares[index] = (threshold_ms - lower) / (_EDGES_MS[index] - lower)
    return shares


def quantiles_ms(histogram: Sequence[int], shares: Sequence[float]) -> list[float | None]:
    """Durations below which each share (0..1) of the requests lies: upper edges of buckets; None without requests."""
    running = list(accumulate(histogram))
    total = running[-1] if running else 0
    if not total:
        return [None] * len(shares)
    # At least the first request: a share of 0 is the smallest duration, not the first (empty) bucket.
    return [bucket_upper_ms(bisect_left(running, max(share * total, 1))) for share in shares]


SLOW_ONLY: Final = "homeostat.slow_only"
"""The instrumentation scope of spans of which only the slow ones are told (a server's slow statements): neither how
many there are nor how quick they are can be known from them."""


@dataclass(frozen=True, slots=True)
class RedPoint:
    """What one service (or one operation of it) did in ``[start_s, end_s)``, Unix seconds.

    ``requests``, ``errors``, ``duration_sum_ms`` and ``histogram`` count the spans that serve somebody:
    kind server or consumer, or the root of a trace, which is work that begins by itself (a person's journey, a job).
    Spans of the scope ``SLOW_ONLY`` count nowhere. ``downstream_*`` count the service's client and producer
    spans: an error or a millisecond in them was caused further down.
    """

    service: str
    operation: str | None
    start_s: int
    end_s: int
    requests: int = 0
    errors: int = 0
    duration_sum_ms: float = 0.0
    downstream_requests: int = 0
    downstream_errors: int = 0
    downstream_duration_sum_ms: float = 0.0
    histogram: tuple[int, ...] = field(default=(), repr=False)

    @property
    def error_rate(self) -> float | None:
        """Errors per request, 0..1; None without requests."""
        return self.errors / self.requests if self.requests else None

    @property
    def mean_ms(self) -> float | None:
        """Mean duration; None without requests."""
        return self.duration_sum_ms / self.requests if self.requests else None

    @property
    def self_errors(self) -> int:
        """Errors that began in this service: those of it less those it was handed from below."""
        return max(0, self.errors - self.downstream_errors)

    @property
    def self_duration_sum_ms(self) -> float:
        """Time spent in this service itself, not waiting for another."""
        return max(0.0, self.duration_sum_ms - self.downstream_duration_sum_ms)

    def quantile_ms(self, q: float) -> float | None:
        """Duration below which the share ``q`` of the requests lies (upper edge of its bucket)."""
        return quantiles_ms(self.histogram, (q,))[0]


@dataclass(frozen=True, slots=True)
class RedReach:
    """How far back the rollups are whole, and how finely, in Unix seconds."""

    known_from_s: int | None
    """Before it nobody counted, or not all was restored: no requests there means nothing. None before the first."""

    seconds_from_s: int
    """Before it only whole minutes are kept: a shorter step would get all of a minute or nothing."""

    gaps: tuple[tuple[int, int], ...] = ()
    """Stretches ``[from, to)`` since ``known_from_s`` in which nobody counted, oldest first: no requests there means
    nothing."""

    def known_s(self, start_s: float, end_s: float) -> float:
        """For how many seconds of ``[start_s, end_s)`` there was somebody counting."""
        if self.known_from_s is None:
            return 0.0
        start_s = max(start_s, self.known_from_s)
        missing = sum(max(0.0, min(to, end_s) - max(since, start_s)) for since, to in self.gaps)
        return max(0.0, end_s - start_s - missing)


@dataclass(frozen=True, slots=True)
class Edge:
    """Calls from one service to another in a window."""

    caller: str
    callee: str
    requests: int
    errors: int
    duration_sum_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class RedMinutes:
    """Whole minutes of one service (or one operation of it), as columns; minutes without a request are left out.

    All arrays have one row per minute, oldest first; ``histogram`` has the shape ``(minutes, HISTOGRAM_BUCKETS)``,
    or ``(minutes, 0)`` where nobody asked for it. ``within``: requests that took at most as long as was asked for
    (see ``share_within``); no rows where nobody asked.
    """

    service: str
    operation: str | None
    start_s: npt.NDArray[np.int64]  # Unix second in which the minute begins
    requests: npt.NDArray[np.int64]
    errors: npt.NDArray[np.int64]
    duration_sum_ms: npt.NDArray[np.float64]
    histogram: npt.NDArray[np.int32]
    within: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
