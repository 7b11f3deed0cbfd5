"""The client of ClickHouse: real requests, bound values, and errors that say what to do."""

import builtins
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from homeostat.config import load_config
from homeostat.core.config import ClickHouseConfig, StorageConfig
from homeostat.core.errors import BadRequestError, ConfigError, StoreError
from homeostat.net import bind, bound_port
from homeostat.runtime import SystemIds
from homeostat.store.clickhouse import engine as engine_module
from homeostat.store.clickhouse.engine import HttpEngine
from homeostat.store.clickhouse.shared import SharedStore, writer_of
from homeostat.store.clickhouse.tables import LOGS, PreparedEngine
from homeostat.store.telemetry.store import EmbeddedTelemetryStore
from support.clickhouse_http import serving
from support.spans import HandClock, S, body, table, trace_hex


async def test_spans_go_through_the_real_client_and_come_back(tmp_path: Path) -> None:
    with serving() as url:
        engine = HttpEngine(ClickHouseConfig(url=url, database="over_http"))
        config = StorageConfig(path=tmp_path, min_free_mib=1)
        store = EmbeddedTelemetryStore(config, HandClock())
        assert list(store.replay()) == []
        SharedStore.opened(engine, StorageConfig(path=tmp_path, retention=timedelta(days=3650)), SystemIds()).attach(
            traces=store
        )
        spans = [S(5, 1, attributes={"quote": "it's {x:String} \\ \n"}), S(5, 2, 1, at=0.5)]
        store.add(table(spans), store.append([body(spans)]))
        store.seal()
        assert store.flush(), store.troubles
        assert store.parts() == ([], [])
        trace = await store.trace(trace_hex(5))
        assert trace is not None
        assert [span.attributes for span in trace.spans] == [{"quote": "it's {x:String} \\ \n"}, {}]
        assert [span.dropped_attributes for span in trace.spans] == [None, None], "not known there"
        answer = engine.query("SELECT {a:String} AS a, {b:Array(String)} AS b", {"a": "x'\\ \n", "b": ["y'", "\\"]})
        assert answer.to_pylist() == [{"a": "x'\\ \n", "b": ["y'", "\\"]}]
        with pytest.raises(StoreError, match="no_such_table"):
            engine.query("SELECT * FROM no_such_table")
        engine.close()


def test_an_answer_is_read_no_further_than_its_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_module, "ANSWER_BYTES_MAX", 1 << 20)
    with serving() as url:
        engine = HttpEngine(ClickHouseConfig(url=url, database="bounded"))
        with pytest.raises(BadRequestError, match=r"more than 1 MiB.*Ask for less time"):
            engine.query("SELECT repeat('a', 1000) AS text FROM numbers(5000)")
        assert engine.query("SELECT repeat('a', 1000) AS text FROM numbers(500)").num_rows == 500
        engine.close()


def test_threads_that_ask_first_at_the_same_time_share_one_client(monkeypatch: pytest.MonkeyPatch) -> None:
    import clickhouse_connect

    connected: list[object] = []
    real, ready = clickhouse_connect.get_client, threading.Barrier(8)

    def counted(**options: Any) -> Any:
        connected.append(real(**options))
        return connected[-1]

    def ask(_: int) -> list[dict[str, Any]]:
        ready.wait()
        return engine.query("SELECT toUInt8(1) AS one").to_pylist()

    monkeypatch.setattr(clickhouse_connect, "get_client", counted)
    with serving() as url, ThreadPoolExecutor(8) as threads:
        engine = HttpEngine(ClickHouseConfig(url=url, database="raced"))
        assert list(threads.map(ask, range(8))) == [[{"one": 1}]] * 8
        engine.close()
    assert len(connected) == 2, "one makes the database, one stays"


