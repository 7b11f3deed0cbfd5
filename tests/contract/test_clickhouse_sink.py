"""What the writing side of ClickHouse must take, on the engine itself: any rows that a lane may hold."""

from pathlib import Path

from homeostat.core.config import StorageConfig
from homeostat.store.clickhouse.tables import LOGS, TRACES
from homeostat.store.telemetry.log_store import EmbeddedLogStore
from homeostat.store.telemetry.store import EmbeddedTelemetryStore
from support import clickhouse
from support.spans import HandClock, S, body, table
from support.telemetry import L, logs_table

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
