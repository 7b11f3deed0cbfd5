"""A token bucket: so many requests per second, with room for a second's worth at once.

Used by each service while ``rateLimitingEnabled`` is on.
"""

import math

from homeostat.core.ports import Clock


class TokenBucket:
    """Filled at ``per_second``, holding at most one second's worth (at least one token)."""

    def __init__(self, per_second: float, clock: Clock) -> None:
        self._per_second = per_second
        self._burst = max(1.0, per_second)
        self._clock = clock
        self._tokens = self._burst
        self._filled_at = clock.monotonic()

    def take(self) -> bool:
        """Take one token if there is one."""
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def retry_after_s(self) -> int:
        """Whole seconds until the next token, for ``Retry-After``; at least 1."""
        return max(1, math.ceil((1.0 - self._tokens) / self._per_second))
