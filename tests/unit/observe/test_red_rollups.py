"""RED folds every span exactly, by the second in which it ended, within a bounded memory."""

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.red import HISTOGRAM_BUCKETS, SLOW_ONLY, RedReach, bucket_upper_ms
from homeostat.drivers.telemetry import Spans
from homeostat.observe.decode.traces import decode
from homeostat.observe.red import OTHER, Red, RedLimits, histogram_index
from homeostat.observe.red_buckets import Buckets
from support.spans import CLIENT, CONSUMER, INTERNAL, NOON_S, PRODUCER, SERVER, HandClock, S, table

SPANS = st.builds(
    S,
    trace=st.integers(1, 50),
    span=st.integers(1, 10_000),
    parent=st.sampled_from([0, 0, 7]),
    service=st.sampled_from(["shop", "bank", "mail"]),
    name=st.sampled_from(["GET /", "POST /pay"]),
    kind=st.sampled_from([SERVER, CLIENT, INTERNAL, PRODUCER, CONSUMER]),
    at=st.integers(-30, -1).map(float),
    ms=st.sampled_from([0.0, 0.5, 10.0, 250.0, 1500.0]),
    error=st.booleans(),
    scope=st.sampled_from(["", "", "library", SLOW_ONLY]),
)


def _expected(
    spans: list[S], start: int, end: int, *, by_operation: bool
) -> dict[tuple[str, str | None], list[float]]:
    sums: dict[tuple[str, str | None], list[float]] = defaultdict(lambda: [0.0] * 6)
    for span in spans:
        if not start <= math.floor(NOON_S + span.at + span.ms / 1000) < end:
            continue
        key = (span.service, span.name if by_operation else None)
        if span.scope == SLOW_ONLY:
            continue
        is_entry = span.kind in (SERVER, CONSUMER) or not span.parent
        is_downstream = span.kind in (CLIENT, PRODUCER)
        if is_entry:
            sums[key][0] += 1
            sums[key][1] += span.error
            sums[key][2] += span.ms
        if is_downstream:
            sums[key][3] += 1
            sums[key][4] += span.error
            sums[key][5] += span.ms
    return sums


@given(st.lists(SPANS, max_size=40), st.integers(1, 4), st.integers(-31, 0), st.integers(1, 31))
@settings(max_examples=80, deadline=None)
def test_counts_are_exact_however_the_spans_are_batched(
    spans: list[S], batches: int, start: int, length: int
) -> None:
    red = Red(HandClock())
    for number in range(batches):
        red.fold(table(spans[number::batches]))
    window = (NOON_S + start, NOON_S + start + length)
    for points, by_operation in ((red.window(*window), False), (red.operations(*window), True)):
        expected = _expected(spans, *window, by_operation=by_operation)
        assert [(point.service, point.operation) for point in points] == sorted(expected, key=str)
        for point in points:
            sums = expected[point.service, point.operation]
            assert (point.requests, point.errors) == (sums[0], sums[1])
            assert (point.downstream_requests, point.downstream_errors) == (sums[3], sums[4])
            assert point.duration_sum_ms == pytest.approx(sums[2])
            assert point.downstream_duration_sum_ms == pytest.approx(sums[5])
            assert sum(point.histogram) == point.requests
            assert len(point.histogram) == HISTOGRAM_BUCKETS
    for service in red.services():
        series = red.series(service, *window, 3)
        whole = {point.service: point for point in red.window(*window)}.get(service)
        assert sum(point.requests for point in series) == (whole.requests if whole else 0)
        assert np.array([point.histogram for point in series if point.histogram]).sum() == (
            sum(whole.histogram) if whole else 0
        )


def test_a_slow_statement_without_a_parent_is_no_request_of_its_server() -> None:
    """Only the slow ones are told: as requests they would be a rate and a percentile that mean nothing."""
    red, spans = Red(HandClock()), Spans({"service.name": "orders-db"})
    for number in range(3):
        start_ns = (NOON_S - 10) * 10**9
        spans.add("SELECT orders", f"{number}", start_ns, start_ns + 10**9, {}, scope=SLOW_ONLY)
    red.fold(decode([spans.request.SerializeToString()]).spans)
    assert red.services() == ["orders-db"]
    assert red.window(NOON_S - 60, NOON_S) == []


