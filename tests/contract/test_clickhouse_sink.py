"""What the writing side of ClickHouse must take, on the engine itself: any rows that a lane may hold."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from homeostat.core.config import StorageConfig
from homeostat.store.clickhouse import metrics as clickhouse_metrics
from homeostat.store.clickhouse import spans as clickhouse_spans
from homeostat.store.clickhouse.engine import Engine
from homeostat.store.clickhouse.tables import LOGS, METRICS, TRACES, PreparedEngine, forgetful, remedy
from homeostat.store.telemetry.log_store import EmbeddedLogStore
from homeostat.store.telemetry.metric_store import EmbeddedMetricStore
from homeostat.store.telemetry.store import EmbeddedTelemetryStore
from support import clickhouse
from support.spans import HandClock, S, body, table
from support.telemetry import L, gauge, logs_table, metrics_body, metrics_table

DAYS = 150
DAY_S = 86_400.0


def test_spans_of_more_days_than_a_server_takes_by_default_are_written_at_once(tmp_path: Path) -> None:
    store = EmbeddedTelemetryStore(StorageConfig(path=tmp_path, min_free_mib=1), HandClock())
    assert list(store.replay()) == []
    engine = clickhouse.attach(tmp_path, traces=store)
    spans = [S(trace=day + 1, at=-day * DAY_S) for day in range(DAYS)]
    store.add(table(spans), store.append([body(spans)]))
    store.seal()
    assert store.flush(), store.troubles
    days = engine.query(f"SELECT toUInt32(uniqExact(toDate(Timestamp))) AS days FROM {TRACES}")
    assert days.to_pylist() == [{"days": DAYS}]


def test_log_records_of_as_many_days_are_written_too(tmp_path: Path) -> None:
    store = EmbeddedLogStore(StorageConfig(path=tmp_path, min_free_mib=1), HandClock())
    assert list(store.replay()) == []
    engine = clickhouse.attach(tmp_path, logs=store)
    records = [L(at=-day * DAY_S, body=f"day {day}") for day in range(DAYS)]
    store.add(logs_table(records), store.append([b"request"]))
    store.seal()
    assert store.flush(), store.troubles
    days = engine.query(f"SELECT toUInt32(uniqExact(toDate(Timestamp))) AS days FROM {LOGS}")
    assert days.to_pylist() == [{"days": DAYS}]


async def test_names_beyond_the_bound_are_left_out_by_name_and_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(clickhouse_spans, "_NAMES_MAX", 2)
    monkeypatch.setattr(clickhouse_metrics, "_SERVICES_MAX", 2)
    config, since = StorageConfig(path=tmp_path, min_free_mib=1), datetime(2000, 1, 1, tzinfo=UTC)
    store, points = EmbeddedTelemetryStore(config, HandClock()), EmbeddedMetricStore(config, HandClock())
    assert [*store.replay(), *points.replay()] == []
    clickhouse.attach(tmp_path, traces=store, metrics=points)
    names = ["a", "b", "c"]
    spans = [S(trace=row + 1, service=service, name=f"GET {service}") for row, service in enumerate(names)]
    spans += [S(trace=9, span=row + 5, service="a", name=name) for row, name in enumerate(names)]
    store.add(table(spans), store.append([body(spans)]))
    for service in names:
        sent = [gauge("stock", [(0.0, 1.0)])]
        points.add(metrics_table(sent, service), points.append([metrics_body(sent, service)]))
    for lane in (store, points):
        lane.seal()
        assert lane.flush(), lane.troubles
    assert await store.services(since) == ["a", "b"]
    assert await store.operations("a", since) == [("GET a", "server"), ("a", "server")]
    assert [record.message for record in caplog.records if "more" in record.message] == [
        "ClickHouse holds more services than are listed: only the first 2 by name are.",
        "ClickHouse holds more operations of a than are listed: only the first 2 by name are.",
    ]
    (metric,) = await points.metrics(since)
    assert (len(metric.services), metric.more_services) == (2, True)
    monkeypatch.undo()
    (metric,) = await points.metrics(since)
    assert (metric.services, metric.more_services) == (("a", "b", "c"), False)


def test_tables_that_would_store_a_repeated_insert_twice_are_named_with_what_changes_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = clickhouse.another("made_by_a_collector")
    engine.command(
        f"CREATE TABLE {LOGS} (Timestamp DateTime64(9), Body String) ENGINE = MergeTree ORDER BY Timestamp"
    )
    prepared = PreparedEngine(engine, timedelta(days=30))
    for _ in range(2):
        prepared.query("SELECT 1")
    assert [record.message for record in caplog.records if "twice" in record.message] == [
        f"In ClickHouse, {LOGS} may hold rows twice after an insert whose answer was lost: Homeostat did not make "
        "them, and they recognise no insert that is repeated. "
        f"This changes that: ALTER TABLE {LOGS} MODIFY SETTING non_replicated_deduplication_window = 10000"
    ]
    rows = pa.table({"Body": ["once"]})
    for _ in range(2):
        engine.insert(LOGS, rows, "a token")
    assert _count(engine) == 2, "it is true"
    engine.command(f"ALTER TABLE {LOGS} MODIFY SETTING non_replicated_deduplication_window = 10000")
    assert forgetful(engine) == {}
    for _ in range(2):
        engine.insert(LOGS, rows, "another token")
    assert _count(engine) == 3
    engine.close()


def test_each_table_is_told_with_the_statement_of_its_engine() -> None:
    engine = clickhouse.another("of_several")
    columns = "(Timestamp DateTime64(9), Body String)"
    engine.command(f"CREATE TABLE {LOGS} {columns} ENGINE = MergeTree ORDER BY Timestamp")
    engine.command(f"CREATE TABLE {TRACES} {columns} ENGINE = Null")
    gauge = METRICS["gauge"]
    engine.command(f"CREATE TABLE {gauge} {columns} ENGINE = ReplacingMergeTree ORDER BY Timestamp")
    told = forgetful(engine)
    assert list(told) == [LOGS, gauge, TRACES]
    for name in (LOGS, gauge):
        engine.command(told[name])
    assert list(forgetful(engine)) == [TRACES]
    assert "the tables behind it" in told[TRACES]
    for kind in ("ReplicatedMergeTree", "ReplicatedReplacingMergeTree", "SharedMergeTree"):
        assert remedy(LOGS, kind) == f"ALTER TABLE {LOGS} MODIFY SETTING replicated_deduplication_window = 10000"
    assert "ALTER" not in remedy(LOGS, "Distributed")
    engine.close()


def _count(engine: Engine) -> int:
    return engine.query(f"SELECT toUInt32(count()) AS rows FROM {LOGS}").to_pylist()[0]["rows"]
