"""Metrics: rates that see resets, quantiles as Prometheus has them, and series wherever their points lie."""

import math
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from homeostat.core.config import StorageConfig
from homeostat.core.errors import BadRequestError
from homeostat.core.metrics import MetricAggregation, MetricQuery, MetricSeries, MetricType
from homeostat.store.telemetry import metric_buckets, metric_query
from homeostat.store.telemetry.metric_math import exponential_quantile, histogram_quantile
from homeostat.store.telemetry.metric_segment import MetricSegment
from homeostat.store.telemetry.metric_store import EmbeddedMetricStore
from support.spans import NOON, NOON_S, HandClock, trace_hex
from support.telemetry import DELTA, counter, gauge, histogram, metrics_body, metrics_table, ns


def _store(directory: Path) -> EmbeddedMetricStore:
    store = EmbeddedMetricStore(StorageConfig(path=directory, min_free_mib=1), HandClock())
    assert list(store.replay()) == []
    return store


def _put(
    store: EmbeddedMetricStore, metrics: Sequence[Metric], *, service: str = "shop", segment: bool = False
) -> None:
    seq = store.append([metrics_body(metrics, service)])
    store.add(metrics_table(metrics, service), seq)
    if segment:
        store.seal()
        assert store.flush()


def _query(name: str = "m", end: float = 60, step: int = 10, start: float = 0, **others: object) -> MetricQuery:
    times = {"start": NOON + timedelta(seconds=start), "end": NOON + timedelta(seconds=end)}
    return MetricQuery.model_validate({"name": name, "step_s": step, **times, **others})


async def _values(store: EmbeddedMetricStore, query: MetricQuery) -> tuple[float | None, ...]:
    (series,) = await store.series(query)
    return series.values


async def test_a_gauge_is_what_it_was_last_in_each_step(tmp_path: Path) -> None:
    store = _store(tmp_path)
    _put(store, [gauge("m", [(1, 5.0), (9, 7.0), (25, 1.0)])])
    assert await _values(store, _query(end=40)) == (7.0, None, 1.0, None)
    assert await _values(store, _query(end=40, aggregation="avg")) == (6.0, None, 1.0, None)
    assert await _values(store, _query(end=40, aggregation="min")) == (5.0, None, 1.0, None)
    assert await _values(store, _query(end=40, aggregation="max")) == (7.0, None, 1.0, None)
    assert await _values(store, _query(end=40, aggregation="sum")) == (12.0, None, 1.0, None)
    assert await _values(store, _query(end=40, aggregation="count")) == (2.0, None, 1.0, None)


async def test_the_rate_of_a_counter_sees_restarts(tmp_path: Path) -> None:
    store = _store(tmp_path)
    _put(store, [counter("m", [(0, 100, -100), (10, 150, -100), (20, 30, 15), (30, 60, 15), (40, 5, None)])])
    assert await _values(store, _query(end=40, aggregation="increase")) == pytest.approx((50, 30, 30, 5))
    rates = await _values(store, _query(end=40))
    assert rates == pytest.approx((5.0, 6.0, 3.0, 0.5)), "30 in the five seconds that are known to hold them"


async def test_a_series_that_begins_counts_from_its_start_time_and_else_not(tmp_path: Path) -> None:
    store = _store(tmp_path)
    _put(store, [counter("said", [(10, 40, 0), (20, 50, 0)]), counter("not", [(10, 40, None), (20, 50, None)])])
    assert await _values(store, _query("said", 20, aggregation="increase")) == pytest.approx((40, 10))
    assert await _values(store, _query("not", 20, aggregation="increase")) == pytest.approx((None, 10))


