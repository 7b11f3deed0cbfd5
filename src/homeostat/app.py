"""Wires the parts together: the only place that knows them all. ``server`` runs what is made here."""

import logging
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import anyio

from homeostat.announce import address_of
from homeostat.background import Background
from homeostat.bus import LocalBus
from homeostat.core.config import Config, DetectConfig
from homeostat.core.errors import StoreError
from homeostat.core.models import AUTOMATIC, FlagChange, TimelineKind
from homeostat.core.ports import Bus, Clock, Driver, Ids, StateStore
from homeostat.core.resources import flag
from homeostat.correlation import Correlation
from homeostat.detect import DependentServices, Detection, HealthReader, Signals
from homeostat.drivers import DriverParts, load_drivers
from homeostat.drivers.kept_sensor import KeptSensor
from homeostat.drivers.sources import telemetry_of
from homeostat.flags import FlagService, load_flags
from homeostat.heal import Healer
from homeostat.heartbeat import Heartbeat
from homeostat.loop import LoopParts, keep_in_balance
from homeostat.observe import pipeline
from homeostat.observe.correlate import ReleaseWatch
from homeostat.observe.pipeline import Pipeline
from homeostat.observe.receivers.prometheus_scrape import Scraper
from homeostat.observe.slo import SloService, Sources
from homeostat.runtime import SystemIds
from homeostat.store.state import open_state
from homeostat.story import Story

log = logging.getLogger(__name__)

STATE_FILE = "state.db"
FORGET_EVERY_S = 3600.0


@dataclass(frozen=True)
class Homeostat:
    """Everything that runs, for the API to show and to command."""

    config: Config
    clock: Clock
    bus: Bus
    state: StateStore
    flags: FlagService
    healer: Healer
    health: HealthReader
    observed: Pipeline
    heartbeat: Heartbeat
    slos: SloService
    correlation: Correlation
    ids: Ids
    scraper: Scraper
    background: Background

    @property
    def otlp_http_url(self) -> str | None:
        """Where OTLP over HTTP is received; None: nowhere."""
        return self._url(self.observed.http_port)

    @property
    def otlp_grpc_url(self) -> str | None:
        """Where OTLP over gRPC is received; None: nowhere."""
        return self._url(self.observed.grpc_port)

    def _url(self, port: int | None) -> str | None:
        return address_of(self.config.receivers.host, port, "http")


@asynccontextmanager
async def running(config: Config, clock: Clock) -> AsyncGenerator[Homeostat]:
    """Start everything but the API; stop it in good order at the end.

    Raises PortTakenError, StoreError or ConfigError before anything is left running.
    """
    ids, bus, releases, background = SystemIds(), LocalBus(), ReleaseWatch(clock), Background(clock)
    async with AsyncExitStack() as stack:
        state = await stack.enter_async_context(open_state(config.storage.path / STATE_FILE, clock).opened())
        observed = await stack.enter_async_context(
            pipeline.running(
                config.receivers, config.storage, clock, sampling=config.sampling, on_spans=releases.note
            )
        )
        flags = await stack.enter_async_context(_flags(config, state, clock, ids, bus).opened())
        drivers = load_drivers(DriverParts(config=config, clock=clock, flags=flags)).drivers
        sensors = [KeptSensor(sensor, driver.name, background) for driver in drivers for sensor in driver.sensors()]
        services = {process.name: process.service_name for process in config.watch.processes}
        detection = Detection(
            config.detect, observed.red, ids, flags=flags, traces=observed.store, process_services=services
        )
        correlation = await Correlation.opened(
            config, state, observed, releases, services=services, clock=clock, ids=ids, bus=bus, background=background
        )
        signals = Signals(observed.red, clock, sensors, services)
        slos = _objectives(config, state, observed, correlation, clock, ids, bus)
        dependents = _dependents(config.detect, observed, clock, detection, slos, services)
        healer = _healer(config, drivers, signals, state, correlation, clock, ids, bus, dependents=dependents)
        story, heartbeat = Story(state, bus, clock, ids), Heartbeat(config.detect.interval)
        loop = LoopParts(
            clock=clock,
            state=state,
            sensors=sensors,
            detection=detection,
            healer=healer,
            story=story,
            interval=config.detect.interval,
            heartbeat=heartbeat,
        )
        await slos.open()
        servers = telemetry_of(config.watch, observed.submitters, clock, background)
        scraper = Scraper(config.metrics.scrape, observed.submitters.metrics, observed.refuse, clock, background)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(tasks.cancel_scope.cancel)
        tasks.start_soon(keep_in_balance, loop)
        tasks.start_soon(background.keep, "flag_changes", partial(_tell_of_flag_changes, bus, story))
        tasks.start_soon(
            background.keep, "retention", partial(_forget_the_old, state, clock, config.storage.retention)
        )
        tasks.start_soon(background.keep, "objectives", slos.run)
        for part in (correlation, scraper, servers):  # of several tasks: they keep each of them running
            tasks.start_soon(part.run)
        yield Homeostat(
            config=config,
            clock=clock,
            bus=bus,
            state=state,
            flags=flags,
            healer=healer,
            health=HealthReader(observed.red, clock, detection.open_issues, services),
            observed=observed,
            heartbeat=heartbeat,
            slos=slos,
            correlation=correlation,
            ids=ids,
            scraper=scraper,
            background=background,
        )