@given(st.integers(0, 3_000_000_000))
def test_a_duration_lies_in_its_histogram_bucket(duration_ns: int) -> None:
    index = int(histogram_index(np.array([duration_ns]))[0])
    assert duration_ns / 1e6 <= bucket_upper_ms(index) * (1 + 1e-12)
    assert index == 0 or duration_ns / 1e6 > bucket_upper_ms(index - 1) * (1 - 1e-12)


def test_quantiles_are_within_five_percent() -> None:
    red = Red(HandClock())
    red.fold(table([S(trace=n, span=n, at=-20 + n / 100, ms=float(n)) for n in range(1, 1001)]))
    (point,) = red.window(NOON_S - 60, NOON_S + 1)
    for q, exact in ((0.5, 500.0), (0.95, 950.0), (0.99, 990.0)):
        assert point.quantile_ms(q) == pytest.approx(exact, rel=0.095)


def test_a_service_whose_clock_is_ahead_counts_now_and_does_not_move_the_newest_second() -> None:
    red = Red(HandClock())
    red.fold(table([S(at=3600.0), S(span=2, at=-1.0)]))
    assert red.latest_s() == NOON_S
    (point,) = red.window(NOON_S - 5, NOON_S + 1)
    assert point.requests == 2


def test_seconds_become_minutes_when_they_are_old_and_nothing_is_lost() -> None:
    clock = HandClock()
    red = Red(clock)
    for _ in range(40):
        red.fold(table([S(trace=n, span=n, at=(clock.time.timestamp() - NOON_S) - n) for n in range(1, 50)]))
        clock.advance(60)
    now = int(clock.time.timestamp())
    (point,) = red.window(NOON_S - 120, now)
    assert point.requests == 40 * 49
    clock.advance(25 * 3600)
    red.fold(table([S(at=clock.time.timestamp() - NOON_S)]))
    (point,) = red.window(NOON_S - 120, int(clock.time.timestamp()) + 1)
    assert point.requests == 1, "what is older than a day has gone"


def test_what_is_known_begins_with_the_first_batch_and_not_with_its_oldest_span() -> None:
    red = Red(HandClock())
    assert red.reach().known_from_s is None
    red.fold(table([S(at=-20), S(span=2, at=-7 * 86400)]))
    assert red.reach() == RedReach(NOON_S - 60, NOON_S - 1800)
    red.fold(table([S(span=3, at=-7200)]))
    assert red.reach().known_from_s == NOON_S - 60


def test_of_what_was_restored_only_the_whole_part_is_known() -> None:
    red = Red(HandClock())
    red.restored(NOON_S - 900)
    assert red.reach().known_from_s is None
    red.fold(table([S(at=-3000), S(span=2, at=-5)]))
    red.restored(NOON_S - 900)
    assert red.reach().known_from_s == NOON_S - 900


def test_operations_beyond_the_bound_are_counted_under_other() -> None:
    red = Red(HandClock(), RedLimits(services=3, operations=5, rows=10_000))
    red.fold(table([S(trace=n, span=n, name=f"GET /{n}", at=-1) for n in range(1, 101)]))
    points = {point.operation: point.requests for point in red.operations(NOON_S - 60, NOON_S + 1)}
    assert len(points) == 6
    assert points[OTHER] == 95
    red.fold(table([S(trace=n, span=n, service=f"s{n}", name="GET /1", at=-1) for n in range(1, 101)]))
    assert len(red.services()) <= 4
    assert sum(point.requests for point in red.window(NOON_S - 60, NOON_S + 1)) == 200


def test_memory_stays_within_the_bound_whatever_comes() -> None:
    buckets = Buckets(1, seconds_kept=1800, minutes_kept=1440, rows_max=5_000)
    for second in range(4000):
        buckets.add(second, np.arange(20), np.ones((20, 1)))
        buckets.tidy(second)
    assert buckets.rows <= 5_000
    newest = sum(float(sums.sum()) for _, _, sums in buckets.between(3990, 4000))
    assert newest == 200