async def test_a_long_gap_is_not_filled_with_an_average(tmp_path: Path) -> None:
    store = _store(tmp_path)
    _put(store, [counter("m", [(0, 0, None), (3600, 720, None)])])
    values = await _values(store, _query(end=3600, step=60, aggregation="increase"))
    assert values[:-1] == (None,) * 59
    assert values[-1] == pytest.approx(720)


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 50), st.booleans()), min_size=2, max_size=30),
    st.sampled_from([1, 7, 60]),
    st.booleans(),
)
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_increases_of_all_steps_add_up_to_what_was_counted(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, bool]], step_s: int, delta: bool
) -> None:
    at, total, counted, began = 0, 0, 0, 0
    points: list[tuple[float, float, float | None]] = [(0, 0, None)]
    for wait, more, restart in steps:
        if restart and not delta:
            total, began = 0, at
        counted += more
        total += more
        points.append((at + wait, more if delta else total, at if delta else began))
        at += wait
    store = _store(tmp_path_factory.mktemp("metrics"))
    half = len(points) // 2
    temporality = DELTA if delta else 2
    if delta:
        points = points[1:]
    _put(store, [counter("m", points[:half], temporality=temporality)], segment=True)
    _put(store, [counter("m", points[half:], temporality=temporality)])
    found = await store.series(_query(end=at + 2 * step_s, step=step_s, aggregation="increase"))
    assert sum(value or 0 for series in found for value in series.values) == pytest.approx(counted, abs=1e-6)
    store.close()


async def test_series_are_told_apart_grouped_and_chosen(tmp_path: Path) -> None:
    store = _store(tmp_path)
    for service, factor in (("shop", 1.0), ("bank", 10.0)):
        points = [gauge("m", [(1, factor * level)], {"disk": name}) for name, level in (("a", 1.0), ("b", 2.0))]
        _put(store, points, service=service, segment=service == "shop")

    async def ask(**others: object) -> dict[tuple[str, ...], float | None]:
        found = await store.series(_query(end=10, **others))
        return {tuple(series.labels.values()): series.values[0] for series in found}

    assert await ask() == {("a", "shop"): 1, ("b", "shop"): 2, ("a", "bank"): 10, ("b", "bank"): 20}
    assert await ask(service="bank") == {("a", "bank"): 10, ("b", "bank"): 20}
    assert await ask(labels={"disk": "a"}) == {("a", "shop"): 1, ("a", "bank"): 10}
    assert await ask(labels={"service.name": "shop", "disk": "b"}) == {("b", "shop"): 2}
    assert await ask(group_by=["disk"], aggregation="sum") == {("a",): 11, ("b",): 22}
    assert await ask(group_by=[], aggregation="max") == {(): 20}
    assert await ask(labels={"disk": "z"}) == {}
    assert len(await ask(limit=3)) == 3


async def test_a_point_that_was_sent_twice_counts_once(tmp_path: Path) -> None:
    store = _store(tmp_path)
    points = [counter("m", [(5, 3, 0)], temporality=DELTA)]
    _put(store, [*points, *points], segment=True)
    _put(store, points)
    assert await _values(store, _query(end=10, aggregation="increase")) == pytest.approx((3,))
    (segment,) = store.segments
    assert segment.rows == 1


async def test_a_quantile_over_series_and_time_is_that_of_all_that_was_measured(tmp_path: Path) -> None:
    store = _store(tmp_path)
    rounds = [(10, 0, [1, 2, 3, 0]), (20, 0, [2, 4, 6, 0]), (30, 25, [4, 0, 0, 0])]
    _put(store, [histogram("m", rounds, [1, 10, 100], labels={"n": "a"})], segment=True)
    _put(store, [histogram("m", [(20, 10, [0, 0, 0, 7])], [1, 10, 100], DELTA, {"n": "b"})])
    by_series = {series.labels["n"]: series.values for series in await store.series(_query(end=30, quantile=0.5))}
    assert by_series["a"] == pytest.approx((10.0, 10.0, 0.5))
    assert by_series["b"] == (None, 100.0, None), "beyond the last edge: that edge"
    (all_of_it,) = await store.series(_query(end=30, quantile=0.5, group_by=[]))
    assert all_of_it.values == pytest.approx((10.0, 100.0, 0.5))
    counts = await store.series(_query(end=30, aggregation="count", group_by=[]))
    assert counts[0].values == pytest.approx((6, 13, 4))


def _reference(q: float, bounds: Sequence[float], counts: Sequence[int]) -> float:
    """Prometheus' definition, bucket by bucket."""
    total, below = sum(counts), 0.0
    if not total:
        return math.nan
    for number, count in enumerate(counts):
        if below + count >= q * total and (count or q == 0):
            if number == len(bounds):
                return bounds[-1]
            if number == 0 and bounds[0] <= 0:
                return bounds[0]
            low = bounds[number - 1] if number else min(0.0, bounds[0])
            return low + (bounds[number] - low) * (q * total - below) / count
        below += count
    raise AssertionError


