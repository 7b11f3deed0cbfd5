"""A circuit breaker for calls to another service: 5 failures open it, 10 seconds later one call may try.

Used by a service for each service that it calls, while ``circuitBreakerEnabled`` is on.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from homeostat.core.ports import Clock

FAILURES_TO_OPEN = 5
OPEN_S = 10.0


class BreakerState(StrEnum):
    """CLOSED lets everything through, OPEN nothing, HALF_OPEN one call that decides."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


@dataclass(frozen=True, slots=True)
class BreakerView:
    """One breaker in the original's words; ``timeout_ms`` is how long it stays open."""

    service: str
    state: BreakerState
    failure_count: int
    last_failure: datetime | None
    threshold: int = FAILURES_TO_OPEN
    timeout_ms: int = int(OPEN_S * 1000)


class Breaker:
    """Counts failures in a row of calls to one service."""

    def __init__(self, service: str, clock: Clock) -> None:
        self._service = service
        self._clock = clock
        self._failures = 0
        self._last_failure: datetime | None = None
        self._opened_at: float | None = None
        self._trial_running = False

    @property
    def state(self) -> BreakerState:
        """As of now."""
        if self._opened_at is None:
            return BreakerState.CLOSED
        waited = self._clock.monotonic() - self._opened_at >= OPEN_S
        return BreakerState.HALF_OPEN if waited else BreakerState.OPEN

    def allow(self) -> bool:
        """May a call be made now? A caller that is let through must report ``succeeded`` or ``failed``."""
        state = self.state
        if state is BreakerState.HALF_OPEN and not self._trial_running:
            self._trial_running = True
            return True
        return state is BreakerState.CLOSED

    def succeeded(self) -> None:
        """The call was answered."""
        self.reset()

    def failed(self) -> None:
        """The call was not answered, or answered with a server error."""
        self._failures += 1
        self._last_failure = self._clock.now()
        if self._trial_running or self._failures >= FAILURES_TO_OPEN:
            self._opened_at = self._clock.monotonic()
        self._trial_running = False

    def reset(self) -> None:
        """Back to closed, nothing counted."""
        self._failures = 0
        self._opened_at = None
        self._trial_running = False

    def view(self) -> BreakerView:
        """For the admin page."""
        return BreakerView(self._service, self.state, self._failures, self._last_failure)
