"""One objective under watch: its minutes, kept up to date, and since when its alerts fire. Used by ``service``."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from homeostat.core.slo import BurnAlert, BurnRule, Slo, SloPoint, SloStatus
from homeostat.observe.slo.evaluate import evaluate, history, window_start
from homeostat.observe.slo.minutes import Minutes
from homeostat.observe.slo.sources import Source
from homeostat.observe.slo.windows import MINUTE_S

AGAIN_MINUTES: Final = 10
"""Read again at every evaluation: telemetry is late."""

AGAIN_LONG_MINUTES: Final = 24 * 60
"""Read again once an hour: a sender that was cut off delivers later. What is later still does not count."""

LONG_EVERY_MINUTES: Final = 60


@dataclass(slots=True)
class FiringSince:
    """The memory of one rule."""

    holds_since: datetime | None = None  # both windows burn
    firing_since: datetime | None = None


@dataclass(slots=True)
class Tracker:
    """State of one objective. Belongs to the event loop."""

    slo: Slo
    source: Source
    minutes: Minutes = field(init=False)
    status: SloStatus | None = None
    firing: dict[str, FiringSince] = field(default_factory=dict)  # by the rule's name
    _read_to: int | None = None  # Unix minute up to which the minutes are read
    _read_long_at: int = 0
    _known_from_s: int | None = None

    def __post_init__(self) -> None:
        self.minutes = Minutes(int(self.slo.window.total_seconds()) // MINUTE_S + self.slo.slice_s // MINUTE_S)

    async def look(self, now: datetime) -> SloStatus:
        """Read what is new and evaluate. Raises HomeostatError when the source cannot be read."""
        await self._refresh(now)
        return self._judge(now)

    def points(self, now: datetime, step_s: int) -> list[SloPoint]:
        """The history in steps, of what was read last."""
        return history(self.slo, self.minutes, now, step_s, self.source.known_s)

    async def _refresh(self, now: datetime) -> None:
        end = int(now.timestamp()) // MINUTE_S + 1
        known_from_s = self.source.known_from_s()
        grown = known_from_s is not None and (self._known_from_s is None or known_from_s < self._known_from_s)
        if self._read_to is None or grown:
            start = end - self.minutes.length
        elif end - self._read_long_at >= LONG_EVERY_MINUTES:
            start = min(self._read_to, end) - AGAIN_LONG_MINUTES
        else:
            start = min(self._read_to, end) - AGAIN_MINUTES
        start = max(start, end - self.minutes.length)
        counts = await self.source.counts(start, end)
        self.minutes.replace(start, end, counts)
        if self._read_to is None or grown or end - self._read_long_at >= LONG_EVERY_MINUTES:
            self._read_long_at = end
        self._read_to, self._known_from_s = end, self.source.known_from_s()

    def _judge(self, now: datetime) -> SloStatus:
        covered_s = self.source.known_s(window_start(self.slo, now).timestamp(), now.timestamp())
        found = evaluate(self.slo, self.minutes, now, covered_s)
        alerts = tuple(self._with_memory(alert, now) for alert in found.alerts)
        self.status = found.model_copy(update={"alerts": alerts})
        return self.status

    def _with_memory(self, alert: BurnAlert, now: datetime) -> BurnAlert:
        """Since when it fires; a rule that must hold for some time does not fire before.

        An alert whose short window has no more events goes on as long as the long one burns: silence after trouble
        is no proof of health.
        """
        memory = self.firing.setdefault(alert.rule.name, FiringSince())
        burns = alert.firing
        if burns is None and memory.firing_since is not None and _above(alert.long_rate, alert.rule):
            burns = True
        if not burns:
            memory.holds_since = memory.firing_since = None
            return alert.model_copy(update={"firing": burns, "since": None})
        memory.holds_since = memory.holds_since or now
        if (now - memory.holds_since).total_seconds() >= alert.rule.hold_s:
            memory.firing_since = memory.firing_since or now
        return alert.model_copy(update={"firing": memory.firing_since is not None, "since": memory.firing_since})


def _above(rate: float | None, rule: BurnRule) -> bool:
    return rate is not None and rate > rule.factor
