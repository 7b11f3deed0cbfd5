"""Keeps every objective evaluated, tells the live feed what changed, hands alerts on. ``app`` runs it.

An evaluation of one objective costs well under a millisecond: its minutes are in memory, and only new ones are read.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import anyio
from pydantic import TypeAdapter, ValidationError

from homeostat.core.config import SloConfig
from homeostat.core.errors import BadRequestError, HomeostatError, StoreError
from homeostat.core.events import Event, EventSeverity, EventType
from homeostat.core.models import Severity
from homeostat.core.ports import AlertSink, Bus, Clock, Ids, StateStore
from homeostat.core.slo import BurnAlert, Slo, SloPoint, SloStatus
from homeostat.observe.slo.book import SloBook
from homeostat.observe.slo.definitions import compatible_slo, percentage
from homeostat.observe.slo.evaluate import unknown
from homeostat.observe.slo.handing_on import HandingOn
from homeostat.observe.slo.sources import Sources
from homeostat.observe.slo.tracker import FiringSince, Tracker
from homeostat.observe.slo.windows import MINUTE_S, duration_text

log = logging.getLogger(__name__)

TOPIC: Final = "slos"
ALERTS_SETTING: Final = "slo:alerts"
STEPS_MAX: Final = 2_000
STEPS: Final = 240

_Alerts = TypeAdapter(dict[str, Event])
_PAGES: Final = (Severity.CRITICAL, Severity.HIGH)


class SloService:
    """All objectives. Everything happens on the event loop; only reading RED uses a thread."""

    def __init__(
        self,
        config: SloConfig,
        sources: Sources,
        state: StateStore,
        *,
        clock: Clock,
        ids: Ids,
        bus: Bus,
        on_alert: AlertSink | None = None,
    ) -> None:
        self.book = SloBook(config, state, clock, ids)
        self._interval_s = config.interval.total_seconds()
        self._sources = sources
        self._state = state
        self._clock = clock
        self._ids = ids
        self._bus = bus
        self._handing_on = HandingOn(on_alert, state)
        self._trackers: dict[str, Tracker] = {}
        self._statuses: dict[str, SloStatus] = {}
        self._told: dict[str, dict[str, object]] = {}
        self._open: dict[str, Event] = {}  # alerts that fire, by SLO and rule
        self._violations: Counter[tuple[str, str]] = Counter()
        self._looking = anyio.Lock()

    # -- running ---------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Read definitions and the alerts that fired at the last stop. Raises ConfigError or StoreError."""
        await self.book.open()
        await self._handing_on.open()
        text = await self._state.get_setting(ALERTS_SETTING)
        if text is not None:
            try:
                self._open = _Alerts.validate_json(text)
            except ValidationError:
                log.warning("The alerts that fired at the last stop cannot be read: they begin anew")

    async def run(self) -> None:
        """Evaluate until cancelled."""
        while True:
            await self.look()
            await anyio.sleep(self._interval_s)

    async def look(self, only: Sequence[str] | None = None) -> None:
        """Evaluate every objective, or some, now. One that cannot be evaluated says why and stops no other."""
        async with self._looking:
            now = self._clock.now()
            for slo in self.book.all():
                if only is None or slo.id in only:
                    status = await self._look_at(slo, now)
                    if self.book.find(slo.id) is slo:  # it may have been changed or deleted meanwhile
                        self._statuses[slo.id] = status
                        self._publish(status)
            await self._follow_alerts(now)

    # -- asking ----------------------------------------------------------------------------------------------

    def statuses(self, service: str | None = None) -> list[SloStatus]:
        """How every evaluated objective stood last, by service and name."""
        listed = (self._statuses.get(slo.id) for slo in self.book.all() if service in {None, slo.service})
        return [status for status in listed if status is not None]

    def status(self, slo_id: str) -> SloStatus | None:
        """How one stood last; None: not evaluated yet. Raises NotFoundError."""
        self.book.get(slo_id)
        return self._statuses.get(slo_id)

    def history(self, slo_id: str, step_s: int | None = None) -> tuple[int, list[SloPoint]]:
        """The step in seconds, and the window in such steps. Raises NotFoundError or BadRequestError."""
        slo = self.book.get(slo_id)
        window_s = int(slo.window.total_seconds())
        if step_s is None:
            step_s = max(MINUTE_S, -(-window_s // STEPS // MINUTE_S) * MINUTE_S)
        if step_s < MINUTE_S or step_s % MINUTE_S:
            raise BadRequestError(f"step_s is {step_s}: SLOs are kept by the minute, choose a multiple of 60.")
        if window_s // step_s > STEPS_MAX:
            raise BadRequestError(f"step_s is {step_s}: that makes more than {STEPS_MAX} steps, choose a longer one.")
        tracker = self._trackers.get(slo_id)
        return step_s, tracker.points(self._clock.now(), step_s) if tracker is not None else []

    def violations(self) -> dict[tuple[str, str], int]:
        """Alerts begun since the start, by SLO name and severity: ``observability_slo_violations_total``."""
        return dict(self._violations)

    # -- changing --------------------------------------------------------------------------------------------

    async def put(self, slos: Sequence[Slo]) -> list[SloStatus]:
        """Make or replace, and evaluate. Raises BadRequestError or ConflictError, and then nothing is changed."""
        await self.book.put(slos)
        ids = [slo.id for slo in slos]
        await self.look(ids)
        return [self._statuses[slo_id] for slo_id in ids if slo_id in self._statuses]

    async def make(
        self,
        name: str,
        service: str,
        *,
        description: str = "",
        target_percentage: float,
        metric: str,
        threshold: float,
        window_days: int = 30,
    ) -> SloStatus:
        """Make one in the compatible interface's words. Raises BadRequestError."""
        slo = compatible_slo(
            self.book.new_id(),
            name,
            service,
            description=description,
            target_percentage=target_percentage,
            metric=metric,
            threshold=threshold,
            window_days=window_days,
            created_at=self._clock.now(),
        )
        return (await self.put([slo]))[0]

    async def delete(self, slo_id: str) -> Slo:
        """Raises NotFoundError or ConflictError. Its alerts end."""
        slo = await self.book.delete(slo_id)
        self._trackers.pop(slo_id, None)
        self._statuses.pop(slo_id, None)
        self._told.pop(slo_id, None)
        self._bus.publish(TOPIC, {"id": slo_id, "state": "deleted", "firing": [], "budget_remaining": None})
        await self._follow_alerts(self._clock.now())
        return slo

    # -- evaluating ------------------------------------------------------------------------------------------

    async def _look_at(self, slo: Slo, now: datetime) -> SloStatus:
        tracker = self._trackers.get(slo.id)
        if tracker is None or tracker.slo != slo:
            source = self._sources.of(slo)
            if source is None:
                return unknown(slo, now, "It needs metrics, and none are stored here.")
            tracker = self._trackers[slo.id] = Tracker(slo, source, firing=self._remembered(slo))
        try:
            return await tracker.look(now)
        except HomeostatError as error:
            log.warning("SLO %s (%s) could not be evaluated: %s", slo.id, slo.name, error)
            return unknown(slo, now, str(error))

    def _remembered(self, slo: Slo) -> dict[str, FiringSince]:
        """Since when the objective's alerts fire, from before the restart."""
        return {
            str(event.data["rule"]): FiringSince(event.time, event.time)
            for key, event in self._open.items()
            if key.startswith(f"{slo.id}|")
        }

    def _publish(self, status: SloStatus) -> None:
        """Only what changed, and of the budget only whole percent."""
        remaining = status.error_budget_true_remaining
        data: dict[str, object] = {
            "id": status.slo.id,
            "state": status.state.value,
            "firing": [alert.rule.name for alert in status.firing],
            "budget_remaining": None if remaining is None else round(remaining, 2),
        }
        if self._told.get(status.slo.id) != data:
            self._told[status.slo.id] = data
            self._bus.publish(TOPIC, data)

    # -- alerts ----------------------------------------------------------------------------------------------

    async def _follow_alerts(self, now: datetime) -> None:
        """Hand on what began and what ended, and remember it for the next start."""
        firing = {
            f"{status.slo.id}|{alert.rule.name}": (status, alert)
            for status in self._statuses.values()
            for alert in status.firing
        }
        evaluated = {slo_id for slo_id, status in self._statuses.items() if not status.problem}
        known = {slo.id for slo in self.book.all()}
        begun = [self._begin(key, *found) for key, found in firing.items() if key not in self._open]
        ended = [
            self._open.pop(key).model_copy(update={"ended_at": now})
            for key in list(self._open)
            if key not in firing and (key.split("|")[0] in evaluated or key.split("|")[0] not in known)
        ]
        if begun or ended:
            self._handing_on.add((*begun, *ended))
            await self._handing_on.remember()  # first: an alert that is known as open is not begun once more
            await self._remember()
        await self._handing_on.flush()

    async def _remember(self) -> None:
        try:
            await self._state.put_setting(ALERTS_SETTING, _Alerts.dump_json(self._open).decode())
        except StoreError as error:
            log.warning("Which SLO alerts fire could not be stored; a restart would begin them anew: %s", error)

    def _begin(self, key: str, status: SloStatus, alert: BurnAlert) -> Event:
        slo, rule = status.slo, alert.rule
        severity = EventSeverity.CRITICAL if rule.severity in _PAGES else EventSeverity.WARNING
        self._violations[slo.name, severity.value] += 1
        event = Event(
            id=self._ids.new("evt"),
            time=alert.since or status.time,
            type=EventType.ALERT,
            title=f"{slo.name}: error budget burns {alert.long_rate or 0:.1f} times too fast",
            description=(
                f"Over {duration_text(rule.long_window_s)} and {duration_text(rule.short_window_s)} the share of bad "
                f"events was more than {rule.factor:g} times what {percentage(slo.target):g} % allow."
            ),
            severity=severity,
            source=f"slo:{slo.id}",
            fingerprint=f"slo|{key}",
            services=tuple(dict.fromkeys((slo.service, slo.sli.service or slo.service))),
            data={
                "rule": rule.name,
                "slo": slo.name,
                "factor": rule.factor,
                "long_rate": alert.long_rate,
                "short_rate": alert.short_rate,
                "budget_remaining": status.error_budget_true_remaining,
            },
        )
        self._open[key] = event
        return event


def forecast_text(status: SloStatus) -> str:
    """When the budget will be spent, as a sentence's end."""
    window = duration_text(status.rate_window_s)
    if status.problem or status.error_budget_true_remaining is None:
        return "unknown: no data"
    if status.exhausted_in_s == 0:
        return "spent"
    if status.exhausted_in_s is not None:
        return f"spent in {_spoken(timedelta(seconds=status.exhausted_in_s))} at this rate"

    if status.alerts[0].long_rate is None:  # the rate is that of the first rule
        return f"unknown: no data in the last {window}"
    return "not spent within the window at this rate"


def _spoken(time: timedelta) -> str:
    """``3 h 10 min``, ``2 d 4 h``, ``12 min``."""
    minutes = max(1, round(time.total_seconds() / MINUTE_S))
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = ((days, "d"), (hours, "h")) if days else ((hours, "h"), (rest, "min"))
    return " ".join(f"{amount} {unit}" for amount, unit in parts if amount)