@given(
    st.lists(st.floats(-50, 50).map(lambda value: round(value, 3)), min_size=1, max_size=6, unique=True).map(sorted),
    st.data(),
    st.floats(0.01, 0.99),
)
@settings(deadline=None)
def test_quantiles_are_those_of_prometheus(bounds: list[float], data: st.DataObject, q: float) -> None:
    size = len(bounds) + 1
    counts = data.draw(st.lists(st.integers(0, 9), min_size=size, max_size=size))
    (found,) = histogram_quantile(q, np.array(bounds), np.array([counts], dtype=np.float64))
    assert found == pytest.approx(_reference(q, bounds, counts), nan_ok=True)


def test_exponential_quantiles_are_geometric_within_a_bucket_and_linear_around_zero() -> None:
    lower, upper = np.array([-4.0, -1.0, 1.0]), np.array([-1.0, 1.0, 4.0])
    counts = np.array([[0.0, 0.0, 4.0], [4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 0.0]])
    assert exponential_quantile(0.5, lower, upper, counts) == pytest.approx([2.0, -2.0, 0.0, math.nan], nan_ok=True)


async def test_exponential_histograms_of_different_scales_are_added(tmp_path: Path) -> None:
    store, metric = _store(tmp_path), Metric(name="m")
    metric.exponential_histogram.aggregation_temporality = DELTA  # pyright: ignore[reportAttributeAccessIssue]
    for at, scale, offset in ((5, 0, 0), (6, 1, 0)):  # (1, 2], (2, 4], and in halves of them
        point = metric.exponential_histogram.data_points.add(
            time_unix_nano=ns(at), start_time_unix_nano=ns(at - 1), count=4, sum=8.0, scale=scale
        )
        point.positive.offset = offset
        point.positive.bucket_counts.extend([2, 2] if scale == 0 else [1, 1, 1, 1])
    _put(store, [metric], segment=True)
    values = await _values(store, _query(end=10, quantile=0.75))
    assert values == pytest.approx((2 * 2**0.5,))
    assert await _values(store, _query(end=10, aggregation="avg")) == pytest.approx((2.0,))


@pytest.mark.parametrize("scale", [-(2**31), 2**31 - 1])
@pytest.mark.parametrize("offset", [-(2**31), 2**31 - 1])
async def test_impossible_scales_and_offsets_harm_nobody(tmp_path: Path, scale: int, offset: int) -> None:
    store, metric = _store(tmp_path), Metric(name="m")
    metric.exponential_histogram.aggregation_temporality = DELTA  # pyright: ignore[reportAttributeAccessIssue]
    for side in (offset, 0):
        point = metric.exponential_histogram.data_points.add(
            time_unix_nano=ns(5 + (side == 0)), start_time_unix_nano=ns(4), count=4, scale=scale
        )
        point.positive.offset = point.negative.offset = side
        point.positive.bucket_counts.extend([1, 1])
        point.negative.bucket_counts.extend([1, 1])
    _put(store, [metric])
    for series in await store.series(_query(end=10)):
        assert all(value is None or math.isfinite(value) for value in series.values)


async def test_what_a_type_has_not_is_refused_and_named(tmp_path: Path) -> None:
    store = _store(tmp_path)
    _put(store, [gauge("m", [(1, 1.0)]), histogram("h", [(1, 0, [1, 1])], [1.0])])
    with pytest.raises(BadRequestError, match="m is a gauge: it has no rate"):
        await store.series(_query(aggregation="rate"))
    with pytest.raises(BadRequestError, match="no last"):
        await store.series(_query("h", aggregation=MetricAggregation.LAST))
    with pytest.raises(BadRequestError, match="steps"):
        await store.series(_query(end=10**7, step=1))
    assert await store.series(_query("unknown")) == []


async def test_metrics_are_listed_by_name_with_what_is_known_of_them(tmp_path: Path) -> None:
    store = _store(tmp_path)
    _put(store, [gauge("memory.used", [(1, 1.0)])], segment=True)
    _put(store, [gauge("memory.used", [(2, 1.0)]), counter("requests", [(2, 1, 0)])], service="bank")
    memory, requests = await store.metrics(NOON)
    assert (memory.name, memory.type, memory.unit, memory.services) == (
        "memory.used",
        MetricType.GAUGE,
        "1",
        ("bank", "shop"),
    )
    assert (requests.name, requests.type, requests.monotonic) == ("requests", MetricType.SUM, True)
    assert [info.name for info in await store.metrics(NOON, contains="MEM")] == ["memory.used"]
    assert await store.metrics(NOON + timedelta(seconds=5)) == []
    assert len(await store.metrics(NOON, limit=1)) == 1


