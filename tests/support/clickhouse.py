"""ClickHouse for tests: the engine itself in this process (chdb), one database whose tables are emptied each time.

``HOMEOSTAT_TEST_CLICKHOUSE_URL`` names a real server on which the same tests run instead.
"""

import atexit
import os
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile, mkdtemp
from typing import Any, Final
from uuid import uuid4

import pyarrow as pa

from homeostat.core.config import ClickHouseConfig
from homeostat.core.errors import StoreError
from homeostat.runtime import SystemIds
from homeostat.store.clickhouse.engine import (
    INSERT_SETTINGS,
    Engine,
    HttpEngine,
    Parameters,
    Value,
    quoted,
    read_stream,
    write_stream,
)
from homeostat.store.clickhouse.shared import SharedStore, writer_of
from homeostat.store.clickhouse.tables import LOGS, METRICS, TRACE_TIMES, TRACES, create_missing
from homeostat.store.telemetry.log_store import EmbeddedLogStore
from homeostat.store.telemetry.metric_store import EmbeddedMetricStore
from homeostat.store.telemetry.store import EmbeddedTelemetryStore

SERVER_URL: Final = os.environ.get("HOMEOSTAT_TEST_CLICKHOUSE_URL")
_session: list[Any] = []  # chdb has one for a process


def session() -> Any:
    """The process' ClickHouse, started once; it stays until the process ends."""
    if not _session:
        from chdb.session import Session

        _session.append(Session(mkdtemp(prefix="homeostat-chdb-")))
    return _session[0]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def bound(value: Value) -> str:
    """A parameter as ClickHouse parses it."""
    if isinstance(value, str):
        return _escaped(value)
    if isinstance(value, (int, float)):
        return str(value)
    return "[" + ",".join("'" + _escaped(text).replace("'", "\\'") + "'" for text in value) + "]"


class ChdbEngine:
    """``Engine`` in this process."""

    def __init__(self, database: str) -> None:
        self.database = database
        session().query(f"CREATE DATABASE IF NOT EXISTS {quoted(database)}")

    def _run(self, sql: str, parameters: Mapping[str, Value] | None = None, form: str = "CSV") -> bytes:
        chosen = session()
        try:
            chosen.query(f"USE {quoted(self.database)}")
            return chosen.query(
                sql, form, params={name: bound(value) for name, value in (parameters or {}).items()}
            ).bytes()
        except RuntimeError as error:
            raise StoreError(f"{error}") from error

    def query(self, sql: str, parameters: Parameters | None = None) -> pa.Table:
        return read_stream(raw) if (raw := self._run(sql, parameters, "ArrowStream")) else pa.table({})

    def command(self, sql: str) -> None:
        self._run(sql)

    def insert(self, table: str, rows: pa.Table, token: str) -> None:
        names = ", ".join(map(quoted, rows.schema.names))
        settings = ", ".join(f"{name} = {value}" for name, value in INSERT_SETTINGS.items())
        with NamedTemporaryFile(suffix=".arrow") as file:
            Path(file.name).write_bytes(write_stream(rows))
            self._run(
                f"INSERT INTO {table} ({names}) SELECT {names} FROM file('{file.name}', ArrowStream)\n"
                f"SETTINGS insert_deduplication_token = '{token}', {settings}"
            )

    def close(self) -> None:
        self._run(f"DROP DATABASE IF EXISTS {quoted(self.database)}")


def _on_server(url: str) -> Engine:
    """A database of its own on a server, for as long as the process lives."""
    engine = HttpEngine(ClickHouseConfig(url=url, database=f"homeostat_test_{uuid4().hex}"))
    atexit.register(engine.command, f"DROP DATABASE IF EXISTS {quoted(engine.database)}")
    return engine


def another(database: str) -> Engine:
    """An empty database beside that of the other tests; ``close`` drops it unless it is on a server."""
    return ChdbEngine(database) if SERVER_URL is None else _on_server(SERVER_URL)


_opened: list[Engine] = []


def _emptied(tables: Iterable[str]) -> Engine:
    """The database of this process' tests, on the server if the environment names one, with some tables emptied."""
    if not _opened:
        made = ChdbEngine("homeostat") if SERVER_URL is None else _on_server(SERVER_URL)
        create_missing(made, timedelta(days=36_500))
        _opened.append(made)
    for table in tables:
        _opened[0].command(f"TRUNCATE TABLE {table}")
    return _opened[0]


def attach(
    directory: Path,
    *,
    traces: EmbeddedTelemetryStore | None = None,
    metrics: EmbeddedMetricStore | None = None,
    logs: EmbeddedLogStore | None = None,
) -> Engine:
    """Give lanes of a data directory the database, their tables emptied."""
    tables = [*((TRACES, TRACE_TIMES) if traces else ()), *(METRICS.values() if metrics else ())]
    engine = _emptied([*tables, LOGS] if logs else tables)
    SharedStore(engine, writer_of(directory, SystemIds())).attach(traces, metrics, logs)
    return engine
