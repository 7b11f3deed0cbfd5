"""Sampling within the running path: no trace is half kept and no span uncounted, whatever is killed when."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import anyio
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.config import ReceiverConfig, StorageConfig
from homeostat.core.errors import HomeostatError
from homeostat.core.models import TraceQuery
from homeostat.core.sampling import SamplingConfig
from homeostat.observe.counters import Counters
from homeostat.observe.decode.traces import decode
from homeostat.observe.intake import Intake
from homeostat.observe.keeper import Group
from homeostat.observe.lanes import decode_traces
from homeostat.observe.pipeline import Pipeline, running
from homeostat.observe.presence import Presence
from homeostat.observe.red import Red, RedLimits
from homeostat.observe.rollup_restoring import restore
from homeostat.observe.rollups import Rollups
from homeostat.observe.sampling.sampler import Sampler
from homeostat.observe.trace_keeper import TraceKeeper
from homeostat.observe.waiting import WAIT_S
from homeostat.store.telemetry.lane import FlushPolicy
from homeostat.store.telemetry.store import EmbeddedTelemetryStore
from support.sampled import forgetful, span_ids
from support.spans import CLIENT, NOON_S, HandClock, S, body, trace_hex

HTTP_ONLY = ReceiverConfig.only(otlp_http_port=0)
HALF = SamplingConfig.model_validate(
    {
        "quiet_traces_per_second": 0,
        "policies": [
            {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
            {"name": "half", "type": "probabilistic", "probabilistic": {"sampling_percentage": 50}},
        ],
    }
)
DEFAULT = SamplingConfig()


class TracePath:
    """The path of traces without its threads, so that it can be killed between any two steps."""

    def __init__(self, directory: Path, clock: HandClock, sampling: SamplingConfig | None) -> None:
        self.config = StorageConfig(path=directory, min_free_mib=1)
        self.clock = clock
        self.sampling = sampling
        self.start()

    def start(self) -> None:
        self.store = EmbeddedTelemetryStore(self.config, self.clock, FlushPolicy())
        self.red = Red(self.clock, RedLimits(minutes=180))
        presence = Presence(self.config.path / "telemetry" / "presence.json", self.clock, 86400)
        self.rollups = Rollups(self.red, self.store.catalogue, presence, self.clock, self.config.retention)
        sampler = Sampler(self.sampling, seed=1) if self.sampling is not None else None
        self.keeper = TraceKeeper(self.red, self.rollups, presence, self.clock, sampler)
        self.store.undecided = self.keeper.undecided
        self.intake = Intake(self.store, decode_traces, self.keeper, Counters(self.clock), lambda: None)
        attachments = self.store.catalogue.state.attachments
        self.red.begin_delta()
        self.keeper.restore(self.store.catalogue.attachment_dir, attachments)
        restore(self.red, self.store.catalogue.attachment_dir, attachments, int(self.clock.now().timestamp()))
        self.intake.replay()
        presence.begin(int(self.clock.now().timestamp()))

    def send(self, spans: Sequence[S]) -> None:
        """What the intake's thread does with a group of one request."""
        payload = body(spans)
        last_seq = self.store.append([payload])
        batch = decode([payload])
        self.store.add(self.keeper.keep(Group(batch.table, last_seq, last_seq, settled=False)), last_seq)
        self.intake.count(batch.table)

    def release(self, *, final: bool = False) -> None:
        """What it does after each group."""
        rows = self.keeper.release(final=final)
        if rows is not None:
            self.store.add(rows, self.store.last_seq)

    def kill(self) -> None:
        """Nothing is closed or written."""
        self.start()

    async def stored(self, traces: int) -> dict[int, Counter[int]]:
        found: dict[int, Counter[int]] = {}
        for number in range(1, traces + 1):
            trace = await self.store.trace(trace_hex(number))
            if trace is not None:
                found[number] = Counter(int(span.span_id, 16) for span in trace.spans)
        return found


SPANS_PER_TRACE = 4


def _spans(traces: int, chance: random.Random) -> list[S]:
    spans = [
        S(
            trace=number,
            span=place,
            parent=place - 1,
            service="shop" if place < 3 else "bank",
            kind=CLIENT if place == 2 else 2,
            at=-chance.random(),
            ms=float(chance.randrange(40)),
            error=number % 7 == 0 and place == 2,
        )
        for number in range(1, traces + 1)
        for place in range(1, SPANS_PER_TRACE + 1)
    ]
    chance.shuffle(spans)
    return spans


STEPS = st.lists(
    st.one_of(
        st.integers(1, 12),  # spans to send
        st.sampled_from([0.3, 1.5, 40.0]),
        st.sampled_from(["kill", "seal", "flush", "off", "on"]),
    ),
    min_size=4,
    max_size=40,
)