def test_a_user_who_may_make_nothing_gets_in_where_all_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    import clickhouse_connect

    opened: list[object] = []
    closed: list[object] = []
    real = clickhouse_connect.get_client

    def counted(**options: Any) -> Any:
        client = real(**options)
        close = client.close
        monkeypatch.setattr(client, "close", lambda: (closed.append(client), close()))
        opened.append(client)
        return client

    month = timedelta(days=30)
    with serving() as url:
        PreparedEngine(HttpEngine(ClickHouseConfig(url=url, database="of_a_collector")), month).query("SELECT 1")
    monkeypatch.setattr(clickhouse_connect, "get_client", counted)
    with serving(may_create=False) as url:
        engine = PreparedEngine(HttpEngine(ClickHouseConfig(url=url, database="of_a_collector")), month)
        assert engine.query(f"SELECT count() AS rows FROM {LOGS}").num_rows == 1
        engine.close()
        stranger = PreparedEngine(HttpEngine(ClickHouseConfig(url=url, database="nowhere")), month)
        for _ in range(3):
            with pytest.raises(StoreError, match="Not enough privileges"):
                stranger.query("SELECT 1")
        stranger.close()
    assert len(opened) == 5
    assert closed == opened, "nothing stays open after a retry"


def test_a_server_that_is_away_is_named_with_what_to_do(tmp_path: Path) -> None:
    with bind("127.0.0.1", 0) as reserved:
        port = bound_port(reserved)
    store = EmbeddedTelemetryStore(StorageConfig(path=tmp_path, min_free_mib=1), HandClock())
    assert list(store.replay()) == []
    engine = HttpEngine(ClickHouseConfig(url=f"http://127.0.0.1:{port}"))
    SharedStore.opened(engine, StorageConfig(path=tmp_path), SystemIds()).attach(traces=store)
    store.add(table([S()]), store.append([body([S()])]))
    store.seal()
    assert not store.flush()
    assert "Check the server and storage.clickhouse" in store.troubles[0].detail
    assert sum(part.num_rows for part in store.parts()[0]) == 1, "nothing is lost: it is tried again"
    with pytest.raises(StoreError, match="in the log: retry later"):
        engine.insert("otel_traces", pa.table({"a": [1]}), "token")


def test_without_the_client_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *others: Any) -> Any:
        if name.startswith("clickhouse_connect"):
            raise ImportError(name)
        return real(name, *others)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(StoreError, match=r"\[clickhouse\]"):
        HttpEngine(ClickHouseConfig(url="http://127.0.0.1:8123"))


@pytest.mark.parametrize("url", ["", "nowhere", "ftp://host", "http://", "http://host:name", "http://host:99999"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match=r"storage\.clickhouse\.url is no address"):
        ClickHouseConfig(url=url)


@pytest.mark.parametrize("url", ["http://host/otel", "http://host:8123?database=otel", "http://host:8123/#otel"])
def test_what_an_address_says_beside_scheme_host_and_port_would_be_ignored_and_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match=r"neither a path nor a query.*storage\.clickhouse\.database"):
        ClickHouseConfig(url=url)


@pytest.mark.parametrize(
    "url",
    [
        "http://ann:hush-hush@host:8123",
        "https://hush-hush@host",
        "http://ann:hush/hush@host",
        "ftp://ann:hush-hush@host",
    ],
)
def test_a_password_in_the_address_is_refused_and_never_printed(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"storage\.clickhouse\.user.*CLICKHOUSE_PASSWORD") as refused:
        ClickHouseConfig(url=url)
    assert "hush" not in str(refused.value)
    file = tmp_path / "homeostat.yaml"
    file.write_text(f"storage:\n  clickhouse:\n    url: {url}\n    password: 1234567\n")
    with pytest.raises(ConfigError) as told:
        load_config(file)
    assert [problem.key for problem in told.value.problems] == [
        "storage.clickhouse.url",
        "storage.clickhouse.password",
    ]
    assert "CLICKHOUSE_PASSWORD" in str(told.value)
    assert "hush" not in str(told.value)
    assert "1234567" not in str(told.value)
    assert "hidden" not in repr(ClickHouseConfig(url="http://host/", password="hidden"))


def test_who_writes_is_known_again_after_a_restart(tmp_path: Path) -> None:
    first = writer_of(tmp_path, SystemIds())
    assert writer_of(tmp_path, SystemIds()) == first
    assert writer_of(tmp_path / "other", SystemIds()) != first
