"""What the customers experienced: journeys, errors and money, in all, per customer and per second.

Every number here is counted from journeys that were really run. ``GET /world/stats`` shows it; rehearsals read
from its seconds when the errors stopped.
"""

from collections import deque
from dataclasses import dataclass, field

from homeostat.core.ports import Clock
from homeostat.world.journeys import CURRENCY
from homeostat.world.stats import CustomerStats, RecentStats, SecondStats, WorldStats

SERIES_S = 600
RATE_WINDOW_S = 10
NAMES_MAX = 1_000
"""Beyond this many distinct customers (or journeys), the rest is counted together."""
OTHER = "<other>"


@dataclass(slots=True)
class Tally:
    """Journeys that ended, and the money in them. ``errors`` are those that did not complete."""

    journeys: int = 0
    errors: int = 0
    revenue_cents: int = 0
    revenue_lost_cents: int = 0
    duration_max_ms: float = 0.0

    def add(self, *, completed: bool, amount_cents: int, duration_ms: float) -> None:
        """Count one journey."""
        self.journeys += 1
        self.duration_max_ms = max(self.duration_max_ms, duration_ms)
        if completed:
            self.revenue_cents += amount_cents
        else:
            self.errors += 1
            self.revenue_lost_cents += amount_cents

    @property
    def error_rate(self) -> float | None:
        """Errors per journey; None without journeys."""
        return self.errors / self.journeys if self.journeys else None

    def view(self) -> CustomerStats:
        """Money in units of the currency."""
        return CustomerStats(
            journeys=self.journeys,
            errors=self.errors,
            error_rate=self.error_rate,
            revenue=self.revenue_cents / 100,
            revenue_lost=self.revenue_lost_cents / 100,
        )


@dataclass(slots=True)
class _Second:
    second: int
    tally: Tally = field(default_factory=Tally)

    def view(self) -> SecondStats:
        tally = self.tally
        return SecondStats(
            second_unix=self.second,
            journeys=tally.journeys,
            errors=tally.errors,
            revenue=tally.revenue_cents / 100,
            revenue_lost=tally.revenue_lost_cents / 100,
            duration_max_ms=tally.duration_max_ms,
        )


class Ledger:
    """Counts from the start of the world."""

    def __init__(self, clock: Clock, seed: int) -> None:
        self._clock = clock
        self._seed = seed
        self._started = clock.now()
        self._total = Tally()
        self._customers: dict[str, Tally] = {}
        self._journeys: dict[str, Tally] = {}
        self._seconds: deque[_Second] = deque(maxlen=SERIES_S)
        self.in_flight = 0
        self.dropped = 0
        self.timeouts = 0

    def record(
        self,
        *,
        customer: str,
        journey: str,
        completed: bool,
        amount_cents: int | None,
        duration_ms: float,
        timed_out: bool = False,
    ) -> None:
        """Count a journey that has just ended. ``amount_cents`` None: there was no money in it."""
        if timed_out:
            self.timeouts += 1
        for tally in (
            self._total,
            self._second(int(self._clock.now().timestamp())),
            _bounded(self._customers, customer),
            _bounded(self._journeys, journey),
        ):
            tally.add(completed=completed, amount_cents=amount_cents or 0, duration_ms=duration_ms)

    def snapshot(self, series_s: int = SERIES_S) -> WorldStats:
        """Everything so far; ``seconds`` of the last ``series_s`` seconds only."""
        now = self._clock.now().timestamp()
        total = self._total
        return WorldStats(
            **total.view().model_dump(),
            seed=self._seed,
            started_unix=self._started.timestamp(),
            now_unix=now,
            currency=CURRENCY,
            total=total.journeys,
            success_rate=1.0 - total.error_rate if total.error_rate is not None else None,
            in_flight=self.in_flight,
            dropped=self.dropped,
            timeouts=self.timeouts,
            last_10_s=self._recent(int(now)),
            customers={name: tally.view() for name, tally in self._customers.items()},
            by_journey={name: tally.view() for name, tally in self._journeys.items()},
            seconds=tuple(entry.view() for entry in self._seconds if entry.second > now - series_s),
        )

    def _recent(self, now_s: int) -> RecentStats:
        tally = Tally()
        for entry in self._seconds:
            if now_s - RATE_WINDOW_S <= entry.second < now_s:
                tally.journeys += entry.tally.journeys
                tally.errors += entry.tally.errors
        return RecentStats(
            journeys_per_s=tally.journeys / RATE_WINDOW_S,
            errors_per_s=tally.errors / RATE_WINDOW_S,
            error_rate=tally.error_rate,
        )

    def _second(self, second: int) -> Tally:
        if not self._seconds or self._seconds[-1].second < second:
            self._seconds.append(_Second(second))
        # A wall clock that was set back counts on into the newest second rather than out of order.
        return self._seconds[-1].tally


def _bounded(tallies: dict[str, Tally], name: str) -> Tally:
    if name not in tallies and len(tallies) >= NAMES_MAX:
        name = OTHER
    return tallies.setdefault(name, Tally())
