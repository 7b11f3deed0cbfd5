"""What has come in, counted. Written by intake threads and receivers, read by the API through the pipeline."""

import threading
from collections import Counter, deque
from collections.abc import Iterable
from typing import Final

from homeostat.core.models import IngestCounters
from homeostat.core.ports import Clock
from homeostat.observe.decode.traces import Outcome

_RATE_S: Final = 10.0
_POINTS_MAX: Final = 4096
_INVALID: Final = {"traces": "invalid_span", "metrics": "invalid_point", "logs": "invalid_log_record"}


class Counters:
    """Thread-safe. Reasons for refusal are a fixed, small set of words that the receivers use."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._requests = 0
        self._rows: Counter[str] = Counter()  # by lane
        self._refused: Counter[str] = Counter()
        self._repeated: Counter[str] = Counter()  # requests, by lane
        self._started = clock.monotonic()
        self._recent: deque[tuple[float, int]] = deque(maxlen=_POINTS_MAX)  # (monotonic, spans)

    def add(self, outcomes: Iterable[Outcome], lane: str) -> None:
        """Count acknowledged requests, and rows that can't be. Whole requests that are refused: ``refuse``."""
        with self._lock:
            rows = 0
            for outcome in outcomes:
                if outcome.error is not None:
                    continue
                self._requests += 1
                rows += outcome.accepted
                for reason, count in outcome.reasons:
                    self._refused[reason] += count
                if outcome.rejected and not outcome.reasons:
                    self._refused[_INVALID[lane]] += outcome.rejected
            self._rows[lane] += rows
            if lane == "traces":
                self._recent.append((self._clock.monotonic(), rows))

    def refuse(self, reason: str, count: int = 1) -> None:
        """Count a request that was refused as a whole (or, where the reason says so, single spans)."""
        with self._lock:
            self._refused[reason] += count

    def repeat(self, requests: int, lane: str) -> None:
        """Count requests that came again and were neither stored nor counted again."""
        with self._lock:
            self._repeated[lane] += requests

    def snapshot(self, *, stored: int, sampled_out: int, services: int, kept_undecided: int = 0) -> IngestCounters:
        """All numbers now."""
        with self._lock:
            now = self._clock.monotonic()
            while self._recent and self._recent[0][0] < now - _RATE_S:
                self._recent.popleft()
            spans = sum(count for _, count in self._recent)
            return IngestCounters(
                requests=self._requests,
                spans_received=self._rows["traces"],
                metric_points_received=self._rows["metrics"],
                log_records_received=self._rows["logs"],
                request_duplicates=dict(self._repeated),
                spans_stored=stored,
                spans_sampled_out=sampled_out,
                traces_kept_undecided=kept_undecided,
                spans_per_s=spans / _RATE_S if now - self._started >= _RATE_S else None,
                refused=dict(self._refused),
                services=services,
            )
