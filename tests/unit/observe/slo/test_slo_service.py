"""Objectives over time: read, judged, alerted, told, remembered across a restart; made, changed and deleted."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from slo_parts import NOW, NOW_S, RedMinutesTable, an_slo

from homeostat.bus import LocalBus
from homeostat.core.config import SloConfig
from homeostat.core.errors import (
    BadRequestError,
    ConfigError,
    ConflictError,
    HomeostatError,
    NotFoundError,
    StoreError,
    TooManyError,
)
from homeostat.core.events import Event, EventSeverity, EventType
from homeostat.core.metrics import Exemplar, MetricAggregation, MetricInfo, MetricQuery, MetricSeries
from homeostat.core.models import EffectClass, PlanStep, Run, RunStatus, Verdict
from homeostat.core.slo import Comparison, Selector, Sli, SliKind, Slo, SloState
from homeostat.observe.slo import SloService, Sources, forecast_text
from homeostat.observe.slo.handing_on import WAITING_MAX, HandingOn
from homeostat.runtime import SystemIds
from support.memory_state import MemoryState


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = NOW + timedelta(seconds=59)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


class Sink:
    """Writes alerts down, unless it refuses them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.refusal: HomeostatError | None = None
        self.asked = 0

    async def alert(self, event: Event) -> None:
        self.asked += 1
        if self.refusal is not None:
            raise self.refusal
        self.events.append(event)


class MetricTable:
    """Metrics by the minute; implements MetricStore."""

    def __init__(self) -> None:
        self.values: dict[str, dict[int, float]] = {}
        self.asked: list[MetricQuery] = []
        self.broken = False

    async def metrics(self, since: datetime, *, contains: str = "", limit: int = 1_000) -> list[MetricInfo]:
        return []

    async def exemplars(self, query: MetricQuery) -> list[Exemplar]:
        return []

    async def series(self, query: MetricQuery) -> list[MetricSeries]:
        if self.broken:
            raise BadRequestError("cpu is no histogram.")
        self.asked.append(query)
        start, end = int(query.start.timestamp()), int(query.end.timestamp())
        held = self.values.get(query.name, {})
        values = tuple(held.get(at) for at in range(start, end, 60))
        return [MetricSeries(name=query.name, labels={}, start_s=start, step_s=60, values=values)]


