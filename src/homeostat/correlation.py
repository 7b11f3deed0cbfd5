"""The timeline of events with all that feeds and uses it, as one part: ``app`` makes and runs it."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

import anyio
import httpx2

from homeostat.background import Background
from homeostat.core.config import Config
from homeostat.core.errors import StoreError
from homeostat.core.events import ALERTMANAGER, Event, EventType
from homeostat.core.ports import Bus, Clock, Ids, StateStore
from homeostat.net import in_address
from homeostat.notify import Alertmanager, MaintenanceBook, Outbox
from homeostat.observe.correlate import Correlator, ReleaseWatch, Timeline
from homeostat.observe.correlate.derived import incident_event
from homeostat.observe.pipeline import Pipeline
from homeostat.runtime import system_random

log = logging.getLogger(__name__)

INCIDENTS_MAX: Final = 1_000
_EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})


@dataclass(frozen=True)
class Correlation:
    """What stands around the timeline. ``outbox`` None: no Alertmanager is configured."""

    timeline: Timeline
    maintenance: MaintenanceBook
    correlator: Correlator
    outbox: Outbox | None
    _client: httpx2.AsyncClient | None
    _bus: Bus
    _background: Background

    @classmethod
    async def opened(
        cls,
        config: Config,
        state: StateStore,
        observed: Pipeline,
        releases: ReleaseWatch,
        *,
        services: Mapping[str, str],
        clock: Clock,
        ids: Ids,
        bus: Bus,
        background: Background,
    ) -> "Correlation":
        """Make it and take up what lasted at the last stop. ``services``: of processes. Raises StoreError."""
        timeline = Timeline(state, bus, clock)
        maintenance = MaintenanceBook(state, clock, ids, services)
        correlator = Correlator(
            timeline,
            red=observed.red,
            telemetry=observed.store,
            releases=releases,
            settings=state,
            clock=clock,
            ids=ids,
            tracing=config.alerting.tracing,
            anomalies=config.alerting.anomalies,
            metrics=observed.metrics,
        )
        await correlator.open()
        await maintenance.open()
        client = outbox = None
        if config.alerting.alertmanager_url is not None:
            client = httpx2.AsyncClient(follow_redirects=False, trust_env=False)
            outbox = Outbox(
                config.alerting,
                Alertmanager(config.alerting.alertmanager_url, client),
                maintenance,
                lambda: firing(timeline, state),
                observed.red.services,
                clock,
                system_random(),
                dashboard_url(config),
            )
        return cls(timeline, maintenance, correlator, outbox, client, bus, background)

    async def run(self) -> None:
        """Until cancelled."""
        async with AsyncExitStack() as stack:
            if self._client is not None:
                await stack.enter_async_context(self._client)
            stack.push_async_callback(self._remember)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._background.keep, "correlation", self.correlator.run)
                if self.outbox is not None:
                    tasks.start_soon(self._background.keep, "alerting", self.outbox.run)
                    tasks.start_soon(self._background.keep, "alerting_wake", partial(self._wake, self.outbox))

    async def _wake(self, outbox: Outbox) -> None:
        """Something has begun or ended: it is told at once, not at the next repetition."""
        async with self._bus.subscribe(("events", "incidents")) as messages:
            async for _ in messages:
                outbox.notice()

    async def _remember(self) -> None:
        with anyio.CancelScope(shield=True):
            try:
                await self.correlator.remember()
            except StoreError as error:
                log.warning("Which releases were seen could not be stored: %s", error)


async def firing(timeline: Timeline, state: StateStore) -> Sequence[Event]:
    """What an Alertmanager is to hear of now: alerts that last, but for its own, and incidents that are open."""
    alerts = [
        event
        for event in timeline.lasting()
        if event.type in {EventType.ALERT, EventType.INCIDENT} and event.source != ALERTMANAGER
    ]
    incidents = await state.incidents(open_only=True, limit=INCIDENTS_MAX)
    return [*alerts, *(incident_event(incident) for incident in incidents)]


def dashboard_url(config: Config) -> str | None:
    """Where people reach the dashboard; None where the port is not known beforehand."""
    server = config.server
    if not server.port:
        return None
    host = server.allowed_hosts[0] if server.allowed_hosts else server.host
    return f"http://{'localhost' if host in _EVERYWHERE else in_address(host)}:{server.port}"