ADDED = st.lists(st.tuples(st.integers(0, 599), st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True)))


@given(before=ADDED, after=ADDED, start_s=st.sampled_from([0, 120]), end_s=st.integers(0, 660))
@settings(max_examples=80, deadline=None)
def test_minutes_are_the_sums_of_their_seconds_however_often_one_asks(
    before: list[tuple[int, list[int]]], after: list[tuple[int, list[int]]], start_s: int, end_s: int
) -> None:
    buckets = Buckets(2, seconds_kept=1800, minutes_kept=1440, rows_max=50_000)
    expected: dict[tuple[int, int], list[float]] = {}
    for added in (before, after):
        for second, keys in added:
            ones = np.array([[1.0, float(key)] for key in sorted(keys)])
            buckets.add(second, np.array(sorted(keys)), ones)
            for key in keys:
                sums = expected.setdefault((second - second % 60, key), [0.0, 0.0])
                sums[:] = sums[0] + 1, sums[1] + key
        found = {
            (minute, key): row
            for minute, keys, sums in buckets.by_minute(start_s, end_s)
            for key, row in zip(keys.tolist(), sums.tolist(), strict=True)
        }
        assert found == {place: sums for place, sums in expected.items() if start_s <= place[0] < end_s}


def test_an_empty_rollup_knows_nothing() -> None:
    red = Red(HandClock())
    assert (red.services(), red.latest_s(), red.window(0, 100), red.edges(0, 100)) == ([], None, [], [])
    assert [point.requests for point in red.series("shop", 0, 10, 5)] == [0, 0]


# -- topology -----------------------------------------------------------------------------------------------

CALL = S(trace=9, span=1, service="shop", kind=CLIENT, at=-2, ms=30)
ANSWER = S(trace=9, span=2, parent=1, service="bank", kind=SERVER, at=-2, ms=20, error=True)


@pytest.mark.parametrize("batches", [[[CALL, ANSWER]], [[CALL], [ANSWER]], [[ANSWER], [CALL]]])
def test_a_call_is_an_edge_in_whatever_order_its_halves_arrive(batches: list[list[S]]) -> None:
    red = Red(HandClock())
    for batch in batches:
        red.fold(table(batch))
    (edge,) = red.edges(NOON_S - 60, NOON_S)
    assert (edge.caller, edge.callee, edge.requests, edge.errors) == ("shop", "bank", 1, 1)
    assert edge.duration_sum_ms == pytest.approx(20)


def test_spans_with_the_same_id_in_different_traces_are_not_joined() -> None:
    red = Red(HandClock())
    red.fold(table([CALL, S(trace=8, span=2, parent=1, service="bank", at=-2)]))
    assert red.edges(NOON_S - 60, NOON_S) == []


def test_several_servers_may_answer_one_caller() -> None:
    red = Red(HandClock())
    answers = [S(trace=9, span=n, parent=1, service="bank", at=-2) for n in range(10, 13)]
    red.fold(table(answers[:2]))
    red.fold(table([CALL]))
    red.fold(table(answers[2:]))
    (edge,) = red.edges(NOON_S - 60, NOON_S)
    assert edge.requests == 3


def test_halves_wait_for_at_least_a_minute_and_not_for_ever() -> None:
    clock = HandClock()
    red = Red(clock)
    red.fold(table([CALL]))
    clock.advance(59)
    red.fold(table([ANSWER]))
    assert len(red.edges(NOON_S - 60, NOON_S)) == 1
    late = Red(clock)
    late.fold(table([CALL]))
    for _ in range(3):
        clock.advance(61)
        late.fold(table([S(trace=77, span=5, parent=6, service="other"), S(trace=78, span=5, kind=CLIENT)]))
    late.fold(table([ANSWER]))
    assert late.edges(NOON_S - 60, NOON_S) == []