@given(STEPS, st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_no_trace_is_half_kept_and_no_span_uncounted_whatever_is_killed_when(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int | float | str], seed: int
) -> None:
    anyio.run(_check, tmp_path_factory.mktemp("killed"), steps, seed)


async def _check(directory: Path, steps: list[int | float | str], seed: int) -> None:
    clock = HandClock()
    path = TracePath(directory, clock, HALF)
    truth = Red(clock)
    traces = 20
    waiting = _spans(traces, random.Random(seed))
    sent: list[S] = []

    def send(count: int) -> None:
        spans = [replace(span, at=span.at + clock.now().timestamp() - NOON_S) for span in waiting[:count]]
        del waiting[:count]
        if spans:
            path.send(spans)
            truth.fold(decode([body(spans)]).table)
            sent.extend(spans)

    for step in steps:
        match step:
            case int():
                send(step)
            case float():
                clock.advance(step)
            case "kill":
                path.kill()
            case "seal":
                path.store.seal()
            case "flush":
                assert path.store.flush()
            case _:
                path.sampling = HALF if step == "on" else None
        path.release()
    path.sampling = HALF
    send(len(waiting))
    clock.advance(100)
    path.release(final=True)
    path.store.seal()
    assert path.store.flush()
    path.kill()
    await _compare(path, truth, sent, steps)


async def _compare(path: TracePath, truth: Red, sent: list[S], steps: Sequence[object]) -> None:
    stored = await path.stored(20)
    spans_of = Counter(span.trace for span in sent)
    if "off" not in steps:  # switched off half-way, what comes late of a trace that was let go is kept by itself
        assert {number: len(spans) for number, spans in stored.items()} == {
            number: spans_of[number] for number in stored
        }, "a kept trace is kept whole"
    assert all(count == 1 for spans in stored.values() for count in spans.values()), "and once"
    start_s, end_s = NOON_S - 10, int(path.clock.now().timestamp()) + 1
    expected = [(p.service, p.requests, p.errors, p.histogram) for p in truth.window(start_s, end_s)]
    assert [(p.service, p.requests, p.errors, p.histogram) for p in path.rollups.window(start_s, end_s)] == expected
    # Half a call waits a minute or two for the other half; read again after a kill, longer than without one.
    all_at_once = Red(path.clock)
    all_at_once.fold(decode([body(sent)]).table)
    least, found, most = (
        {(edge.caller, edge.callee): (edge.requests, edge.errors) for edge in red.edges(start_s, end_s)}
        for red in (truth, path.rollups, all_at_once)
    )
    assert least.keys() <= found.keys() <= most.keys()
    for edge, counts in found.items():
        bounds = zip(least.get(edge, (0, 0)), counts, most[edge], strict=True)
        assert all(low <= count <= high for low, count, high in bounds)
    if sum(step for step in steps if isinstance(step, float)) < WAIT_S:
        assert found == most


async def test_what_is_decided_and_can_not_be_stored_at_once_is_stored_later_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = HandClock()
    path = TracePath(tmp_path, clock, SamplingConfig())
    path.send([S(1, 1, at=-2, error=True)])
    path.intake.stop()
    with monkeypatch.context() as broken:
        broken.setattr(path.store, "add", _fail)
        for _ in range(3):
            path.intake.run()
    assert [record.message for record in caplog.records] == [
        "What was held back could not be let go of; it is tried again"
    ]
    assert path.store.sealed_count == 0, "a checkpoint would say that it is stored"
    path.intake.run()
    path.intake.run()
    assert await path.stored(1) == {1: Counter([1])}


async def test_senders_are_sent_away_while_what_was_decided_can_not_be_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = HandClock()
    path = TracePath(tmp_path, clock, SamplingConfig())
    path.send([S(1, 1, at=-2, error=True)])
    clock.advance(5)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, path.intake.run)
        with monkeypatch.context() as broken:
            broken.setattr(path.store, "add", _fail)
            answers = [await _answer(path, S(number, 1)) for number in range(2, 8)]
            assert "Nothing is lost" in answers[-1]
            last_seq = path.store.last_seq
            await _answer(path, S(9, 1))
            assert path.store.last_seq == last_seq, "the log does not grow"
        while "lost" in await _answer(path, S(10, 1)):  # the thread tries again by itself
            clock.advance(1)
        path.intake.stop()
    assert (await path.stored(1)).keys() == {1}


async def _answer(path: TracePath, span: S) -> str:
    try:
        return str(await path.intake.submit(body([span])))
    except HomeostatError as error:
        return str(error)


def _fail(*_: object) -> None:
    raise MemoryError("none left")


QUICK_STEPS = st.lists(st.sampled_from([1, 3, 8, "wait", "wait", "seal", "kill"]), min_size=6, max_size=30)


