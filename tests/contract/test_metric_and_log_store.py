"""What every store of metrics and logs must answer, wherever the rows lie: in memory, in segments, in ClickHouse."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from homeostat.core.config import StorageConfig
from homeostat.core.logs import LogQuery, LogRecord
from homeostat.core.metrics import MetricQuery, MetricType
from homeostat.store.telemetry.log_store import EmbeddedLogStore
from homeostat.store.telemetry.metric_store import EmbeddedMetricStore
from support import clickhouse
from support.spans import NOON, HandClock, trace_hex
from support.telemetry import DELTA, L, counter, exported, gauge, histogram, logs_table, metrics_table

DAY = {"start": NOON - timedelta(hours=12), "end": NOON + timedelta(hours=12)}

MetricsFill = Callable[[Path, Sequence[Sequence[Metric]]], EmbeddedMetricStore]
LogsFill = Callable[[Path, Sequence[Sequence[L]]], EmbeddedLogStore]

PLACES = ["memory", "segments", "clickhouse", "clickhouse and memory"]


def _metrics(place: str, directory: Path, batches: Sequence[Sequence[Metric]]) -> EmbeddedMetricStore:
    store = EmbeddedMetricStore(StorageConfig(path=directory, min_free_mib=1), HandClock())
    assert list(store.replay()) == []
    if "clickhouse" in place:
        clickhouse.attach(directory, metrics=store)
    for number, batch in enumerate(batches):
        store.add(metrics_table(batch), store.append([b"request"]))
        if place != "memory" and ("memory" not in place or number % 2 == 0):
            store.seal()
            assert store.flush(), store.troubles
    return store


def _logs(place: str, directory: Path, batches: Sequence[Sequence[L]]) -> EmbeddedLogStore:
    store = EmbeddedLogStore(StorageConfig(path=directory, min_free_mib=1), HandClock())
    assert list(store.replay()) == []
    if "clickhouse" in place:
        clickhouse.attach(directory, logs=store)
    for number, batch in enumerate(batches):
        store.add(logs_table(batch), store.append([b"request"]))
        if place != "memory" and ("memory" not in place or number % 2 == 0):
            store.seal()
            assert store.flush(), store.troubles
    return store


@pytest.fixture(params=PLACES, ids=lambda place: place.replace(" ", "-"))
def place(request: pytest.FixtureRequest) -> str:
    return request.param


def _query(name: str, end: float = 40, **others: object) -> MetricQuery:
    times = {"start": NOON, "end": NOON + timedelta(seconds=end), "step_s": 10}
    return MetricQuery.model_validate({"name": name, **times, **others})


async def test_metrics_of_every_type_come_back(place: str, tmp_path: Path) -> None:
    delta = [(10.0, 0.0, [2, 4, 6, 0]), (20.0, 10.0, [0, 0, 0, 7])]
    exponential = Metric(name="e")
    exponential.exponential_histogram.aggregation_temporality = DELTA  # pyright: ignore[reportAttributeAccessIssue]
    start_ns = int(NOON.timestamp()) * 10**9
    point = exponential.exponential_histogram.data_points.add(
        start_time_unix_nano=start_ns, time_unix_nano=start_ns + 5 * 10**9, count=4, sum=6.0, scale=0
    )
    point.positive.offset = 0
    point.positive.bucket_counts.extend([2, 2])
    summary = Metric(name="s")
    of_summary = summary.summary.data_points.add(
        start_time_unix_nano=start_ns, time_unix_nano=start_ns + 5 * 10**9, count=3, sum=9.0
    )
    of_summary.quantile_values.add(quantile=0.5, value=2.5)
    batches = [
        [gauge("g", [(1, 5.0)], {"disk": "ä/1"}), counter("c", [(0, 100, -100), (10, 150, -100)])],
        [gauge("g", [(12, 7.0)], {"disk": "ä/1"}), counter("c", [(20, 30, 15)])],
        [histogram("h", delta, [1, 10, 100], DELTA), exponential, summary],
    ]
    store = _metrics(place, tmp_path, batches)
    known = await store.metrics(NOON - timedelta(minutes=1))
    assert [(info.name, info.type) for info in known] == [
        ("c", MetricType.SUM),
        ("e", MetricType.EXPONENTIAL_HISTOGRAM),
        ("g", MetricType.GAUGE),
        ("h", MetricType.HISTOGRAM),
        ("s", MetricType.SUMMARY),
    ]
    assert (known[0].monotonic, known[2].unit, known[2].services) == (True, "1", ("shop",))
    assert [info.name for info in await store.metrics(NOON, contains="G")] == ["g"]
    assert await store.metrics(NOON + timedelta(hours=1)) == []
    (series,) = await store.series(_query("g"))
    assert series.values == (5.0, 7.0, None, None)
    assert series.labels == {"disk": "ä/1", "service.name": "shop"}
    (series,) = await store.series(_query("c", 20, aggregation="increase"))
    assert series.values == pytest.approx((50, 30))
    (series,) = await store.series(_query("h", quantile=0.5))
    assert series.values == (pytest.approx(10.0), 100.0, None, None)
    (series,) = await store.series(_query("e", aggregation="count"))
    assert series.values[0] == pytest.approx(4)
    (series,) = await store.series(_query("s", quantile=0.5, aggregation="quantile"))
    assert series.values[0] == pytest.approx(2.5)
    assert await store.series(_query("g", service="nobody")) == []
    assert await store.series(_query("nothing")) == []


async def test_a_point_that_was_sent_twice_counts_once(place: str, tmp_path: Path) -> None:
    points = [counter("m", [(5, 3, 0)], temporality=DELTA)]
    store = _metrics(place, tmp_path, [points, points])
    (series,) = await store.series(_query("m", 10, aggregation="increase"))
    assert series.values == pytest.approx((3,))


async def _all(store: EmbeddedLogStore, query: LogQuery) -> list[LogRecord]:
    found: list[LogRecord] = []
    while True:
        page = await store.logs(query)
        found += page.records
        if page.next_cursor is None:
            return found
        query = query.model_copy(update={"cursor": page.next_cursor})


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, ["d", "Connection REFUSED: 10.0.0.1:5432", "über alles_x", "a"]),
        ({"text": "refused connection"}, ["Connection REFUSED: 10.0.0.1:5432"]),
        ({"text": '"refused: 10.0.0.1"'}, ["Connection REFUSED: 10.0.0.1:5432"]),
        ({"text": "refuse"}, []),
        ({"text": "ÜBER"}, ["über alles_x"]),
        ({"text": "alles"}, []),
        ({"text": "alles_x"}, ["über alles_x"]),
        ({"min_severity": 17}, ["Connection REFUSED: 10.0.0.1:5432"]),
        ({"service": "bank"}, ["d"]),
        ({"trace_id": trace_hex(7)}, ["über alles_x"]),
        ({"attributes": {"user": "o'neil\\ \n"}}, ["a"]),
        ({"attributes": {"service.name": "bank"}}, ["d"]),
        ({"start": NOON + timedelta(seconds=2), "end": NOON + timedelta(seconds=4)}, ["über alles_x"]),
    ],
)
async def test_every_condition_on_logs_holds(
    place: str, tmp_path: Path, conditions: dict[str, object], expected: list[str]
) -> None:
    batches = [
        [L("a", at=1, attributes={"user": "o'neil\\ \n"}), L("d", at=8, service="bank")],
        [L("über alles_x", at=2, trace=7), L("Connection REFUSED: 10.0.0.1:5432", at=4, severity=17)],
    ]
    store = _logs(place, tmp_path, batches)
    query = LogQuery.model_validate({**DAY, **conditions, "limit": 2})
    found = await _all(store, query)
    assert [record.body for record in found] == expected
    assert await exported(store, query) == found
    counted = await store.log_counts(query, 3600)
    assert sum(sum(step.counts.values()) for step in counted) == len(expected)


async def test_pages_stay_as_they_are_while_records_move(place: str, tmp_path: Path) -> None:
    same = [L("same", at=5)] * 7
    store = _logs(place, tmp_path, [[L(f"old {n}", at=n) for n in range(9)], same])
    query = LogQuery(**DAY, limit=4)
    first = await store.logs(query)
    store.add(logs_table([L("new", at=100)]), store.append([b"request"]))
    store.seal()
    assert store.flush(), store.troubles
    rest = await _all(store, query.model_copy(update={"cursor": first.next_cursor}))
    records = [*first.records, *rest]
    assert len({record.id for record in records}) == len(records) == 16
    assert [record.time for record in records] == sorted((record.time for record in records), reverse=True)
    assert sum(record.body == "same" for record in records) == 7


async def test_a_part_that_is_written_again_is_there_once(tmp_path: Path) -> None:
    store = _logs("clickhouse", tmp_path, [])
    assert store.sink is not None
    part = logs_table([L("one", at=1), L("two", at=2)])
    for _ in range(3):
        store.sink.write([part], first_seq=1, last_seq=1)
    store.sink.write([part.slice(0, 1)], first_seq=2, last_seq=2)
    assert [record.body for record in await _all(store, LogQuery(**DAY))] == ["two", "one", "one"]