class World:
    """A service over tables."""

    def __init__(self, config: SloConfig | None = None) -> None:
        self.config = config or SloConfig(defaults=False)
        self.clock, self.bus, self.sink = Clock(), LocalBus(), Sink()
        self.state, self.red, self.metrics = MemoryState(), RedMinutesTable(), MetricTable()

    async def start(self) -> SloService:
        sources = Sources(self.red, self.state, self.metrics)
        service = SloService(
            self.config,
            sources,
            self.state,  # pyright: ignore[reportArgumentType] - what it asks of a StateStore is there
            clock=self.clock,
            ids=SystemIds(),
            bus=self.bus,
            on_alert=self.sink,
        )
        await service.open()
        return service

    def serve(self, minutes: int, *, requests: int = 100, errors: int = 0) -> None:
        """Let minutes pass with this traffic."""
        for _ in range(minutes):
            self.red.add(int(self.clock.time.timestamp()) // 60 * 60, requests, errors)
            self.clock.time += timedelta(minutes=1)
        self.clock.time -= timedelta(minutes=1)  # the last of them is the present one

    def pass_minute(self) -> None:
        self.clock.time += timedelta(minutes=1)


async def test_the_defaults_are_there_and_unknown_without_data() -> None:
    world = World(SloConfig())
    service = await world.start()
    await service.look()
    found = service.statuses()
    assert len(found) == 5
    assert {status.state for status in found} == {SloState.UNKNOWN}
    assert {status.covered_s for status in found} == {0.0}
    assert {forecast_text(status) for status in found} == {"unknown: no data"}


async def test_a_deleted_default_does_not_come_back_until_it_is_made_again() -> None:
    world = World(SloConfig())
    service = await world.start()
    gone = service.book.all()[0]
    await service.delete(gone.id)
    service = await world.start()
    assert gone.id not in {slo.id for slo in service.book.all()}
    await service.put([gone])
    assert gone.id in {slo.id for slo in (await world.start()).book.all()}


async def test_minutes_are_read_once_and_only_the_newest_again() -> None:
    world = World()
    service = await world.start()
    world.serve(120)
    await service.put([an_slo()])
    first = len(world.red.asked)
    status = service.statuses()[0]
    assert status.total == 12_000
    assert status.covered_s == pytest.approx(119 * 60 + 59)
    world.pass_minute()
    world.serve(1, errors=1)
    await service.look()
    assert service.statuses()[0].total == 12_100
    again = world.red.asked[first:]
    assert all(end - start <= 11 * 60 for start, end in again), again


async def test_late_telemetry_counts_as_long_as_it_is_looked_for() -> None:
    world = World()
    service = await world.start()
    world.serve(120)
    await service.put([an_slo()])
    world.red.add(NOW_S + 30 * 60, 200, 50)  # a sender that was cut off
    world.pass_minute()
    world.serve(60)
    await service.look()
    assert service.statuses()[0].total == 12_000 + 100 + 6_000


async def test_an_alert_begins_is_told_and_ends() -> None:
    world = World()
    service = await world.start()
    world.serve(90)
    await service.put([an_slo()])
    assert world.sink.events == []
    world.pass_minute()
    world.serve(10, errors=20)
    async with world.bus.subscribe(("slos",)) as messages:
        await service.look()
        told = await anext(messages)
    begun = list(world.sink.events)
    names = {event.data["rule"] for event in begun}
    assert "page 14.4x 1h/5m" in names
    assert {event.ended_at for event in begun} == {None}
    page = next(event for event in begun if event.data["rule"] == "page 14.4x 1h/5m")
    assert (page.type, page.severity, page.source) == (EventType.ALERT, EventSeverity.CRITICAL, "slo:slo-1")
    assert page.services == ("shop",)
    assert set(told.data["firing"]) == names  # pyright: ignore[reportArgumentType]
    assert service.violations()["Shop availability", "critical"] >= 1
    since = service.statuses()[0].firing[0].since
    await service.look()
    assert len(world.sink.events) == len(begun)
    assert service.statuses()[0].firing[0].since == since

    world.pass_minute()
    world.serve(10)
    await service.look()
    ended = world.sink.events[len(begun) :]
    assert page.id in {event.id for event in ended}
    assert all(event.ended_at == world.clock.time for event in ended)


@pytest.mark.parametrize("refusal", [TooManyError("5,000 events last already."), StoreError("The disk is full.")])
async def test_an_alert_that_is_refused_is_handed_on_at_a_later_look(
    refusal: HomeostatError, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    service = await world.start()
    world.sink.refusal = refusal
    world.serve(30, errors=20)
    await service.put([an_slo()])
    begun = world.sink.asked
    await service.look()
    assert (begun > 0, world.sink.events, world.sink.asked) == (True, [], 2 * begun)
    assert caplog.text.count(str(refusal)) == 1, "it is told once, not at each look"

    service = await world.start()  # what waits survives
    world.sink.refusal = None
    await service.look()
    assert len(world.sink.events) == begun
    assert {event.ended_at for event in world.sink.events} == {None}
    await service.look()
    assert len(world.sink.events) == begun, "it is told once"


async def test_an_alert_that_ends_before_there_is_room_is_told_with_its_end() -> None:
    world = World()
    service = await world.start()
    world.sink.refusal = TooManyError("5,000 events last already.")
    world.serve(30, errors=20)
    await service.put([an_slo()])
    begun = world.sink.asked
    await service.delete("slo-1")
    world.sink.refusal = None
    await service.look()
    assert len(world.sink.events) == begun
    assert all(event.ended_at is not None for event in world.sink.events)


async def test_alerts_that_wait_are_bounded_and_those_that_are_over_are_given_up_first() -> None:
    world = World()
    queue = HandingOn(world.sink, world.state)  # pyright: ignore[reportArgumentType]
    world.sink.refusal = StoreError("The disk is full.")
    fields = {"type": EventType.ALERT, "title": "It burns", "severity": EventSeverity.CRITICAL, "source": "slo:x"}
    events = [Event.model_validate({"id": f"evt-{place}", "time": NOW, **fields}) for place in range(WAITING_MAX)]
    events[5] = events[5].model_copy(update={"ended_at": NOW})
    queue.add(events)
    queue.add([events[0].model_copy(update={"id": "evt-new"})])
    queue.add([events[0].model_copy(update={"id": "evt-newer"})])
    await queue.flush()
    world.sink.refusal = None
    await queue.flush()
    ids = [event.id for event in world.sink.events]
    assert len(ids) == WAITING_MAX
    assert ids[:6] == ["evt-1", "evt-2", "evt-3", "evt-4", "evt-6", "evt-7"]
    assert ids[-2:] == ["evt-new", "evt-newer"]


async def test_an_alert_that_fires_survives_a_restart_with_its_beginning() -> None:
    world = World()
    service = await world.start()
    world.serve(30, errors=20)
    await service.put([an_slo()])
    begun = list(world.sink.events)
    assert begun
    since = service.statuses()[0].firing[0].since
    world.pass_minute()
    world.serve(2, errors=20)
    service = await world.start()
    await service.look()
    assert world.sink.events == begun
    assert service.statuses()[0].firing[0].since == since


async def test_deleting_an_objective_ends_its_alerts() -> None:
    world = World()
    service = await world.start()
    world.serve(30, errors=20)
    await service.put([an_slo()])
    begun = len(world.sink.events)
    await service.delete("slo-1")
    assert len(world.sink.events) == 2 * begun
    assert all(event.ended_at is not None for event in world.sink.events[begun:])
    with pytest.raises(NotFoundError):
        service.status("slo-1")


async def test_silence_after_trouble_is_no_proof_of_health() -> None:
    world = World()
    service = await world.start()
    world.serve(30, errors=20)
    await service.put([an_slo()])
    begun = len(world.sink.events)
    for _ in range(8):
        world.pass_minute()
    await service.look()
    assert service.statuses()[0].firing
    assert len(world.sink.events) == begun


async def test_latency_counts_what_is_slower_than_the_threshold() -> None:
    world = World()
    service = await world.start()
    slow = dict.fromkeys((100, 150), 10)  # 6 ms, 442 ms
    world.red.add(NOW_S, 20, 0, slow)
    await service.put([an_slo(sli=Sli(kind=SliKind.LATENCY, threshold_ms=100.0))])
    assert service.statuses()[0].current == pytest.approx(0.5)


async def test_a_ratio_of_two_metrics_counts_increases() -> None:
    world = World()
    service = await world.start()
    world.metrics.values = {"all": {NOW_S - 60: 50.0, NOW_S - 120: 50.0}, "bad": {NOW_S - 60: 1.0}}
    sli = Sli(kind=SliKind.METRIC_RATIO, bad=Selector(metric="bad"), total=Selector(metric="all"))
    await service.put([an_slo(sli=sli)])
    status = service.statuses()[0]
    assert (status.good, status.total) == (99.0, 100.0)
    assert status.covered_s == pytest.approx(179)
    assert {query.aggregation for query in world.metrics.asked} == {MetricAggregation.INCREASE}
    assert {query.group_by for query in world.metrics.asked} == {()}


async def test_good_events_that_nobody_ever_saw_are_unknown_and_not_bad() -> None:
    world = World()
    service = await world.start()
    world.metrics.values = {"all": {NOW_S - 60: 50.0}}
    sli = Sli(kind=SliKind.METRIC_RATIO, good=Selector(metric="misspelt"), total=Selector(metric="all"))
    await service.put([an_slo(sli=sli)])
    assert service.statuses()[0].state is SloState.UNKNOWN


async def test_minutes_in_which_a_metric_holds_are_counted() -> None:
    world = World()
    service = await world.start()
    world.metrics.values = {"cpu": {NOW_S - 60: 0.5, NOW_S - 120: 0.9, NOW_S - 180: 0.8}}
    sli = Sli(kind=SliKind.METRIC_THRESHOLD, metric=Selector(metric="cpu"), comparison=Comparison.LTE, threshold=0.8)
    await service.put([an_slo(sli=sli)])
    assert (service.statuses()[0].good, service.statuses()[0].total) == (2, 3)


@pytest.mark.parametrize(
    "sli",
    [
        Sli(kind=SliKind.METRIC_RATIO, bad=Selector(metric="bad"), total=Selector(metric="all")),
        Sli(kind=SliKind.METRIC_THRESHOLD, metric=Selector(metric="all"), comparison=Comparison.GT, threshold=1.0),
        Sli(kind=SliKind.HEALING),
    ],
    ids=lambda sli: sli.kind.value,
)
async def test_the_time_in_which_homeostat_was_down_is_neither_good_nor_bad_but_unknown(sli: Sli) -> None:
    world = World()
    service = await world.start()
    minutes = [NOW_S - 3600, *range(NOW_S - 600, NOW_S, 60)]
    world.metrics.values = {"all": dict.fromkeys(minutes, 50.0)}
    for place, minute_s in enumerate(minutes):
        judged_at = datetime.fromtimestamp(minute_s, NOW.tzinfo)
        await world.state.append(a_run(f"run-{place}", RunStatus.VERIFIED, True, judged_at=judged_at))
    world.red.known_from_s, world.red.gaps = NOW_S - 7200, ((NOW_S - 3000, NOW_S - 600),)
    await service.put([an_slo(sli=sli, window=timedelta(days=7))])
    (status,) = service.statuses()
    assert status.good == status.total > 0
    assert status.covered_s == pytest.approx(3600 - 2400, abs=61)
    _, points = service.history("slo-1", 600)
    good = {
        int(point.time.timestamp()) - NOW_S: point.good for point in points if point.time > NOW - timedelta(hours=2)
    }
    assert {value for at, value in good.items() if -3000 <= at < -1200} == {None}
    assert sum(value for value in good.values() if value) == status.good


async def test_an_objective_that_cannot_be_read_says_why_and_stops_no_other() -> None:
    world = World()
    service = await world.start()
    world.serve(5)
    world.metrics.broken = True
    sli = Sli(kind=SliKind.METRIC_THRESHOLD, metric=Selector(metric="cpu"), comparison=Comparison.LTE, threshold=0.8)
    await service.put([an_slo(id="slo-a", sli=sli), an_slo(id="slo-b")])
    broken, fine = service.statuses()
    assert (broken.state, broken.problem) == (SloState.UNKNOWN, "cpu is no histogram.")
    assert fine.state is SloState.HEALTHY


async def test_healing_counts_what_was_judged_and_nothing_else() -> None:
    world = World()
    service = await world.start()
    outcomes = [
        (RunStatus.VERIFIED, True),
        (RunStatus.UNDONE, False),
        (RunStatus.FAILED, None),
        (RunStatus.REJECTED, None),
        (RunStatus.IN_DOUBT, None),
        (RunStatus.ACTED, None),
    ]
    for place, (status, helped) in enumerate(outcomes):
        await world.state.append(a_run(f"run-{place}", status, helped))
    await world.state.append(a_run("run-dry", RunStatus.VERIFIED, True, dry_run=True))
    await service.put([an_slo(sli=Sli(kind=SliKind.HEALING))])
    assert (service.statuses()[0].good, service.statuses()[0].total) == (1, 3)


async def test_compatible_words_make_the_indicator_they_mean() -> None:
    service = await World().start()
    kinds = {
        metric: (await service.make("n", on, target_percentage=99.9, metric=metric, threshold=5.0)).slo.sli
        for on, metric in (
            ("shop", "availability"),
            ("shop", "error_rate"),
            ("shop", "latency"),
            ("self-healing-engine", "success_rate"),
            ("shop", "queue.depth"),
        )
    }
    assert [sli.kind for sli in kinds.values()] == [
        SliKind.AVAILABILITY,
        SliKind.AVAILABILITY,
        SliKind.LATENCY,
        SliKind.HEALING,
        SliKind.METRIC_THRESHOLD,
    ]
    assert {slo.target for slo in service.book.all()} == {0.999}


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": timedelta(minutes=5)},
        {"window": timedelta(days=91)},
        {"window": timedelta(days=1, seconds=1)},
        {"target": 0.99999999},
        {"slice_s": 90},
        {"sli": Sli(kind=SliKind.LATENCY)},
        {"sli": Sli(kind=SliKind.AVAILABILITY, threshold_ms=3)},
        {"sli": Sli(kind=SliKind.METRIC_RATIO, total=Selector(metric="a"))},
        {"sli": Sli(kind=SliKind.METRIC_THRESHOLD, metric=Selector(metric="a"))},
    ],
)
async def test_an_objective_that_cannot_be_is_refused_and_changes_nothing(wrong: dict[str, object]) -> None:
    service = await World().start()
    with pytest.raises(BadRequestError):
        await service.put([an_slo(id="slo-good"), an_slo(**wrong)])
    assert service.book.all() == []


