"""Log records in ``otel_logs``: written from ``LOG_SCHEMA``, asked by ``store.telemetry`` (``shared.SharedLogs``).

The table has no column for when a record was observed and for numbers of dropped attributes: they are not kept. The
name of an event has one in newer tables only; in older ones it is the attribute ``event.name``, as it used to be.
"""

from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.store.clickhouse.conditions import Conditions
from homeostat.store.clickhouse.convert import (
    TEXT_MAP,
    as_schema,
    canonical,
    hexadecimal,
    identity,
    json_of,
    maps_of,
    texts,
    times,
    unix_ns,
)
from homeostat.store.clickhouse.engine import Engine
from homeostat.store.clickhouse.tables import LOGS, columns_of
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.log_rows import Position
from homeostat.store.telemetry.log_schema import LOG_SCHEMA
from homeostat.store.telemetry.log_search import LogFilter
from homeostat.store.telemetry.schema import WORD, column

_EVENT: Final = "event.name"
_SEVERITIES: Final = 25
_OBJECTS: Final = frozenset({"resource", "scope_attributes"})
_EXPRESSIONS: Final = {
    "time_ns": unix_ns("Timestamp"),
    "observed_ns": unix_ns("Timestamp"),
    "trace_id": identity("TraceId", 16),
    "span_id": identity("SpanId", 8),
    "flags": "toUInt32(TraceFlags)",
    "severity": "toInt8(least(SeverityNumber, 24))",
    "severity_text": "SeverityText",
    "event_name": "EventName",
    "service": "ServiceName",
    "resource": json_of("ResourceAttributes"),
    "scope": "ScopeName",
    "scope_version": "ScopeVersion",
    "scope_attributes": json_of("ScopeAttributes"),
    "body": "Body",
    "attributes": "LogAttributes",
    "dropped_attributes": "toUInt32(0)",
}


