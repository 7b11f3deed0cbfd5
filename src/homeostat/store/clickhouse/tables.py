"""The tables of the OpenTelemetry Collector's ClickHouse exporter, made where they are missing. Called by ``shared``.

Names and types are the exporter's, so that collectors write beside Homeostat and their dashboards read what Homeostat
writes. Tables that a collector has made are used as they are. What Homeostat makes has, beside, a window in which an
insert that is repeated is recognised, and a TTL from ``storage.retention``. Tables without such a window are named in
the log, with the statement that gives them one.
"""

import logging
import re
import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import pyarrow as pa

from homeostat.core.errors import StoreError
from homeostat.store.clickhouse.engine import Engine, Parameters

logger = logging.getLogger(__name__)

TRACES: Final = "otel_traces"
TRACE_TIMES: Final = "otel_traces_trace_id_ts"
_TIMES_VIEW: Final = "otel_traces_trace_id_ts_mv"
LOGS: Final = "otel_logs"
METRICS: Final = {
    "gauge": "otel_metrics_gauge",
    "sum": "otel_metrics_sum",
    "histogram": "otel_metrics_histogram",
    "exponential_histogram": "otel_metrics_exponential_histogram",
    "summary": "otel_metrics_summary",
}
"""By type of metric, in the order of ``METRIC_TYPES``."""

_DEDUPLICATED_BLOCKS: Final = 10_000
_LONGEST: Final = timedelta(days=50 * 365)
"""A DateTime ends in 2106: with a longer retention it would begin anew, and everything be expired at once."""

_TEXT: Final = "String CODEC(ZSTD(1))"
_WORD: Final = "LowCardinality(String) CODEC(ZSTD(1))"
_MAP: Final = "Map(LowCardinality(String), String)"
_TIME: Final = "DateTime64(9) CODEC(Delta(8), ZSTD(1))"
_FLOAT: Final = "Float64 CODEC(ZSTD(1))"
_NUMBER: Final = "UInt64 CODEC(Delta(8), ZSTD(1))"
_COUNTS: Final = "Array(UInt64) CODEC(ZSTD(1))"
_INT: Final = "Int32 CODEC(ZSTD(1))"
_FLAGS: Final = "UInt32 CODEC(ZSTD(1))"

_SPAN_COLUMNS: Final = {
    "Timestamp": _TIME,
    "TraceId": _TEXT,
    "SpanId": _TEXT,
    "ParentSpanId": _TEXT,
    "TraceState": _TEXT,
    "SpanName": _WORD,
    "SpanKind": _WORD,
    "ServiceName": _WORD,
    "ResourceAttributes": f"{_MAP} CODEC(ZSTD(1))",
    "ScopeName": _TEXT,
    "ScopeVersion": _TEXT,
    "SpanAttributes": f"{_MAP} CODEC(ZSTD(1))",
    "Duration": "UInt64 CODEC(ZSTD(1))",
    "StatusCode": _WORD,
    "StatusMessage": _TEXT,
    "Events": f"Nested(Timestamp DateTime64(9), Name LowCardinality(String), Attributes {_MAP}) CODEC(ZSTD(1))",
    "Links": f"Nested(TraceId String, SpanId String, TraceState String, Attributes {_MAP}) CODEC(ZSTD(1))",
}
_LOG_COLUMNS: Final = {
    "Timestamp": _TIME,
    "TimestampTime": "DateTime DEFAULT toDateTime(Timestamp)",
    "TraceId": _TEXT,
    "SpanId": _TEXT,
    "TraceFlags": "UInt8",
    "SeverityText": _WORD,
    "SeverityNumber": "UInt8",
    "ServiceName": _WORD,
    "Body": _TEXT,
    "ResourceSchemaUrl": _WORD,
    "ResourceAttributes": f"{_MAP} CODEC(ZSTD(1))",
    "ScopeSchemaUrl": _WORD,
    "ScopeName": _TEXT,
    "ScopeVersion": _WORD,
    "ScopeAttributes": f"{_MAP} CODEC(ZSTD(1))",
    "LogAttributes": f"{_MAP} CODEC(ZSTD(1))",
    "EventName": _TEXT,
}
_POINT_COLUMNS: Final = {
    "ResourceAttributes": f"{_MAP} CODEC(ZSTD(1))",
    "ResourceSchemaUrl": _TEXT,
    "ScopeName": _TEXT,
    "ScopeVersion": _TEXT,
    "ScopeAttributes": f"{_MAP} CODEC(ZSTD(1))",
    "ScopeDroppedAttrCount": _FLAGS,
    "ScopeSchemaUrl": _TEXT,
    "ServiceName": _WORD,
    "MetricName": _TEXT,
    "MetricDescription": _TEXT,
    "MetricUnit": _TEXT,
    "Attributes": f"{_MAP} CODEC(ZSTD(1))",
    "StartTimeUnix": _TIME,
    "TimeUnix": _TIME,
    "Flags": _FLAGS,
}
_EXEMPLARS: Final = {
    "Exemplars": f"Nested(FilteredAttributes {_MAP}, TimeUnix DateTime64(9), Value Float64, SpanId String, "
    "TraceId String) CODEC(ZSTD(1))"
}
_TEMPORALITY: Final = {"AggregationTemporality": _INT}
_DISTRIBUTION: Final = {"Count": _NUMBER, "Sum": _FLOAT}
_EXTREMES: Final = {"Min": _FLOAT, "Max": _FLOAT}
_METRIC_COLUMNS: Final = {
    "gauge": {"Value": _FLOAT, **_EXEMPLARS},
    "sum": {"Value": _FLOAT, **_EXEMPLARS, **_TEMPORALITY, "IsMonotonic": "Boolean CODEC(ZSTD(1))"},
    "histogram": {
        **_DISTRIBUTION,
        "BucketCounts": _COUNTS,
        "ExplicitBounds": "Array(Float64) CODEC(ZSTD(1))",
        **_EXEMPLARS,
        **_EXTREMES,
        **_TEMPORALITY,
    },
    "exponential_histogram": {
        **_DISTRIBUTION,
        "Scale": _INT,
        "ZeroCount": "UInt64 CODEC(ZSTD(1))",
        "PositiveOffset": _INT,
        "PositiveBucketCounts": _COUNTS,
        "NegativeOffset": _INT,
        "NegativeBucketCounts": _COUNTS,
        **_EXEMPLARS,
        **_EXTREMES,
        **_TEMPORALITY,
    },
    "summary": {**_DISTRIBUTION, "ValueAtQuantiles": "Nested(Quantile Float64, Value Float64) CODEC(ZSTD(1))"},
}


