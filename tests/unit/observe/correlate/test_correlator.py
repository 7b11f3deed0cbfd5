"""Telemetry to events: the three tracing alerts and the correlation rule, over rollups that a test fills."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import log2

from homeostat.bus import LocalBus
from homeostat.core.config import AnomalyConfig, TracingAlertsConfig
from homeostat.core.events import Event, EventSeverity, EventType
from homeostat.core.models import Trace, TracePage, TraceQuery, TraceSummary
from homeostat.core.red import HISTOGRAM_BUCKETS, Edge, RedPoint, RedReach
from homeostat.observe.correlate import Correlator, ReleaseWatch, Timeline
from homeostat.observe.correlate.unknown import UNKNOWN_SINCE
from support.memory_state import MemoryState
from support.world_clock import HandClock


@dataclass
class Seconds:
    """RED of seconds; implements what the correlator reads by adding them up."""

    rows: dict[tuple[str, int], tuple[int, int, float]] = field(default_factory=dict)
    gaps: tuple[tuple[int, int], ...] = ()

    def add(self, service: str, second: int, requests: int = 20, errors: int = 0, ms: float = 10.0) -> None:
        self.rows[service, second] = (requests, errors, ms)

    def latest_s(self) -> int | None:
        return max((second for _, second in self.rows), default=None)

    def reach(self) -> RedReach:
        return RedReach(min((second for _, second in self.rows), default=None), 0, self.gaps)

    def services(self) -> list[str]:
        return sorted({service for service, _ in self.rows})

    def window(self, start_s: int, end_s: int) -> list[RedPoint]:
        return [self._sum(service, start_s, end_s) for service in self.services()]

    def _sum(self, service: str, start_s: int, end_s: int) -> RedPoint:
        histogram, requests, errors = [0] * HISTOGRAM_BUCKETS, 0, 0
        for (name, second), (count, bad, ms) in self.rows.items():
            if name == service and start_s <= second < end_s:
                histogram[round(8 * log2(ms * 1000))] += count
                requests, errors = requests + count, errors + bad
        return RedPoint(service, None, start_s, end_s, requests, errors, histogram=tuple(histogram))

    def operations(self, start_s: int, end_s: int) -> list[RedPoint]:
        raise NotImplementedError

    def series(self, service: str, start_s: int, end_s: int, step_s: int) -> list[RedPoint]:
        return [self._sum(service, begin, begin + step_s) for begin in range(start_s, end_s, step_s)]

    def edges(self, start_s: int, end_s: int) -> list[Edge]:
        return []


@dataclass
class Traces:
    """Stored traces; counts how often they are searched."""

    found: list[TraceSummary] = field(default_factory=list)
    searches: int = 0

    async def search(self, query: TraceQuery) -> TracePage:
        self.searches += 1
        fitting = [one for one in self.found if query.start <= one.start < query.end]
        return TracePage(traces=tuple(fitting), next_cursor=None)

    async def example_traces(
        self, service: str, since: datetime, *, errors: bool, operation: str | None = None, limit: int = 3
    ) -> list[str]:
        return [f"example-of-{service}"] if errors else []

    async def trace(self, trace_id: str) -> Trace | None:
        return None

    async def traces(self, trace_ids: Sequence[str]) -> list[Trace]:
        return []

    async def services(self, since: datetime) -> list[str]:
        return []

    async def operations(self, service: str, since: datetime) -> list[tuple[str, str]]:
        return []


class Ids:
    """One after the other."""

    count = 0

    def new(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}-{self.count:03}"


class Desk:
    """A correlator over rows that a test adds, second by second."""

    def __init__(
        self, state: MemoryState | None = None, clock: HandClock | None = None, red: Seconds | None = None
    ) -> None:
        self.clock, self.state = clock or HandClock(), state or MemoryState()
        self.red, self.traces, self.releases = red or Seconds(), Traces(), ReleaseWatch(self.clock)
        self.timeline = Timeline(self.state, LocalBus(), self.clock)
        self.correlator = Correlator(
            self.timeline,
            red=self.red,
            telemetry=self.traces,
            releases=self.releases,
            settings=self.state,
            clock=self.clock,
            ids=Ids(),
            tracing=TracingAlertsConfig(),
            anomalies=AnomalyConfig(),
        )

    async def live(self, seconds: int, service: str = "payment", **each: float) -> None:
        """Let time pass with such traffic in every second, and look every ten."""
        for second in range(seconds):
            if each:
                self.red.add(service, int(self.clock.now().timestamp()), **each)  # type: ignore[arg-type]
            self.clock.pass_s(1)
            if second % 10 == 9:
                await self.correlator.look()

    def lasting(self) -> dict[str, Event]:
        return {event.fingerprint: event for event in self.timeline.lasting()}

    def slow(self, duration_ms: float, root: str = "web", *services: str) -> None:
        self.traces.found.append(
            TraceSummary(
                trace_id=f"{len(self.traces.found):032x}",
                root_service=root,
                root_operation="GET /",
                start=self.clock.now() - timedelta(seconds=5),
                duration_ms=duration_ms,
                span_count=2,
                error_count=0,
                services=(root, *services),
            )
        )


async def test_errors_above_ten_a_second_for_five_minutes_alert_and_end_when_they_are_over() -> None:
    desk = Desk()
    await desk.live(240, requests=1000, errors=11)
    assert "tracing|errors|payment" not in desk.lasting()
    await desk.live(130, requests=1000, errors=11)
    alert = desk.lasting()["tracing|errors|payment"]
    assert (alert.type, alert.severity, alert.services) == (EventType.ALERT, EventSeverity.CRITICAL, ("payment",))
    assert alert.traces == ("example-of-payment",)
    assert (desk.clock.now() - alert.time).total_seconds() > 300
    await desk.live(130, requests=1000, errors=1)
    assert "tracing|errors|payment" not in desk.lasting()


async def test_a_burst_of_errors_is_no_alert() -> None:
    desk = Desk()
    await desk.live(300, requests=100)
    await desk.live(100, requests=1000, errors=40)
    await desk.live(200, requests=100)
    assert not [one for one in desk.state.events_by_id.values() if one.fingerprint.startswith("tracing|")]


async def test_a_slow_95th_percentile_for_five_minutes_is_a_warning_that_silence_does_not_end() -> None:
    desk = Desk()
    await desk.live(380, requests=1, ms=2500)
    alert = desk.lasting()["tracing|latency|payment"]
    assert alert.severity is EventSeverity.WARNING
    await desk.live(120)
    assert "tracing|latency|payment" in desk.lasting()


async def test_no_traces_for_five_minutes_alert_once_there_had_been_some() -> None:
    desk = Desk()
    await desk.live(400)
    assert desk.lasting() == {}  # none were ever seen: nothing is known
    await desk.live(60, requests=5)
    await desk.live(310)
    assert desk.lasting()["tracing|silence"].severity is EventSeverity.CRITICAL
    await desk.live(20, requests=5)
    assert "tracing|silence" not in desk.lasting()


async def test_the_time_in_which_nobody_listened_is_not_silence() -> None:
    desk = Desk()
    await desk.live(60, requests=5)
    desk.clock.pass_s(3600)
    again = Desk(desk.state, desk.clock)
    again.red = desk.red
    again.correlator._red = desk.red
    await again.live(200)
    assert again.lasting() == {}
    await again.live(120)
    assert "tracing|silence" in again.lasting()


async def test_slow_traces_are_an_anomaly_for_the_service_at_which_they_came_in() -> None:
    desk = Desk()
    await desk.live(60, service="web", requests=5, ms=1500)
    for number in range(7):
        desk.slow(1200 + number, "web", "payment")
    await desk.live(10, service="web", requests=5, ms=1500)
    event = desk.lasting()["anomaly|latency|web"]
    assert (event.title, event.type, event.severity) == (
        "High Latency Detected",
        EventType.ANOMALY,
        EventSeverity.WARNING,
    )
    assert (event.services, len(event.traces)) == (("web", "payment"), 5)
    await desk.live(90, service="web", requests=5)
    assert "anomaly|latency|web" not in desk.lasting()


async def test_traces_are_not_searched_while_the_rollups_know_of_no_slow_request() -> None:
    desk = Desk()
    await desk.live(100, requests=50)
    assert desk.traces.searches == 0


async def test_an_error_rate_above_five_percent_is_an_alert_and_with_slowness_an_incident() -> None:
    desk = Desk()
    await desk.live(60, service="web", requests=5, ms=1500)
    desk.slow(1500, "web", "payment")
    await desk.live(20, requests=20, errors=2)
    found = desk.lasting()
    assert found["anomaly|errors|payment"].title == "Elevated Error Rate"
    assert found["anomaly|errors|payment"].severity is EventSeverity.CRITICAL
    both = found["anomaly|both|web"]
    assert (both.type, both.severity) == (EventType.INCIDENT, EventSeverity.CRITICAL)
    assert set(both.services) == {"web", "payment"}
    await desk.live(100)
    assert "anomaly|errors|payment" in desk.lasting()
    for service in ("web", "payment"):
        await desk.live(100, service, requests=20)
    assert not [key for key in desk.lasting() if key.startswith("anomaly|")]


async def test_an_alert_of_errors_begins_with_the_first_request_that_failed() -> None:
    desk = Desk()
    await desk.live(90, requests=20)
    sound_until = desk.clock.now()
    await desk.live(30, requests=20, errors=6)
    assert desk.lasting()["anomaly|errors|payment"].time >= sound_until - timedelta(seconds=2)


async def test_a_few_requests_are_no_error_rate() -> None:
    desk = Desk()
    desk.red.add("rare", int(desk.clock.now().timestamp()), requests=10, errors=5)
    await desk.live(20)
    assert desk.lasting() == {}


async def test_a_new_version_is_a_deployment_and_survives_a_restart_as_known() -> None:
    desk = Desk()
    desk.releases.note_texts(['{"service.name": "payment", "service.version": "1.0"}'])
    desk.releases.note_texts(['{"service.name": "payment", "service.version": "1.1"}'])
    await desk.correlator.look()
    (event,) = desk.state.events_by_id.values()
    assert (event.type, event.change, event.services) == (EventType.DEPLOYMENT, "deployment", ("payment",))
    assert (event.title, event.data["previous_version"]) == ("payment runs 1.1", "1.0")
    await desk.correlator.remember()
    again = Desk(desk.state)
    await again.correlator.open()
    again.releases.note_texts(['{"service.name": "payment", "service.version": "1.1"}'])
    assert again.releases.take() == []


async def test_what_lasts_is_told_once_also_across_a_restart() -> None:
    desk = Desk()
    await desk.live(30, requests=20, errors=5)
    count = len(desk.state.events_by_id)
    again = Desk(desk.state, desk.clock)
    again.correlator._red = again.red = desk.red
    await again.correlator.open()
    await again.live(30, requests=20, errors=5)
    assert len(desk.state.events_by_id) == count


async def test_an_error_rate_lasts_while_there_are_too_few_requests_to_say_that_it_is_over() -> None:
    desk = Desk()
    await desk.live(80, requests=20, errors=5)
    await desk.live(100)  # the senders are gone
    assert "anomaly|errors|payment" in desk.lasting()
    desk.red.add("payment", int(desk.clock.now().timestamp()), requests=3)
    await desk.live(20)
    assert "anomaly|errors|payment" in desk.lasting()
    await desk.live(100, requests=20)
    assert desk.lasting() == {}


async def test_the_first_look_after_a_restart_ends_nothing() -> None:
    desk = Desk()
    await desk.live(80, requests=20, errors=5)
    again = Desk(desk.state, desk.clock)  # its rollups begin now
    await again.correlator.open()
    await again.live(30, requests=20)
    assert "anomaly|errors|payment" in again.lasting()
    await again.live(60, requests=20)
    assert again.lasting() == {}


HOUR_S = 3600


async def test_the_alert_of_a_service_that_never_sends_again_ends_after_a_day_also_across_a_restart() -> None:
    desk = Desk()
    await desk.live(80, requests=20, errors=5)
    await desk.live(1200)  # it was retired
    desk.clock.pass_s(22 * HOUR_S)
    again = Desk(desk.state, desk.clock, desk.red)
    await again.correlator.open()
    await again.correlator.look()
    assert "anomaly|errors|payment" in again.lasting()
    again.clock.pass_s(1 * HOUR_S)
    await again.correlator.look()
    assert "anomaly|errors|payment" in again.lasting()
    again.clock.pass_s(1 * HOUR_S)
    await again.correlator.look()
    assert again.lasting().keys() == {"tracing|silence"}


async def test_the_time_in_which_nobody_listened_does_not_end_an_alert() -> None:
    desk = Desk()
    await desk.live(80, requests=20, errors=5)
    await desk.live(1200)
    down_s = int(desk.clock.now().timestamp())
    desk.clock.pass_s(72 * HOUR_S)
    desk.red.gaps = ((down_s, down_s + 72 * HOUR_S),)
    await desk.live(300)
    assert "anomaly|errors|payment" in desk.lasting()
    desk.clock.pass_s(24 * HOUR_S)
    await desk.correlator.look()
    assert desk.lasting().keys() == {"tracing|silence"}


async def test_a_service_that_fails_again_within_the_day_begins_its_time_anew() -> None:
    desk = Desk()
    await desk.live(80, requests=20, errors=5)
    for _ in range(3):
        await desk.live(1200)
        desk.clock.pass_s(23 * HOUR_S)
        await desk.correlator.look()
        assert UNKNOWN_SINCE in desk.lasting()["anomaly|errors|payment"].data
        await desk.live(80, requests=20, errors=5)
        assert UNKNOWN_SINCE not in desk.lasting()["anomaly|errors|payment"].data
