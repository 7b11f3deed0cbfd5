"""What was counted is there after restarts, merges and retention: exactly, and quickly."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.red import Edge, RedPoint, share_within
from homeostat.observe.presence import Presence
from homeostat.observe.red import Red, RedLimits
from homeostat.observe.rollup_restoring import restore
from homeostat.observe.rollups import Rollups
from homeostat.observe.trace_keeper import TraceKeeper
from homeostat.store.telemetry.catalogue import Catalogue
from homeostat.store.telemetry.rollup_files import parse_names
from homeostat.store.telemetry.segment import SPAN_LAYOUT
from support.spans import CLIENT, NOON, NOON_S, SERVER, HandClock, S, table

MINUTE, HOUR, DAY = 60, 3600, 86400
RETENTION = timedelta(days=30)


class Counting:
    """Rollups over a directory, with checkpoints made by hand. ``again`` is what a kill and a start do."""

    def __init__(self, directory: Path, clock: HandClock, minutes: int = 180) -> None:
        self.directory = directory
        self.clock = clock
        self.minutes = minutes
        self.seq = 0
        self.uncovered: list[list[S]] = []  # what the log would bring back
        self._open()

    def _open(self) -> None:
        self.catalogue = Catalogue(self.directory / "segments", SPAN_LAYOUT)
        self.red = Red(self.clock, RedLimits(minutes=self.minutes))
        presence = Presence(self.directory / "presence.json", self.clock, int(RETENTION.total_seconds()))
        self.rollups = Rollups(self.red, self.catalogue, presence, self.clock, RETENTION)
        self.keeper = TraceKeeper(self.red, self.rollups, presence, self.clock)
        self.red.begin_delta()
        state, now_s = self.catalogue.state, int(self.clock.now().timestamp())
        restore(self.red, self.catalogue.attachment_dir, state.attachments, now_s)
        for spans in self.uncovered:
            self.keeper.count(table(spans))
        presence.begin(now_s, alive_until_s=self.red.latest_s())

    def count(self, spans: list[S]) -> None:
        self.uncovered.append(spans)
        self.keeper.count(table(spans))

    def checkpoint(self) -> None:
        self.seq += 1
        extras = self.keeper.on_seal(self.seq)
        attachments = extras.write(self.catalogue.attachment_dir)
        self.catalogue.advance([], checkpoint=self.seq, replay_from=extras.replay_from, attachments=attachments)
        self.uncovered = []

    def again(self) -> None:
        self._open()

    def merge_all(self) -> None:
        self.rollups.tend()
        while (merging := self.rollups.merging) is not None:
            merging.result()
            self.rollups.tend()


def _answers(rollups: Rollups | Red, start_s: int, end_s: int) -> tuple[object, object, object, object]:
    def numbers(points: Sequence[RedPoint]) -> list[object]:
        return [
            (
                point.service,
                point.operation,
                point.requests,
                point.errors,
                round(point.duration_sum_ms, 3),
                point.downstream_requests,
                point.downstream_errors,
                round(point.downstream_duration_sum_ms, 3),
                point.histogram,
            )
            for point in points
        ]

    edges = [
        Edge(edge.caller, edge.callee, edge.requests, edge.errors, round(edge.duration_sum_ms, 3))
        for edge in rollups.edges(start_s, end_s)
    ]
    series = [numbers(rollups.series(service, start_s, end_s, 600)) for service in ("shop", "bank")]
    return numbers(rollups.window(start_s, end_s)), numbers(rollups.operations(start_s, end_s)), edges, series


SPANS = st.lists(
    st.builds(
        S,
        trace=st.integers(1, 8),
        span=st.integers(1, 40),
        parent=st.integers(0, 40),
        service=st.sampled_from(["shop", "bank"]),
        name=st.sampled_from(["GET /", "POST /pay", ""]),
        kind=st.sampled_from([SERVER, CLIENT]),
        at=st.integers(-300, 0).map(float),
        ms=st.sampled_from([0.0, 1.5, 40.0, 900.0]),
        error=st.booleans(),
    ),
    max_size=12,
)
STEPS = st.lists(
    st.one_of(
        SPANS,
        st.sampled_from(["checkpoint", "kill", "merge"]),
        st.sampled_from([1.0, 70.0, 700.0]),
    ),
    max_size=14,
)


@given(STEPS)
@settings(max_examples=80, deadline=None)
def test_kills_checkpoints_and_merges_change_no_number(
    tmp_path_factory: pytest.TempPathFactory, steps: list[list[S] | str | float]
) -> None:
    clock = HandClock()
    counting = Counting(tmp_path_factory.mktemp("rollups"), clock, minutes=5)
    truth = Red(clock)
    for step in steps:
        match step:
            case "checkpoint":
                counting.checkpoint()
            case "kill":
                counting.again()
            case "merge":
                counting.merge_all()
            case float():
                clock.advance(step)
            case list():
                ago = clock.now().timestamp() - NOON_S
                spans = [replace(span, at=span.at + ago - span.ms / 1000) for span in step]
                counting.count(spans)
                truth.fold(table(spans))
            case _:
                raise AssertionError(step)
    now = int(clock.now().timestamp())
    first = NOON_S - 600
    assert _answers(counting.rollups, first, now + 1) == _answers(truth, first, now + 1)
    minutes = counting.rollups.minutes("shop", first, now + 60, within_ms=40.0)
    alone = counting.rollups.minutes("shop", first, now + 60, histograms=False, within_ms=40.0)
    assert alone.within == pytest.approx(minutes.histogram @ share_within(40.0))
    assert minutes.within.tolist() == alone.within.tolist()
    whole = {point.service: point for point in truth.window(first, now + 1)}.get("shop")
    assert minutes.requests.sum() == (whole.requests if whole else 0)
    assert minutes.histogram.sum(axis=0).tolist() == (
        list(whole.histogram) if whole and whole.requests else [0] * 224
    )


def test_seconds_survive_for_half_an_hour_and_minutes_after_that(tmp_path: Path) -> None:
    clock = HandClock()
    counting = Counting(tmp_path, clock)
    counting.count([S(trace=n + 1, span=1, at=-1.0 - n) for n in range(50)])
    counting.checkpoint()
    counting.again()
    now = NOON_S
    assert [point.requests for point in counting.rollups.series("shop", now - 50, now, 1)] == [1] * 50
    clock.advance(40 * MINUTE)
    counting.again()
    assert counting.rollups.reach().seconds_from_s > NOON_S
    assert [minute.tolist() for minute in (counting.rollups.minutes("shop", NOON_S - 60, NOON_S).requests,)] == [[50]]


def test_an_operation_and_an_edge_from_weeks_ago_are_still_there(tmp_path: Path) -> None:
    clock = HandClock()
    counting = Counting(tmp_path, clock)
    for day in range(20):
        ago = clock.now().timestamp() - NOON_S
        call = S(trace=day + 1, span=1, service="shop", kind=CLIENT, name="call", at=ago - 20)
        answer = S(trace=day + 1, span=2, parent=1, service="bank", name="POST /pay", at=ago - 20, error=True)
        counting.count([call, answer])
        counting.checkpoint()
        counting.merge_all()
        clock.advance(DAY)
    counting.again()
    assert len(parse_names(tuple(a.name for a in counting.catalogue.state.attachments))) <= 10
    now = int(clock.now().timestamp())
    (edge,) = counting.rollups.edges(NOON_S - HOUR, now)
    assert (edge.caller, edge.callee, edge.requests, edge.errors) == ("shop", "bank", 20, 20)
    minutes = counting.rollups.minutes("bank", NOON_S - HOUR, now, operation="POST /pay")
    assert minutes.errors.tolist() == [1] * 20
    assert np.diff(minutes.start_s).tolist() == [DAY] * 19
    assert counting.rollups.minutes("bank", NOON_S - HOUR, now, operation="GET /").requests.tolist() == []
    (point,) = counting.rollups.operations(NOON_S + 5 * DAY - HOUR, NOON_S + 5 * DAY)[:1]
    assert (point.service, point.operation, point.requests) == ("bank", "POST /pay", 1)


def test_what_is_past_its_retention_goes(tmp_path: Path) -> None:
    clock = HandClock()
    counting = Counting(tmp_path, clock)
    counting.count([S(at=-10)])
    counting.checkpoint()
    clock.advance(31 * DAY)
    counting.merge_all()
    assert [a for a in counting.catalogue.state.attachments if a.role == "rollup"] == []
    counting.again()
    assert counting.rollups.window(NOON_S - HOUR, NOON_S) == []
    known = counting.rollups.reach().known_from_s
    assert known is None or known >= clock.now().timestamp() - 30 * DAY


def test_a_span_that_comes_days_late_is_counted_where_it_belongs(tmp_path: Path) -> None:
    clock = HandClock()
    counting = Counting(tmp_path, clock)
    counting.count([S(at=-10), S(trace=2, at=-9 * DAY)])
    for _ in range(2):
        (point,) = counting.rollups.window(NOON_S - 9 * DAY - 60, NOON_S - 9 * DAY + 60)
        assert point.requests == 1
        counting.checkpoint()
        counting.again()
    sizes = sorted(rollup.to_s - rollup.from_s for rollup in parse_names(tuple(_names(counting))))
    assert sizes == [0, 0], "what is late is written apart: no file spans nine days"


def _names(counting: Counting) -> list[str]:
    return [attachment.name for attachment in counting.catalogue.state.attachments]


def test_a_file_that_can_not_be_read_is_a_stretch_that_is_unknown(tmp_path: Path) -> None:
    clock = HandClock()
    counting = Counting(tmp_path, clock, minutes=5)
    counting.count([S(at=-10)])
    counting.checkpoint()
    for path in counting.catalogue.attachment_dir.glob("*.services.parquet"):
        path.write_bytes(b"PAR1 what a disk makes of it")
    clock.advance(2 * HOUR)
    counting.count([S(trace=3, at=2 * HOUR - 1)])
    assert counting.rollups.window(NOON_S - 60, NOON_S) == []
    assert any(since <= NOON_S - 10 < to for since, to in counting.rollups.reach().gaps)


def test_a_call_whose_halves_lie_on_two_sides_of_a_kill_is_an_edge(tmp_path: Path) -> None:
    clock = HandClock()
    counting = Counting(tmp_path, clock)
    counting.count([S(trace=9, span=1, service="shop", kind=CLIENT, at=-2), S(trace=8, span=2, parent=1, at=-2)])
    counting.checkpoint()
    counting.again()
    counting.count(
        [
            S(trace=9, span=2, parent=1, service="bank", at=-2, ms=20, error=True),
            S(trace=8, span=1, service="mail", kind=CLIENT, at=-2),
        ]
    )
    found = [(edge.caller, edge.callee, edge.errors) for edge in counting.rollups.edges(NOON_S - 60, NOON_S)]
    assert found == [("mail", "shop", 0), ("shop", "bank", 1)]


def test_presence_ends_with_the_last_sign_of_life(tmp_path: Path) -> None:
    clock = HandClock()
    for length in (100, 50):
        presence = Presence(tmp_path / "presence.json", clock, 30 * DAY)
        presence.begin(int(clock.now().timestamp()))
        for _ in range(length):
            clock.advance(1)
            presence.beat()
        clock.advance(1000)  # killed: nobody said goodbye
    presence = Presence(tmp_path / "presence.json", clock, 30 * DAY)
    presence.begin(int(clock.now().timestamp()))
    (first, second), (third, fourth) = presence.gaps(NOON_S)
    assert (second - NOON_S, fourth - NOON_S) == (1100, 2150)
    assert 95 <= first - NOON_S <= 100, "to within five seconds"
    assert 1145 <= third - NOON_S <= 1150
    assert presence.since_s == NOON_S


def test_a_presence_that_can_not_be_read_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "presence.json").write_text("[]")
    presence = Presence(tmp_path / "presence.json", HandClock(), 30 * DAY)
    assert (presence.past, presence.since_s) == ((), None)
    presence.begin(NOON_S)
    assert presence.since_s == NOON_S


def test_random_histories_survive_merging_by_hour_day_and_week(tmp_path: Path) -> None:
    chance = random.Random(7)
    clock = HandClock()
    counting = Counting(tmp_path, clock)
    expected: dict[int, int] = {}
    for hour in range(24 * 9):
        spans: list[S] = []
        for number in range(chance.randrange(4)):
            at = (clock.now() - NOON).total_seconds() - chance.randrange(1, 4 * HOUR)
            spans.append(S(trace=hour + 1, span=number + 1, at=at, ms=0.0, name=f"GET /{number}"))
            minute = (NOON_S + int(at)) // 60 * 60
            expected[minute] = expected.get(minute, 0) + 1
        if spans:
            counting.count(spans)
        counting.checkpoint()
        counting.merge_all()
        clock.advance(HOUR)
    minutes = counting.rollups.minutes("shop", NOON_S - DAY, int(clock.now().timestamp()))
    assert dict(zip(minutes.start_s.tolist(), minutes.requests.tolist(), strict=True)) == expected
    assert len(parse_names(tuple(_names(counting)))) < 40
