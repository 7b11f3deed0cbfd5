"""Tells an Alertmanager what fires, again and again while it fires, and when it is over; reads its silences.

Nothing is queued: each round sends what fires at that moment, so that a receiver that was away for long gets the
present state and not the past. Only the ends of what was sent wait, bounded, until they are delivered.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

import anyio

from homeostat.core.config import AlertingConfig
from homeostat.core.errors import HomeostatError, NotifyError
from homeostat.core.events import Event
from homeostat.core.models import Model
from homeostat.core.ports import Clock, Random
from homeostat.notify.alertmanager import Alertmanager, PostedAlert
from homeostat.notify.maintenance import MaintenanceBook
from homeostat.notify.naming import alert_labels
from homeostat.notify.silences import windows_of

log = logging.getLogger(__name__)

ALERTS_MAX: Final = 2_000
LEAST_PAUSE_S: Final = 1.0
"""Between two rounds, however much happens meanwhile: the next one tells all of it."""

FAILURES_MAX: Final = 30
"""Failures in a row that are counted: the pause after one doubles from the least to ``alerting.interval``."""

JITTER: Final = 0.25
"""A pause after a failure is longer by up to this share, so that not everybody comes back at the same moment."""

REPEATS_MISSED_MAX: Final = 4
"""So many repetitions may be lost before the Alertmanager takes an alert for over (as Prometheus has it)."""


class OutboxStatus(Model):
    """For people."""

    url: str
    firing: int  # at the last round
    muted: int
    ends_waiting: int  # alerts that are over, of which the Alertmanager does not know yet
    last_sent_at: datetime | None
    problem: str | None  # of the last round


class Outbox:
    """``run`` is the task. ``firing`` gives the events that last now and are worth an alert."""

    def __init__(
        self,
        config: AlertingConfig,
        alertmanager: Alertmanager,
        maintenance: MaintenanceBook,
        firing: Callable[[], Awaitable[Sequence[Event]]],
        services: Callable[[], Collection[str]],
        clock: Clock,
        random: Random,
        base_url: str | None = None,
    ) -> None:
        self._url = config.alertmanager_url or ""
        self._interval = config.interval
        self._alertmanager = alertmanager
        self._maintenance = maintenance
        self._firing = firing
        self._services = services
        self._clock = clock
        self._random = random
        self._base_url = base_url
        self._sent: dict[str, PostedAlert] = {}  # what the Alertmanager takes for firing, by label set
        self._ended: dict[str, PostedAlert] = {}
        self._wake = anyio.Event()
        self._failures = 0
        self._muted = 0
        self._last_sent_at: datetime | None = None
        self._problem: str | None = None

    def notice(self) -> None:
        """Something has begun or ended: the next round comes as soon as one may."""
        self._wake.set()

    def status(self) -> OutboxStatus:
        """How sending goes."""
        return OutboxStatus(
            url=self._url,
            firing=len(self._sent),
            muted=self._muted,
            ends_waiting=len(self._ended),
            last_sent_at=self._last_sent_at,
            problem=self._problem,
        )

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._wake = anyio.Event()
            await self._round()
            await anyio.sleep(self._pause_s())
            if not self._failures:
                with anyio.move_on_after(self._interval.total_seconds() - LEAST_PAUSE_S):
                    await self._wake.wait()

    def _pause_s(self) -> float:
        """How long nothing is sent whatever happens: after a failure longer each time."""
        if not self._failures:
            return LEAST_PAUSE_S
        most_s = max(LEAST_PAUSE_S, self._interval.total_seconds())
        pause_s = min(most_s, LEAST_PAUSE_S * 2 ** (self._failures - 1))
        return pause_s * (1 + JITTER * self._random.random())

    async def _round(self) -> None:
        try:
            await self.look()
        except HomeostatError as error:
            if self._problem != str(error):
                log.warning("Alerts are not sent on: %s", error)
            self._problem = str(error)
            self._failures = min(self._failures + 1, FAILURES_MAX)
        else:
            self._problem, self._failures = None, 0

    async def look(self) -> None:
        """One round. Raises NotifyError or StoreError; the next round makes good for it."""
        unread = await self._read_silences()
        now = self._clock.now()
        events = await self._firing()
        loud = [event for event in events if self._maintenance.muting(event, now) is None]
        self._muted = len(events) - len(loud)
        if len(loud) > ALERTS_MAX:
            log.warning("%d alerts fire; only the newest %d are sent on", len(loud), ALERTS_MAX)
            loud = sorted(loud, key=lambda event: event.time)[-ALERTS_MAX:]
        firing = {_key(alert): alert for alert in (self._alert(event, now) for event in loud)}
        self._note_ends(firing, now)
        await self._alertmanager.post([*firing.values(), *self._ended.values()])
        self._ended.clear()
        self._last_sent_at = now
        if unread is not None:
            raise unread

    async def _read_silences(self) -> NotifyError | None:
        """Where they cannot be read now, those that were read last stand, and alerts are sent all the same."""
        try:
            silences = await self._alertmanager.silences()
        except NotifyError as error:
            return error
        self._maintenance.silenced(windows_of(silences, self._services()))
        return None

    def _note_ends(self, firing: dict[str, PostedAlert], now: datetime) -> None:
        for key in self._sent.keys() - firing.keys():
            self._ended[key] = self._sent[key].model_copy(update={"ends_at": now})
        for key in list(self._ended):
            if key in firing or len(self._ended) > ALERTS_MAX:
                del self._ended[key]
        self._sent = firing

    def _alert(self, event: Event, now: datetime) -> PostedAlert:
        lasting = max(self._interval * REPEATS_MISSED_MAX, timedelta(minutes=1))
        annotations = {
            "summary": event.title,
            "description": event.description,
            "services": ", ".join(event.services),
            "traces": " ".join(event.traces),
        }
        return PostedAlert(
            labels=alert_labels(event),
            annotations={name: text for name, text in annotations.items() if text},
            starts_at=event.time,
            ends_at=now + lasting,
            generator_url=f"{self._base_url}/events?id={event.id}" if self._base_url else None,
        )


def _key(alert: PostedAlert) -> str:
    return "\n".join(f"{name}={value}" for name, value in sorted(alert.labels.items()))