async def test_exemplars_lead_to_traces_newest_first(tmp_path: Path) -> None:
    store = _store(tmp_path)
    metric = histogram("m", [(at, 0, [1, 1]) for at in (1, 2)], [1.0])
    for number, point in enumerate(metric.histogram.data_points, 1):
        point.exemplars.add(
            time_unix_nano=point.time_unix_nano,
            as_double=0.5,
            trace_id=number.to_bytes(16, "big"),
            span_id=b"12345678",
        )
    _put(store, [metric], segment=True)
    found = await store.exemplars(_query())
    assert [(e.trace_id, e.value, e.time.timestamp() - NOON_S) for e in found] == [
        (trace_hex(2), 0.5, 2.0),
        (trace_hex(1), 0.5, 1.0),
    ]
    assert await store.exemplars(_query(service="bank")) == []


async def test_the_newest_exemplars_are_found_without_making_all_of_them(tmp_path: Path) -> None:
    store = _store(tmp_path)
    metric = histogram("m", [(at, 0, [1, 1]) for at in range(1, 6)], [1.0])
    for number, point in enumerate(metric.histogram.data_points, 1):
        for _sent_twice in range(2):
            point.exemplars.add(
                time_unix_nano=ns(10 - number),
                as_double=0.5,
                trace_id=number.to_bytes(16, "big"),
                span_id=b"12345678",
            )
        point.exemplars.add(time_unix_nano=ns(20), as_double=0.5)  # of no trace
        point.exemplars.add(time_unix_nano=ns(20), trace_id=b"\1" * 16, span_id=b"12345678")  # without a value
    _put(store, [metric])
    assert [e.trace_id for e in await store.exemplars(_query(limit=2))] == [trace_hex(1), trace_hex(2)]
    assert len(await store.exemplars(_query())) == 5


async def test_too_many_points_are_refused_before_any_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _store(tmp_path)
    _put(store, [gauge("m", [(at, 1.0) for at in range(30)]), gauge("few", [(1, 1.0)])], segment=True)
    _put(store, [gauge("m", [(at, 1.0) for at in range(30, 60)])])
    monkeypatch.setattr(metric_query, "_POINTS_MAX", 60)
    assert await store.series(_query())
    monkeypatch.setattr(metric_query, "_POINTS_MAX", 59)
    assert await store.series(_query("few"))

    def read(*_: object) -> None:
        raise AssertionError("read although it is too much")

    monkeypatch.setattr(MetricSegment, "points", read)
    for answer in (store.series, store.exemplars):
        with pytest.raises(
            BadRequestError, match=r"m may have 60 points in that time, more than 59\. Ask for less time"
        ):
            await answer(_query())


async def test_a_quantile_of_points_that_reach_over_many_steps_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _store(tmp_path)
    _put(store, [histogram("m", [(at, 0, [at, at]) for at in range(50, 60)], [1.0], DELTA)])
    query = _query(step=1, aggregation="quantile", quantile=0.5)
    assert await store.series(query)
    monkeypatch.setattr(metric_buckets, "_CELLS_MAX", 200)
    with pytest.raises(BadRequestError, match="too much for one quantile"):
        await store.series(query)


async def test_series_are_the_same_after_a_restart_and_a_merge(tmp_path: Path) -> None:
    store = _store(tmp_path)
    for number in range(9):
        _put(store, [counter("m", [(number * 5, number * 7, -1)]), gauge("g", [(number, 1)])], segment=number < 8)
    assert len(store.segments) == 1, "eight small ones were merged"
    before: list[MetricSeries] = await store.series(_query())
    store.close()
    again = EmbeddedMetricStore(StorageConfig(path=tmp_path, min_free_mib=1), HandClock())
    for record in again.replay():
        again.add(metrics_table([counter("m", [(40, 56, -1)]), gauge("g", [(8, 1)])]), record.seq)
    assert await again.series(_query()) == before
    (index,) = (tmp_path / "telemetry" / "metrics" / "segments").glob("*.idx")
    index.write_text("{}")
    assert await EmbeddedMetricStore(StorageConfig(path=tmp_path, min_free_mib=1), HandClock()).series(_query(end=30))
