"""Every few seconds: what holds becomes events, what holds no longer ends, new releases are told. Run by ``app``."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import anyio
import anyio.to_thread
from pydantic import ValidationError

from homeostat.core.config import AnomalyConfig, TracingAlertsConfig
from homeostat.core.errors import BadRequestError, HomeostatError, TooManyError
from homeostat.core.events import Event, EventType
from homeostat.core.metrics import MetricAggregation, MetricQuery, MetricSeries
from homeostat.core.models import TraceQuery
from homeostat.core.ports import Clock, Ids, MetricStore, RedReader, SettingStore, TelemetryStore
from homeostat.core.red import RedPoint, RedReach
from homeostat.observe.correlate.conditions import (
    ANOMALY,
    EXAMPLES_MAX,
    STEPS,
    TRACING,
    Condition,
    elevated_errors,
    elevated_metric,
    has_slow,
    metric_fingerprint,
    silence,
    slow_traces,
    together,
    tracing_alerts,
)
from homeostat.observe.correlate.releases import NewRelease, ReleaseWatch
from homeostat.observe.correlate.timeline import Timeline
from homeostat.observe.correlate.unknown import UNKNOWN_AFTER, Unknown, unjudged

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 5.0
LATE_S: Final = 3
"""Spans arrive up to this late: a younger second is not looked at yet."""

TRACES_READ: Final = 50
ERROR_RATE: Final = "error_rate"
"""The metric of the correlation rule, in percent."""

RELEASES_SETTING: Final = "correlate.releases"
REMEMBER_EVERY_S: Final = 300.0


class Red(RedReader, Protocol):
    """RED that says how far back it is whole."""

    def reach(self) -> RedReach:
        """How far back."""
        ...


class Correlator:
    """Use it from the event loop."""

    def __init__(
        self,
        timeline: Timeline,
        *,
        red: Red,
        telemetry: TelemetryStore,
        releases: ReleaseWatch,
        settings: SettingStore,
        clock: Clock,
        ids: Ids,
        tracing: TracingAlertsConfig,
        anomalies: AnomalyConfig,
        metrics: MetricStore | None = None,
    ) -> None:
        self._timeline = timeline
        self._red = red
        self._telemetry = telemetry
        self._releases = releases
        self._settings = settings
        self._clock = clock
        self._ids = ids
        self._tracing = tracing
        self._anomalies = anomalies
        self._metrics = metrics
        self._listening_s = clock.now().timestamp()
        self._steps: dict[int, Mapping[str, RedPoint]] = {}
        self._remembered_at = clock.monotonic()
        self._unknown = Unknown()
        self._crowded = False  # there was no room for the last event

    async def open(self) -> None:
        """Take up what lasted and what was running at the last stop. Raises StoreError."""
        await self._timeline.open()
        text = await self._settings.get_setting(RELEASES_SETTING)
        if text is not None:
            try:
                self._releases.load(text)
            except ValidationError:
                log.warning("Which releases were seen before cannot be read: the next of each service is the first")

    async def run(self) -> None:
        """Look until cancelled. A look that fails is tried again."""
        while True:
            try:
                await self.look()
            except HomeostatError as error:
                log.warning("Events could not be told and are tried again: %s", error)
            await anyio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Bring the timeline up to date with the telemetry. Raises StoreError."""
        now = self._clock.now()
        await self._settle(TRACING, await self._tracing_alerts(now), now)
        found, unknown = await self._anomalies_now(now)
        await self._settle(ANOMALY, found, now, unknown)
        await self._give_up(set(unknown) - {condition.fingerprint for condition in found}, now)
        for news in self._releases.take():
            await self._timeline.record(self._release_event(news))
        if self._clock.monotonic() - self._remembered_at >= REMEMBER_EVERY_S:
            await self.remember()
        await self._timeline.tidy()

    async def remember(self) -> None:
        """Write down which releases were seen. Raises StoreError."""
        self._remembered_at = self._clock.monotonic()
        await self._settings.put_setting(RELEASES_SETTING, self._releases.dump())

    # -- conditions to events --------------------------------------------------------------------------------

    async def _settle(
        self, prefix: str, found: list[Condition] | None, now: datetime, unknown: Collection[str] = ()
    ) -> None:
        """Begin what is new, end what is gone but not ``unknown``. None: nothing is known, and all stays as it is."""
        if found is None:
            return
        lasting = {event.fingerprint: event for event in self._timeline.lasting(prefix=prefix)}
        for condition in found:
            if condition.fingerprint not in lasting:
                await self._begin(condition)
        for fingerprint in lasting.keys() - {condition.fingerprint for condition in found} - set(unknown):
            await self._timeline.end(fingerprint, now)

    async def _give_up(self, unknown: Collection[str], now: datetime) -> None:
        """End what could not be judged for ``UNKNOWN_AFTER``: its service is gone."""
        lasting = {event.fingerprint: event for event in self._timeline.lasting(prefix=ANOMALY)}
        waiting = {key: event for key, event in lasting.items() if key in unknown}
        now_s = now.timestamp()
        over = self._unknown.look(waiting, now_s, self._red.reach().known_s)
        for fingerprint in over:
            hours = UNKNOWN_AFTER.total_seconds() / 3600
            log.warning("%r has had no data for %g h and is taken for over", lasting[fingerprint].title, hours)
            await self._timeline.end(fingerprint, now)
        for fingerprint in lasting.keys() - set(over):
            changed = self._unknown.to_write(lasting[fingerprint], now_s)
            if changed is not None:
                await self._timeline.record(changed)

    async def _begin(self, condition: Condition) -> None:
        """Where there is no room for another event that lasts, the next look tries again."""
        event = self._event(await self._with_examples(condition))
        try:
            await self._timeline.record(event)
        except TooManyError as error:
            if not self._crowded:
                log.warning("%s", error)
            self._crowded = True
        else:
            self._crowded = False

    def _event(self, condition: Condition) -> Event:
        return Event(
            id=self._ids.new("evt"),
            time=datetime.fromtimestamp(condition.since_s, UTC),
            type=condition.type,
            title=condition.title,
            description=condition.description,
            severity=condition.severity,
            source="homeostat",
            fingerprint=condition.fingerprint,
            services=condition.services,
            traces=condition.traces,
            metrics=condition.metrics,
            data=condition.data,
        )

    async def _with_examples(self, condition: Condition) -> Condition:
        """With real traces that show it, where there are any."""
        if condition.traces or not condition.services or condition.type is EventType.INCIDENT:
            return condition
        errors = "error" in condition.fingerprint
        since = datetime.fromtimestamp(condition.since_s, UTC)
        traces = await self._telemetry.example_traces(condition.services[0], since, errors=errors, limit=EXAMPLES_MAX)
        return replace(condition, traces=tuple(traces))

    def _release_event(self, news: NewRelease) -> Event:
        release, previous = news.release, news.previous
        version = release.version or "a version that is not named"
        place = f" in {release.environment}" if release.environment else ""
        return Event(
            id=self._ids.new("evt"),
            time=datetime.fromtimestamp(news.at_s, UTC),
            type=EventType.DEPLOYMENT,
            change="deployment",
            title=f"{release.service} runs {version}{place}{' again' if news.again else ''}",
            description=f"Seen in the resource of its spans; before it was {previous.version}." if previous else "",
            source="telemetry",
            services=(release.service,),
            data={
                "version": release.version or None,
                "environment": release.environment or None,
                "previous_version": previous.version or None if previous else None,
            },
        )

    # -- what holds now --------------------------------------------------------------------------------------

    async def _tracing_alerts(self, now: datetime) -> list[Condition] | None:
        if not self._tracing.enabled:
            return []
        now_s = now.timestamp()
        quiet = silence(self._red.latest_s(), self._listening_s, now_s, self._tracing)
        step_s = max(1, int(self._tracing.hold.total_seconds()) // STEPS)
        end_s = (int(now_s) - LATE_S) // step_s * step_s
        start_s = end_s - STEPS * step_s
        known_from_s = self._red.reach().known_from_s
        firing = {event.fingerprint for event in self._timeline.lasting(prefix=TRACING)}
        if known_from_s is None or known_from_s > start_s:
            return [quiet] if quiet else None if firing else []
        steps = [await self._step(at, step_s) for at in range(start_s, end_s, step_s)]
        self._steps = {at: points for at, points in self._steps.items() if at >= start_s}
        found = tracing_alerts(steps, self._tracing, start_s, step_s, firing)
        return [*found, quiet] if quiet else found

    async def _step(self, start_s: int, step_s: int) -> Mapping[str, RedPoint]:
        """RED of one complete step; the same one is asked for several times."""
        points = self._steps.get(start_s)
        if points is None:
            read = await anyio.to_thread.run_sync(self._red.window, start_s, start_s + step_s)
            points = self._steps[start_s] = {point.service: point for point in read if point.requests}
        return points

    async def _measured(self, now: datetime) -> list[MetricSeries]:
        """By a metric that somebody sends."""
        if self._metrics is None:
            return []
        window = self._anomalies.window
        query = MetricQuery(
            name=ERROR_RATE,
            start=now - window,
            end=now + timedelta(seconds=1),
            step_s=max(1, int(window.total_seconds())),
            aggregation=MetricAggregation.LAST,
        )
        try:
            return await self._metrics.series(query)
        except BadRequestError:  # a histogram of that name: it has no last value
            return []

    def _begun(self, elevated: Condition, start_s: int, end_s: int) -> Condition:
        """The same, from the first second of the window in which a request of the service failed."""
        seconds = self._red.series(elevated.services[0], start_s, end_s, 1)
        failing = [point.start_s for point in seconds if point.errors]
        return replace(elevated, since_s=float(min(failing))) if failing else elevated

    async def _anomalies_now(self, now: datetime) -> tuple[list[Condition], Collection[str]]:
        """What holds, and the fingerprints of what lasts and can't be judged now."""
        if not self._anomalies.enabled:
            return [], ()
        end_s = int(now.timestamp()) - LATE_S
        start_s = end_s - max(1, int(self._anomalies.window.total_seconds()))
        points = await anyio.to_thread.run_sync(self._red.window, start_s, end_s)
        series = await self._measured(now)
        found = [self._begun(one, start_s, end_s) for one in elevated_errors(points, self._anomalies)]
        found += elevated_metric(series, self._anomalies, (now - self._anomalies.window).timestamp())
        if any(has_slow(point, self._anomalies.slow_trace_ms) for point in points):
            query = TraceQuery(
                start=datetime.fromtimestamp(start_s, UTC) - timedelta(milliseconds=self._anomalies.slow_trace_ms),
                end=now,
                min_duration_ms=self._anomalies.slow_trace_ms,
                limit=TRACES_READ,
            )
            page = await self._telemetry.search(query)
            found += slow_traces(page.traces, self._anomalies)
        found += together(found)
        lasting = self._timeline.lasting(prefix=ANOMALY)
        if self._red.reach().known_s(start_s, end_s) < end_s - start_s:  # nobody counted for a part of it
            return found, {event.fingerprint for event in lasting}
        measured = {metric_fingerprint(one) for one in series if any(value is not None for value in one.values)}
        return found, unjudged(lasting, found, points, measured, self._anomalies)