def _bloom(name: str, expression: str, rate: str = "0.01") -> str:
    return f"INDEX idx_{name} {expression} TYPE bloom_filter({rate}) GRANULARITY 1"


def _attribute_indexes(**columns: str) -> list[str]:
    return [
        _bloom(f"{name}_attr_{side}", f"{function}({column})")
        for name, column in columns.items()
        for side, function in (("key", "mapKeys"), ("value", "mapValues"))
    ]


def _table(
    name: str, columns: dict[str, str], indexes: list[str], order: str, time: str, retention: timedelta
) -> str:
    lines = ",\n    ".join([f"{column} {kind}" for column, kind in columns.items()] + indexes)
    return (
        f"CREATE TABLE IF NOT EXISTS {name} (\n    {lines}\n) ENGINE = MergeTree\n{order}\n"
        f"TTL toDateTime({time}) + toIntervalSecond({int(min(retention, _LONGEST).total_seconds())})\n"
        "SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, "
        f"non_replicated_deduplication_window = {_DEDUPLICATED_BLOCKS}"
    )


def statements(retention: timedelta) -> dict[str, str]:
    """What makes each table and view, by its name, in order."""
    span_indexes = [
        _bloom("trace_id", "TraceId", "0.001"),
        *_attribute_indexes(res="ResourceAttributes", span="SpanAttributes"),
        "INDEX idx_duration Duration TYPE minmax GRANULARITY 1",
    ]
    log_indexes = [
        _bloom("trace_id", "TraceId", "0.001"),
        *_attribute_indexes(res="ResourceAttributes", scope="ScopeAttributes", log="LogAttributes"),
        "INDEX idx_body Body TYPE tokenbf_v1(32768, 3, 0) GRANULARITY 8",
    ]
    metric_indexes = _attribute_indexes(res="ResourceAttributes", scope="ScopeAttributes")
    metric_indexes += [_bloom("attr_key", "mapKeys(Attributes)"), _bloom("attr_value", "mapValues(Attributes)")]
    span_order = "PARTITION BY toDate(Timestamp)\nORDER BY (ServiceName, SpanName, toDateTime(Timestamp))"
    log_order = (
        "PARTITION BY toDate(TimestampTime)\nPRIMARY KEY (ServiceName, TimestampTime)\n"
        "ORDER BY (ServiceName, TimestampTime, Timestamp)"
    )
    metric_order = (
        "PARTITION BY toDate(TimeUnix)\n"
        "ORDER BY (ServiceName, MetricName, Attributes, toUnixTimestamp64Nano(TimeUnix))"
    )
    times = {
        "TraceId": _TEXT,
        "Start": "SimpleAggregateFunction(min, DateTime) CODEC(ZSTD(1))",
        "End": "SimpleAggregateFunction(max, DateTime) CODEC(ZSTD(1))",
    }
    times_order = "PARTITION BY toStartOfWeek(Start)\nORDER BY TraceId"
    return {
        TRACES: _table(TRACES, _SPAN_COLUMNS, span_indexes, span_order, "Timestamp", retention),
        TRACE_TIMES: _table(TRACE_TIMES, times, [], times_order, "Start", retention),
        _TIMES_VIEW: f"CREATE MATERIALIZED VIEW IF NOT EXISTS {_TIMES_VIEW} TO {TRACE_TIMES} AS\n"
        f"SELECT TraceId, min(Timestamp) AS Start, max(Timestamp) AS End FROM {TRACES}\n"
        "WHERE TraceId != '' GROUP BY TraceId",
        LOGS: _table(LOGS, _LOG_COLUMNS, log_indexes, log_order, "TimestampTime", retention),
        **{
            name: _table(
                name, _POINT_COLUMNS | _METRIC_COLUMNS[kind], metric_indexes, metric_order, "TimeUnix", retention
            )
            for kind, name in METRICS.items()
        },
    }


