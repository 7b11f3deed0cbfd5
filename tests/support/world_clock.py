"""A clock that a test turns by hand."""

from datetime import UTC, datetime, timedelta


class HandClock:
    """Starts at noon; ``pass_s`` moves both of its hands."""

    def __init__(self) -> None:
        self._start = datetime(2026, 1, 1, 12, tzinfo=UTC)
        self._passed_s = 0.0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._passed_s)

    def monotonic(self) -> float:
        return self._passed_s

    def pass_s(self, seconds: float) -> None:
        self._passed_s += seconds