@given(QUICK_STEPS, st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_no_span_is_stored_twice_whatever_is_killed_when_and_however_few_decisions_are_remembered(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int | str], seed: int
) -> None:
    keep_all = SamplingConfig.model_validate(
        {"policies": [{"name": "all", "type": "always_sample"}], "decision_wait": "1000s"}
    )
    clock = HandClock()
    path = TracePath(tmp_path_factory.mktemp("forgetful"), clock, forgetful(keep_all))
    path.send([S(100, 2, 1, at=-1)])  # waits for its root: a restart reads the log from here
    waiting = _spans(20, random.Random(seed))
    for step in steps:
        match step:
            case int() if waiting[:step]:
                path.send(waiting[:step])
                del waiting[:step]
            case "wait":
                clock.advance(1.5)
            case "kill":
                path.kill()
            case "seal":
                path.store.seal()
                assert path.store.flush()
            case _:
                pass
        path.release()
    path.kill()
    sent = 20 * SPANS_PER_TRACE - len(waiting)
    path.release(final=True)
    rows = _rows(path.store)
    assert max(rows.values()) == 1
    assert len(rows) == sent + 1, "all are kept: none is lost either"


def _rows(store: EmbeddedTelemetryStore) -> Counter[tuple[int, int]]:
    """How often each span lies in memory and segments: readers see it once all the same."""
    tables, segments = store.parts()
    return Counter(span_ids([*tables, *(segment.read(["trace_id", "span_id"]) for segment in segments)]))


# -- the whole path --------------------------------------------------------------------------------------------


async def _send(pipeline: Pipeline, spans: list[S]) -> None:
    async with httpx2.AsyncClient() as client:
        url = f"http://127.0.0.1:{pipeline.http_port}/v1/traces"
        response = await client.post(url, content=body(spans), headers={"content-type": "application/x-protobuf"})
    assert response.status_code == 200


async def _until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.005)


async def test_a_trace_is_there_by_its_id_before_it_is_decided_and_not_found_by_a_search(tmp_path: Path) -> None:
    clock = HandClock()
    storage = StorageConfig(path=tmp_path, min_free_mib=1)
    async with running(HTTP_ONLY, storage, clock, sampling=DEFAULT) as pipeline:
        await _send(pipeline, [S(1, 1, at=-2, error=True), S(1, 2, 1, at=-2)])
        trace = await pipeline.store.trace(trace_hex(1))
        assert trace is not None
        assert len(trace.spans) == 2
        since = clock.now().replace(minute=0, hour=11)
        assert await pipeline.store.example_traces("shop", since, errors=True) == [trace_hex(1)]
        assert (await pipeline.store.search(TraceQuery(start=since, end=clock.now()))).traces == ()
        clock.advance(2)
        await _until(lambda: pipeline.store.undecided() == [])
        found: list[str] = []
        with anyio.fail_after(10):
            while not found:  # it is decided a moment before it is stored
                page = await pipeline.store.search(TraceQuery(start=since, end=clock.now()))
                found = [summary.trace_id for summary in page.traces]
        assert found == [trace_hex(1)]


async def test_what_is_not_kept_is_counted_and_in_rates(tmp_path: Path) -> None:
    clock = HandClock()
    storage = StorageConfig(path=tmp_path, min_free_mib=1)
    async with running(HTTP_ONLY, storage, clock, sampling=DEFAULT) as pipeline:
        await _send(pipeline, [S(number, 1, at=-2, error=number % 100 == 0) for number in range(1, 1001)])
        clock.advance(2)
        await _until(lambda: pipeline.counters.spans_sampled_out > 0)
        await _until(lambda: sum(point.requests for point in pipeline.red.window(NOON_S - 9, NOON_S)) == 1000)
        sampled_out = pipeline.counters.spans_sampled_out
    assert 800 < sampled_out < 990
    store = EmbeddedTelemetryStore(storage, clock)
    (table,) = [segment.read(["sampling_probability", "status_code"]) for segment in store.parts()[1]]
    assert table.num_rows == 1000 - sampled_out
    weights = [1 / value for value in table["sampling_probability"].to_pylist()]
    assert sum(weights) == pytest.approx(1000, rel=0.01)
    assert table["status_code"].to_pylist().count(2) == 10, "errors are kept, all of them"


async def test_rates_are_unknown_when_the_catalogue_that_named_them_is_lost(tmp_path: Path) -> None:
    clock = HandClock()
    storage = StorageConfig(path=tmp_path, min_free_mib=1)
    async with running(HTTP_ONLY, storage, clock) as pipeline:
        await _send(pipeline, [S(1, 1, at=-2)])
        clock.advance(7200)
    (tmp_path / "telemetry" / "segments" / "catalogue.json").unlink()
    async with running(HTTP_ONLY, storage, clock) as pipeline:
        known = pipeline.red.reach().known_from_s
        assert known is None or known >= NOON_S + 7200 - 900
        assert await pipeline.store.trace(trace_hex(1)) is not None