def create_missing(engine: Engine, retention: timedelta) -> None:
    """Make the tables that are missing; where all are there, no right to make any is needed. Raises StoreError."""
    wanted = statements(retention)
    answer = engine.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND name IN {names:Array(String)}",
        {"names": list(wanted)},
    )
    there = set(answer.column("name").to_pylist()) if answer.num_rows else set[str]()
    for name, statement in wanted.items():
        if name not in there:
            engine.command(statement)


_WINDOW: Final = "non_replicated_deduplication_window"
_OWN_WINDOW: Final = {"Replicated": "replicated_deduplication_window", "Shared": "replicated_deduplication_window"}
"""Which setting counts the blocks that an engine recognises, by how its name begins; a plain one has ``_WINDOW``."""


def forgetful(engine: Engine) -> dict[str, str]:
    """The tables written to that would store a repeated insert twice, by name, with the remedy. Raises StoreError."""
    tables = engine.query(
        "SELECT name, engine, engine_full FROM system.tables "
        "WHERE database = currentDatabase() AND name IN {names:Array(String)} ORDER BY name",
        {"names": [TRACES, LOGS, *METRICS.values()]},
    ).to_pylist()
    settings = [_WINDOW, *_OWN_WINDOW.values()]
    usual = {
        row["name"]: int(row["value"])
        for row in engine.query(
            "SELECT name, value FROM system.merge_tree_settings WHERE name IN {names:Array(String)}",
            {"names": settings},
        ).to_pylist()
    }
    return {
        row["name"]: remedy(row["name"], row["engine"])
        for row in tables
        if not _window(row["engine"], row["engine_full"], usual)
    }


def remedy(table: str, engine: str) -> str:
    """What makes a table recognise a repeated insert: a statement; for what keeps no rows itself, where to look."""
    if engine.endswith("MergeTree"):
        return f"ALTER TABLE {table} MODIFY SETTING {_setting(engine)} = {_DEDUPLICATED_BLOCKS}"
    return f"(of {table}, a table of the engine {engine}, change the tables behind it)"


def _setting(engine: str) -> str:
    return next((own for begin, own in _OWN_WINDOW.items() if engine.startswith(begin)), _WINDOW)


def _window(engine: str, definition: str, usual: Mapping[str, int]) -> int:
    """How many blocks a table recognises; 0 where nothing is known of its engine."""
    if not engine.endswith("MergeTree"):
        return 0
    setting = _setting(engine)
    given = re.search(rf"\b{setting} = (\d+)", definition)
    return int(given[1]) if given else usual.get(setting, 0)


def _tell_forgetful(engine: Engine) -> None:
    try:
        found = forgetful(engine)
    except StoreError as error:
        logger.warning("Whether ClickHouse recognises an insert that is repeated is not known: %s", error)
        return
    if found:
        logger.warning(
            "In ClickHouse, %s may hold rows twice after an insert whose answer was lost: Homeostat did not make "
            "them, and they recognise no insert that is repeated. This changes that: %s",
            ", ".join(found),
            "; ".join(found.values()),
        )


class PreparedEngine:
    """An engine whose tables are made before it is first used: Homeostat starts while ClickHouse is away."""

    def __init__(self, engine: Engine, retention: timedelta) -> None:
        self._engine = engine
        self._retention = retention
        self._lock = threading.Lock()
        self._is_ready = False

    def query(self, sql: str, parameters: Parameters | None = None) -> pa.Table:
        """See ``Engine``."""
        self._prepare()
        return self._engine.query(sql, parameters)

    def command(self, sql: str) -> None:
        """See ``Engine``."""
        self._prepare()
        self._engine.command(sql)

    def insert(self, table: str, rows: pa.Table, token: str) -> None:
        """See ``Engine``."""
        self._prepare()
        self._engine.insert(table, rows, token)

    def close(self) -> None:
        """See ``Engine``."""
        self._engine.close()

    def _prepare(self) -> None:
        if self._is_ready:
            return
        with self._lock:
            if not self._is_ready:
                create_missing(self._engine, self._retention)
                _tell_forgetful(self._engine)
                self._is_ready = True


def columns_of(engine: Engine, table: str) -> frozenset[str]:
    """The columns that a table really has: collectors of different age make it differently. Raises StoreError."""
    answer = engine.query(
        "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String}",
        {"table": table},
    )
    return frozenset(answer.column("name").to_pylist())
