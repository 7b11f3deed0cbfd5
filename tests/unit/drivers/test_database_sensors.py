"""Real PostgreSQL and Redis servers, read by their sensors into a real pipeline's decoders."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from homeostat.core.config import PostgresWatch, RedisWatch, WatchConfig
from homeostat.core.red import SLOW_ONLY
from homeostat.drivers.postgres.sensors import PostgresReader
from homeostat.drivers.postgres.statements import operation, sanitized
from homeostat.drivers.redis.sensors import RedisReader
from homeostat.drivers.sources import telemetry_of
from homeostat.drivers.telemetry import Reader, Telemetry, parent_in
from homeostat.runtime import SystemClock
from support.servers import free_port, needs_postgres, needs_redis, postgres_server, redis_server

TRACEPARENT = "00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-01"
WITHIN_S = 30.0


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    with postgres_server() as address:
        yield address


@dataclass
class Taken:
    """What was submitted."""

    values: dict[str, float] = field(default_factory=dict)
    labels: list[dict[str, str]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)

    async def metrics(self, body: bytes) -> object:
        request = ExportMetricsServiceRequest.FromString(body)
        for metric in request.resource_metrics[0].scope_metrics[0].metrics:
            for point in [*metric.gauge.data_points, *metric.sum.data_points]:
                self.values[metric.name] = point.as_double
                self.labels.append({each.key: each.value.string_value for each in point.attributes})
        return None

    async def traces(self, body: bytes) -> object:
        (scope,) = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans
        assert scope.scope.name == SLOW_ONLY  # no requests: of the quick ones nothing is told
        self.spans += scope.spans
        return None


def _looking(taken: Taken) -> Telemetry:
    return Telemetry([], taken, SystemClock())


async def _until(telemetry: Telemetry, reader: Reader, seen: Callable[[], bool]) -> None:
    with anyio.fail_after(WITHIN_S):
        while not seen():
            await telemetry.look(reader)
            await anyio.sleep(0.02)


def _attributes(span: Span) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


@needs_redis
async def test_a_redis_shows_its_figures_and_its_slow_commands_without_their_data(tmp_path: Path) -> None:
    with redis_server(tmp_path) as port:
        client = redis.Redis(port=port)
        client.set("card", "4111-secret")
        client.get("card")
        client.get("nothing")
        taken = Taken()
        telemetry, reader = _looking(taken), RedisReader(RedisWatch(url=f"redis://127.0.0.1:{port}"))
        await telemetry.look(reader)
        assert taken.values["up"] == 1
        assert taken.values["redis.keyspace.hits"] == 1
        assert taken.values["redis.keyspace.misses"] == 1
        assert taken.values["redis.db.keys"] == 1
        assert taken.values["redis.memory.used"] > 100_000
        assert taken.spans == []  # slow before the first look
        client.lpush("list", "another-secret")
        await telemetry.look(reader)
        (push,) = [span for span in taken.spans if span.name == "LPUSH"]
        assert push.end_time_unix_nano >= push.start_time_unix_nano > 0
        assert "secret" not in str(push)
        count = sum(span.name == "LPUSH" for span in taken.spans)
        await telemetry.look(reader)
        assert sum(span.name == "LPUSH" for span in taken.spans) == count  # told once
        await reader.close()
        client.close()


@needs_redis
async def test_slow_commands_that_were_gone_before_they_were_read_are_counted(tmp_path: Path) -> None:
    with redis_server(tmp_path) as port:
        client = redis.Redis(port=port)
        client.config_set("slowlog-max-len", 5)
        before = _pushed_slowly(client, 1)
        taken = Taken()
        telemetry, reader = _looking(taken), RedisReader(RedisWatch(url=f"redis://127.0.0.1:{port}"))
        await telemetry.look(reader)
        assert taken.values["redis.slowlog.missed"] == 0
        after = _pushed_slowly(client, 20)
        await telemetry.look(reader)
        assert sum(span.name == "LPUSH" for span in taken.spans) == 5
        assert taken.values["redis.slowlog.missed"] == after - before - len(taken.spans) >= 15
        await telemetry.look(reader)
        assert taken.values["redis.slowlog.missed"] == after - before - len(taken.spans), "each is counted once"
        client.close()
        await reader.close()


@needs_redis
async def test_a_slow_log_that_was_cleared_before_the_first_look_misses_nothing(tmp_path: Path) -> None:
    with redis_server(tmp_path) as port:
        client = redis.Redis(port=port)
        assert _pushed_slowly(client, 20) >= 20
        client.slowlog_reset()
        taken = Taken()
        telemetry, reader = _looking(taken), RedisReader(RedisWatch(url=f"redis://127.0.0.1:{port}"))
        await telemetry.look(reader)
        assert "redis.slowlog.missed" not in taken.values, "nobody knows"
        _pushed_slowly(client, 3)
        await telemetry.look(reader)
        assert sum(span.name == "LPUSH" for span in taken.spans) == 3
        assert taken.values["redis.slowlog.missed"] == 0
        client.close()
        await reader.close()


@needs_redis
async def test_of_a_slow_log_that_may_not_be_read_nothing_is_said(tmp_path: Path) -> None:
    with redis_server(tmp_path) as port:
        client = redis.Redis(port=port)
        client.acl_setuser("watcher", enabled=True, passwords=["+hidden"], commands=["+@all", "-slowlog"])
        taken = Taken()
        reader = RedisReader(RedisWatch(url=f"redis://watcher:hidden@127.0.0.1:{port}"))
        await _looking(taken).look(reader)
        assert (taken.values["up"], "redis.memory.used" in taken.values) == (1, True)
        assert "redis.slowlog.missed" not in taken.values
        client.close()
        await reader.close()


def _pushed_slowly(client: redis.Redis, times: int) -> int:
    """Commands that are slow, and no others are; returns the number that the newest entry of the slow log got."""
    client.config_set("slowlog-log-slower-than", 0)
    for number in range(times):
        client.lpush("list", number)
    client.config_set("slowlog-log-slower-than", -1)
    (newest,) = client.slowlog_get(1)
    return int(newest["id"])


@needs_redis
async def test_a_redis_that_is_away_is_down_said_once_and_up_when_it_comes_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    taken = Taken()
    telemetry = _looking(taken)
    with redis_server(tmp_path) as port:
        reader = RedisReader(RedisWatch(url=f"redis://:hidden@127.0.0.1:{port}"))
        with caplog.at_level(logging.WARNING):
            await telemetry.look(reader)  # a password is refused or ignored: either way it answers for itself
        caplog.clear()
        reader = RedisReader(RedisWatch(url=f"redis://127.0.0.1:{port}"))
        await telemetry.look(reader)
        assert taken.values["up"] == 1
    with caplog.at_level(logging.WARNING):
        await telemetry.look(reader)
        await telemetry.look(reader)
    assert taken.values["up"] == 0
    assert len(caplog.records) == 1
    assert "hidden" not in caplog.text
    await reader.close()


@needs_postgres
async def test_a_postgres_shows_figures_statements_and_slow_statements(dsn: str) -> None:
    taken = Taken()
    watch = PostgresWatch(dsn=dsn, service="orders-db", slow_statement=timedelta(milliseconds=100))
    telemetry, reader = _looking(taken), PostgresReader(watch)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as client:
        await client.execute("DROP EXTENSION IF EXISTS pg_stat_statements")
        await telemetry.look(reader)
        assert taken.values["up"] == 1
        assert taken.values["postgresql.connection.max"] == 100
        assert taken.values["postgresql.db_size"] > 1_000_000
        assert "postgresql.query.calls" not in taken.values  # there is no extension yet
        await client.execute("CREATE EXTENSION pg_stat_statements")
        await client.execute("CREATE TABLE card (number text)")
        for _ in range(3):
            await client.execute("INSERT INTO card VALUES ('4111-secret')")
        await client.execute(f"SELECT pg_sleep(0.2), 'secret' /*traceparent='{TRACEPARENT}'*/")
        await telemetry.look(reader)
    assert "postgresql.query.execution_time" in taken.values
    assert any(each.get("db.operation.name") == "INSERT" for each in taken.labels)
    assert "secret" not in str(taken.labels)
    (slow,) = taken.spans
    assert slow.name == "SELECT postgres"
    assert slow.trace_id.hex() in TRACEPARENT
    assert slow.parent_span_id.hex() in TRACEPARENT
    assert slow.end_time_unix_nano - slow.start_time_unix_nano >= 200_000_000
    assert _attributes(slow)["db.query.text"] == "SELECT pg_sleep(?), ?"
    await telemetry.look(reader)
    assert len(taken.spans) == 1  # told once
    await reader.close()


@needs_postgres
async def test_a_statement_that_is_killed_with_its_connection_is_told_when_it_is_gone(dsn: str) -> None:
    taken = Taken()
    watch = PostgresWatch(dsn=dsn, slow_statement=timedelta(milliseconds=50))
    telemetry, reader = _looking(taken), PostgresReader(watch)

    async def sleep() -> None:
        async with await psycopg.AsyncConnection.connect(dsn) as client:
            with pytest.raises(psycopg.OperationalError):
                await client.execute("SELECT pg_sleep(600)")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sleep)
        await _until(telemetry, reader, lambda: bool(reader._slow._running))
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as other:
            await other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
            )
        await _until(telemetry, reader, lambda: bool(taken.spans))
    assert taken.spans[0].name == "SELECT postgres"
    await reader.close()


@needs_postgres
async def test_the_sensor_cannot_write(dsn: str) -> None:
    reader = PostgresReader(PostgresWatch(dsn=dsn))
    await _looking(Taken()).look(reader)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        await reader._ask("CREATE TABLE no (x int)")
    await reader.close()


async def test_servers_that_are_not_there_are_down_and_end_nothing() -> None:
    taken, port = Taken(), free_port()
    watch = WatchConfig.model_validate(
        {
            "postgres": [{"dsn": f"postgresql://u:hidden@127.0.0.1:{port}/d"}],
            "redis": [{"url": f"redis://127.0.0.1:{port}"}],
        }
    )
    telemetry = telemetry_of(watch, taken, SystemClock())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(telemetry.run)
        with anyio.fail_after(WITHIN_S):
            while taken.values.get("up") is None:
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert taken.values["up"] == 0
    assert taken.spans == []


@given(st.text(max_size=200))
def test_any_text_can_be_a_statement(query: str) -> None:
    sanitized(query)
    assert operation(query)
    parent_in(query)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("SELECT * FROM t WHERE a = 'x''y' AND b=12.5", "SELECT * FROM t WHERE a = ? AND b=?"),
        ("INSERT INTO t1 VALUES ($1, $2)", "INSERT INTO t1 VALUES ($1, $2)"),
        ("/* hidden */ UPDATE t SET a = $$secret$$ -- end", "UPDATE t SET a = ?"),
        ("SELECT 'cut off in the mid", "SELECT ?"),
    ],
)
def test_values_are_taken_out_of_statements(query: str, text: str) -> None:
    assert sanitized(query) == text


def test_only_a_valid_traceparent_is_a_parent() -> None:
    assert parent_in(f"x{TRACEPARENT}") is not None
    assert parent_in("00-" + "0" * 32 + "-eee19b7ec3c1b174-01") is None