def _dependents(
    config: DetectConfig,
    observed: Pipeline,
    clock: Clock,
    detection: Detection,
    slos: SloService,
    services: Mapping[str, str],
) -> DependentServices:
    return DependentServices(
        observed.red,
        clock,
        config,
        process_services=services,
        objectives=slos.book.all,
        starved=detection.starved,
    )


def _healer(
    config: Config,
    drivers: Sequence[Driver],
    signals: Signals,
    state: StateStore,
    correlation: Correlation,
    clock: Clock,
    ids: Ids,
    bus: Bus,
    *,
    dependents: DependentServices,
) -> Healer:
    return Healer(
        config=config,
        actions=[action for driver in drivers for action in driver.actions()],
        signals=signals,
        store=state,
        bus=bus,
        clock=clock,
        ids=ids,
        maintenance=correlation.maintenance.covering,
        dependents=dependents,
    )


def _objectives(
    config: Config,
    state: StateStore,
    observed: Pipeline,
    correlation: Correlation,
    clock: Clock,
    ids: Ids,
    bus: Bus,
) -> SloService:
    sources = Sources(observed.red, state, observed.metrics)
    return SloService(config.slo, sources, state, clock=clock, ids=ids, bus=bus, on_alert=correlation.timeline)


async def _tell_of_flag_changes(bus: Bus, story: Story) -> None:
    """A changed flag is a deployment: it belongs on the timeline beside what it may have caused."""
    last_id: str | None = None
    async with bus.subscribe(("flags",)) as messages:
        async for message in messages:
            if message.topic != "flags" or message.data["id"] == last_id:
                continue  # the same change is published again when its event's fate is known
            change = FlagChange.model_validate(message.data)
            last_id = change.id
            if change.triggered_by == AUTOMATIC:
                continue  # the healer tells its own story
            try:
                await story.tell(
                    TimelineKind.CHANGED,
                    f"{change.flag} was turned {'on' if change.new_value else 'off'} by {change.triggered_by}",
                    change.reason,
                    at=change.time,
                    resource=flag(change.flag),
                )
            except StoreError as error:
                log.warning("A flag change is missing on the timeline (it is in the audit): %s", error)


async def _forget_the_old(state: StateStore, clock: Clock, retention: timedelta) -> None:
    """Control state is kept as long as telemetry is."""
    while True:
        try:
            await state.forget(clock.now() - retention)
        except StoreError as error:
            log.warning("Old control state could not be deleted; it is tried again in an hour: %s", error)
        await anyio.sleep(FORGET_EVERY_S)


def _flags(config: Config, state: StateStore, clock: Clock, ids: Ids, bus: Bus) -> FlagService:
    return FlagService(
        state,
        clock,
        ids,
        definitions=load_flags(config.flags.file) if config.flags.file else None,
        initial=config.flags.initial,
        dynatrace=config.dynatrace,
        environ=os.environ,
        publish=bus.publish,
    )
