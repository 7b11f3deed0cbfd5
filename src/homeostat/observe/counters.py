"""What has come in, counted. Written by the intake thread and the receivers, read by the API through the pipeline."""

import threading
from collections import Counter, deque
from collections.abc import Iterable
from typing import Final

from homeostat.core.models import IngestCounters
from homeostat.core.ports import Clock
from homeostat.observe.decode.traces import Outcome

_RATE_S: Final = 10.0
_POINTS_MAX: Final = 4096


class Counters:
    """Thread-safe. Reasons for refusal are a fixed, small set of words that the receivers use."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._requests = 0
        self._spans = 0
        self._refused: Counter[str] = Counter()
        self._started = clock.monotonic()
        self._recent: deque[tuple[float, int]] = deque(maxlen=_POINTS_MAX)  # (monotonic, spans)

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Count acknowledged requests, and spans that can't be. Whole requests that are refused: ``refuse``."""
        with self._lock:
            spans = 0
            for outcome in outcomes:
                if outcome.error is not None:
                    continue
                self._requests += 1
                spans += outcome.accepted
                if outcome.rejected:
                    self._refused["invalid_span"] += outcome.rejected
            self._spans += spans
            self._recent.append((self._clock.monotonic(), spans))

    def refuse(self, reason: str, count: int = 1) -> None:
        """Count a request that was refused as a whole (or, where the reason says so, single spans)."""
        with self._lock:
            self._refused[reason] += count

    def snapshot(self, *, stored: int, services: int) -> IngestCounters:
        """All numbers now."""
        with self._lock:
            now = self._clock.monotonic()
            while self._recent and self._recent[0][0] < now - _RATE_S:
                self._recent.popleft()
            spans = sum(count for _, count in self._recent)
            return IngestCounters(
                requests=self._requests,
                spans_received=self._spans,
                spans_stored=stored,
                spans_per_s=spans / _RATE_S if now - self._started >= _RATE_S else None,
                refused=dict(self._refused),
                services=services,
            )
