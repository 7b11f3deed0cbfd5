"""When the loop last completed a look, so that the API need not take it for granted. ``app`` makes one for both."""

from datetime import timedelta

STALE_AFTER_S = 10.0
"""Without a look for this long the loop hangs."""

LOOKS_MISSED_MAX = 3
"""Where the loop is configured to look seldom, it hangs after this many times its interval."""


class Heartbeat:
    """``loop`` beats after each look whose findings are on record; the API asks. Times are monotonic seconds."""

    def __init__(self, interval: timedelta = timedelta(0)) -> None:
        self._last: float | None = None
        self._stale_after_s = max(STALE_AFTER_S, LOOKS_MISSED_MAX * interval.total_seconds())

    def beat(self, now: float) -> None:
        """A look is complete."""
        self._last = now

    def problem(self, now: float) -> str | None:
        """What is wrong with the loop, for a person; None while it looks."""
        if self._last is None:
            return "The loop has not completed its first look yet."
        silent_s = now - self._last
        if silent_s < self._stale_after_s:
            return None
        return f"The loop has completed no look for {silent_s:.0f} s: nothing is detected or healed. See the log."
