"""The circuit breaker of healing: when remedies fail too often, stop, pause, try one, and go on if it helps.

Its state is not kept anywhere: it is derived from the journal each time, so a restart neither opens nor closes it.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from homeostat.core.config import LimitConfig
from homeostat.core.models import Run, RunStatus

WINDOW = timedelta(hours=1)
"""Runs that finished longer ago no longer count."""

PAUSE = timedelta(minutes=5)
"""How long an open breaker lets nothing through: time for a person to see it."""

_FAILED = frozenset({RunStatus.FAILED, RunStatus.UNDONE, RunStatus.IN_DOUBT})


@dataclass(frozen=True, slots=True)
class BreakerState:
    """``open``: nothing may run. ``half_open``: one trial may."""

    open: bool
    half_open: bool
    reason: str


CLOSED = BreakerState(open=False, half_open=False, reason="")


@dataclass(frozen=True, slots=True)
class _Trip:
    at: datetime
    failed: int
    total: int


def breaker_state(runs: Iterable[Run], now: datetime, limits: LimitConfig) -> BreakerState:
    """Replay the outcomes of ``runs`` (any order) up to ``now``."""
    counted = [run for run in runs if run.intent_at is not None and not run.dry_run]
    outcomes = sorted(
        (run.finished_at, run.status in _FAILED)
        for run in counted
        if run.finished_at is not None and (run.status in _FAILED or run.status is RunStatus.VERIFIED)
    )
    trip = _replay(outcomes, now, limits)
    if trip is None:
        return CLOSED
    share = f"{trip.failed} of {trip.total} remediations within an hour failed"
    trial = any(run.finished_at is None and run.intent_at is not None and run.intent_at > trip.at for run in counted)
    if now < trip.at + PAUSE:
        return BreakerState(
            open=True, half_open=False, reason=f"{share}; the next trial is at {trip.at + PAUSE:%H:%M}"
        )
    if trial:
        return BreakerState(open=True, half_open=False, reason=f"{share}; one trial is running")
    return BreakerState(open=False, half_open=True, reason=f"{share}; one trial is allowed")


def _replay(outcomes: list[tuple[datetime, bool]], now: datetime, limits: LimitConfig) -> _Trip | None:
    window: deque[tuple[datetime, bool]] = deque()
    trip: _Trip | None = None
    for at, failed in outcomes:
        if trip is not None and at > trip.at + PAUSE:  # the trial
            trip = _Trip(at, trip.failed + 1, trip.total + 1) if failed else None
            window.clear()
            continue
        window.append((at, failed))
        while window[0][0] < at - WINDOW:
            window.popleft()
        failures = sum(bad for _, bad in window)
        tripped = len(window) >= limits.breaker_min_runs and 100 * failures >= (
            limits.breaker_failure_percent * len(window)
        )
        if trip is None and tripped:
            trip = _Trip(at, failures, len(window))
    if trip is not None and trip.at < now - WINDOW:
        return None  # an hour without a failure: what failed then says nothing about now
    return trip