class ClickHouseLogs:
    """``shared.SharedLogs`` over ``otel_logs``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @cached_property
    def _columns(self) -> frozenset[str]:
        """Those that the table really has. Raises StoreError."""
        return columns_of(self._engine, LOGS)

    @property
    def _has_event_name(self) -> bool:
        return "EventName" in self._columns

    @property
    def _selected(self) -> str:
        expressions = dict(_EXPRESSIONS)
        if not self._has_event_name:
            expressions["event_name"] = f"LogAttributes['{_EVENT}']"
            expressions["attributes"] = f"mapFilter((k, v) -> k != '{_EVENT}', LogAttributes)"
        return ", ".join(f"{expressions[name]} AS `{name}`" for name in LOG_SCHEMA.names)

    def newest(self, wanted: LogFilter, limit: int, after: Position | None) -> pa.Table:
        """See ``SharedLogs``."""
        parts: list[pa.Table] = []
        end_ns = wanted.end_ns
        if after is not None:
            end_ns = min(end_ns, after.time_ns)
            parts.append(self._select(wanted, after.time_ns, after.time_ns + 1, ""))
        parts.append(
            self._select(wanted, wanted.start_ns, end_ns, f"ORDER BY Timestamp DESC LIMIT {limit + 1} WITH TIES")
        )
        return pa.concat_tables(parts).unify_dictionaries()

    def _select(self, wanted: LogFilter, start_ns: int, end_ns: int, order: str) -> pa.Table:
        where = self._where(wanted, start_ns, end_ns)
        sql = f"SELECT {self._selected} FROM {LOGS}\nWHERE {where.sql}\n{order}"
        return as_schema(self._engine.query(sql, where.parameters), LOG_SCHEMA, _OBJECTS)

    def counts(self, wanted: LogFilter, step_ns: int, steps: int) -> npt.NDArray[np.int64]:
        """See ``SharedLogs``."""
        where = self._where(wanted, wanted.start_ns, wanted.end_ns)
        answer = self._engine.query(
            f"SELECT intDiv({unix_ns('Timestamp')} - {{first:Int64}}, {{step:Int64}}) AS step, "
            "toUInt8(least(SeverityNumber, 24)) AS severity, count() AS records\n"
            f"FROM {LOGS} WHERE {where.sql} GROUP BY step, severity",
            where.parameters | {"first": wanted.start_ns, "step": step_ns},
        )
        counts = np.zeros((steps, _SEVERITIES), dtype=np.int64)
        at, severity, records = (
            column(answer, name).to_numpy().astype(np.int64) for name in ("step", "severity", "records")
        )
        counts[at, severity] = records
        return counts

    def _where(self, wanted: LogFilter, start_ns: int, end_ns: int) -> Conditions:
        where = Conditions()
        where.between("Timestamp", start_ns, end_ns)
        if "TimestampTime" in self._columns:  # the table is sorted by it
            seconds = (max(start_ns, 0) // 10**9, -(-max(end_ns, 0) // 10**9))
            where.add("TimestampTime >= toDateTime({first_s:Int64})", first_s=min(seconds[0], 2**32 - 1))
            where.add("TimestampTime <= toDateTime({last_s:Int64})", last_s=min(seconds[1], 2**32 - 1))
        if wanted.service is not None:
            where.add("ServiceName = {service:String}", service=wanted.service)
        if wanted.min_severity:
            where.add("SeverityNumber >= {severity:UInt8}", severity=wanted.min_severity)
        if wanted.trace_id is not None:
            where.add("TraceId = {trace_id:String}", trace_id=wanted.trace_id.hex())
        if wanted.span_id is not None:
            where.add("SpanId = {span_id:String}", span_id=wanted.span_id.hex())
        for number, (key, value) in enumerate(wanted.attributes.items()):
            where.attribute(number, ["LogAttributes", "ResourceAttributes"], key, value)
        for number, pattern in enumerate(wanted.text.patterns):
            name = f"term{number}"
            where.add(f"match(lowerUTF8(Body), {{{name}:String}})", **{name: pattern})
        return where

    def as_stored(self, table: pa.Table) -> pa.Table:
        """See ``SharedLogs``."""
        flags = pc.bit_wise_and(pc.fill_null(column(table, "flags"), 0), pa.scalar(255, pa.uint32()))
        changed = {
            "observed_ns": column(table, "time_ns"),
            "flags": flags,
            "severity": pc.min_element_wise(column(table, "severity"), pa.scalar(24, pa.int8())),
            "resource": _rewritten(column(table, "resource")),
        }
        for name, values in changed.items():
            table = table.set_column(table.schema.get_field_index(name), LOG_SCHEMA.field(name), values)
        return table

    def encode(self, records: pa.Table) -> pa.Table:
        """Rows of ``LOG_SCHEMA`` as rows of ``otel_logs``."""
        events = texts(column(records, "event_name"))
        attributes = column(records, "attributes")
        if not self._has_event_name:
            attributes = _with_events(attributes, events)
        return pa.table(
            {
                "Timestamp": times(column(records, "time_ns")),
                "TraceId": hexadecimal(column(records, "trace_id")),
                "SpanId": hexadecimal(column(records, "span_id")),
                "TraceFlags": pc.bit_wise_and(
                    pc.fill_null(column(records, "flags"), 0), pa.scalar(255, pa.uint32())
                ).cast(pa.uint8()),
                "SeverityText": texts(column(records, "severity_text")),
                "SeverityNumber": pc.fill_null(column(records, "severity"), 0).cast(pa.uint8()),
                "ServiceName": texts(column(records, "service")),
                "Body": texts(column(records, "body")),
                "ResourceAttributes": maps_of(column(records, "resource")),
                "ScopeName": texts(column(records, "scope")),
                "ScopeVersion": texts(column(records, "scope_version")),
                "ScopeAttributes": maps_of(column(records, "scope_attributes")),
                "LogAttributes": attributes,
                **({"EventName": events} if self._has_event_name else {}),
            }
        )


def _rewritten(words: pa.DictionaryArray) -> pa.DictionaryArray:
    return canonical(words.cast(pa.string())).cast(WORD)


def _with_events(attributes: pa.Array, events: pa.Array) -> pa.Array:
    named = pc.utf8_length(events).to_numpy(zero_copy_only=False) > 0
    if not named.any():
        return attributes
    pairs, names = attributes.to_pylist(), events.to_pylist()
    for row in np.flatnonzero(named).tolist():
        pairs[row] = [*(pairs[row] or []), (_EVENT, names[row])]
    return pa.array(pairs, TEXT_MAP)