async def test_what_a_file_defines_is_changed_only_there(tmp_path: Path) -> None:
    from homeostat.observe.slo.openslo_write import openslo_yaml

    (tmp_path / "slo.yaml").write_text(openslo_yaml([an_slo()]))
    service = await World(SloConfig(defaults=False, files=(tmp_path,))).start()
    slo: Slo = service.book.all()[0]
    for change in (service.put([slo]), service.delete(slo.id)):
        with pytest.raises(ConflictError):
            await change
    (tmp_path / "slo.yaml").write_text("kind: SLO")
    with pytest.raises(ConfigError):
        await World(SloConfig(files=(tmp_path,))).start()


async def test_the_history_has_a_bound_and_whole_minutes() -> None:
    service = await World().start()
    await service.put([an_slo()])
    step_s, points = service.history("slo-1")
    assert (step_s, len(points)) == (10_800, 240)
    for wrong in (61, 60):
        with pytest.raises(BadRequestError):
            service.history("slo-1", wrong)


TEN_MINUTES_AGO = NOW - timedelta(minutes=10)


def a_run(
    run_id: str,
    status: RunStatus,
    helped: bool | None,
    *,
    dry_run: bool = False,
    judged_at: datetime = TEN_MINUTES_AGO,
) -> Run:
    """A remediation."""
    at = judged_at
    verdict = None
    if helped is not None:
        verdict = Verdict(
            helped=helped,
            signal="error_rate",
            before=0.3,
            after=0.0,
            unit="ratio",
            sample_size=10,
            reason="measured",
            judged_at=at,
        )
    return Run(
        id=run_id,
        incident_id="incident-1",
        issue_id="issue-1",
        plan_id="plan-1",
        plan_digest="d",
        step=PlanStep(action="restart_process", resource="process:shop", why="dead", confidence=0.9),
        effect=EffectClass.PROBEABLE,
        status=status,
        created_at=at,
        intent_at=at,
        finished_at=at,
        verdict=verdict,
        dry_run=dry_run,
    )
