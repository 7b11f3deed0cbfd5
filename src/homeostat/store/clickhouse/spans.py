"""Spans in ``otel_traces``: written from ``SPAN_SCHEMA``, asked by ``store.telemetry`` (``shared.SharedSpans``).

The table has no column for sampling: the probability and the policy that kept the trace are two span attributes,
which are hidden again at reading. Nor has it one for flags, attributes of a scope and numbers of dropped things:
those are not kept.
"""

import logging
from collections.abc import Sequence
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa

from homeostat.store.clickhouse.conditions import Conditions, any_contains, contains
from homeostat.store.clickhouse.convert import (
    HEX_TRACE,
    TEXT_MAP,
    as_schema,
    hexadecimal,
    identity,
    maps_of,
    nested,
    texts,
    times,
    unix_ns,
    words_as,
)
from homeostat.store.clickhouse.engine import Engine
from homeostat.store.clickhouse.tables import TRACE_TIMES, TRACES
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.matching import SpanFilter
from homeostat.store.telemetry.schema import KINDS, SPAN_SCHEMA, column
from homeostat.store.telemetry.shared import Place

logger = logging.getLogger(__name__)

Name = TypeVar("Name")

PROBABILITY: Final = "homeostat.sampling.probability"
REASON: Final = "homeostat.sampling.reason"
_HIDDEN: Final = f"('{PROBABILITY}', '{REASON}')"
_OWN: Final = f"mapFilter((k, v) -> k NOT IN {_HIDDEN}, SpanAttributes)"
_IS_TRACE: Final = "length(TraceId) = 32"
_IS_ERROR: Final = "StatusCode IN ('Error', 'STATUS_CODE_ERROR')"
_NOWHERE: Final[Place] = (-(2**63), b"")
_IDS_MAX: Final = 5_000  # in one question
_NAMES_MAX: Final = 100_000  # services, or operations of one

_KIND: Final = (
    "toInt8(greatest(indexOf(["
    + ", ".join(f"'{kind}'" for kind in KINDS)
    + "], lower(replaceOne(SpanKind, 'SPAN_KIND_', ''))), 1) - 1)"
)
_START: Final = unix_ns("Timestamp")
_EVENTS: Final = (
    f"CAST(arrayMap((t, n, a) -> tuple({unix_ns('t')}, n, a, 0), "
    "`Events.Timestamp`, `Events.Name`, `Events.Attributes`) "
    "AS Array(Tuple(time_ns Int64, name String, attributes Map(String, String), dropped_attributes UInt32)))"
)
_LINKS: Final = (
    "CAST(arrayMap((t, s, w, a) -> tuple(t, s, w, a, 0, 0), "
    "`Links.TraceId`, `Links.SpanId`, `Links.TraceState`, `Links.Attributes`) "
    "AS Array(Tuple(trace_id String, span_id String, trace_state String, attributes Map(String, String), "
    "dropped_attributes UInt32, flags UInt32)))"
)
_EXPRESSIONS: Final = {
    "trace_id": HEX_TRACE,
    "span_id": "toFixedString(substring(unhex(SpanId), 1, 8), 8)",
    "parent_span_id": identity("ParentSpanId", 8),
    "trace_state": "TraceState",
    "flags": "toUInt32(0)",
    "service": "ServiceName",
    "name": "SpanName",
    "kind": _KIND,
    "start_ns": _START,
    "duration_ns": "toInt64(Duration)",
    "status_code": f"toInt8(multiIf({_IS_ERROR}, 2, StatusCode IN ('Ok', 'STATUS_CODE_OK'), 1, 0))",
    "status_message": "StatusMessage",
    "resource": "toJSONString(ResourceAttributes)",
    "scope": "ScopeName",
    "scope_version": "ScopeVersion",
    "scope_attributes": "'{}'",
    "attributes": _OWN,
    "events": _EVENTS,
    "links": _LINKS,
    "dropped_attributes": "CAST(NULL AS Nullable(UInt32))",  # the table has no place for it
    "dropped_events": "toUInt32(0)",
    "dropped_links": "toUInt32(0)",
    "sampling_probability": f"toFloat32OrNull(SpanAttributes['{PROBABILITY}'])",
    "sampling_reason": f"SpanAttributes['{REASON}']",
}
_OBJECTS: Final = frozenset({"resource", "scope_attributes"})
_STATUS_WORDS: Final = ("Unset", "Ok", "Error")
_KIND_WORDS: Final = tuple(kind.capitalize() for kind in KINDS)


class ClickHouseSpans:
    """``shared.SharedSpans`` over ``otel_traces``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def first_matches(self, wanted: SpanFilter, before: Place, count: int) -> tuple[list[tuple[bytes, int]], Place]:
        """See ``SharedSpans``."""
        where = _where(wanted)
        parameters = where.parameters | {"before_ns": before[0], "before_id": before[1].hex(), "count": count + 1}
        answer = self._engine.query(
            f"SELECT {HEX_TRACE} AS id, {unix_ns('min(Timestamp)')} AS start FROM {TRACES}\n"
            f"WHERE {where.sql}\nGROUP BY TraceId\n"
            "HAVING (start, TraceId) < ({before_ns:Int64}, {before_id:String})\n"
            "ORDER BY start DESC, TraceId DESC LIMIT {count:UInt64}",
            parameters,
        )
        found = _pairs(answer, "start")
        if len(found) <= count:
            return found, _NOWHERE
        cut_id, cut_ns = found[count]
        return found[:count], (cut_ns, cut_id)

    def best(self, wanted: SpanFilter, score: str, limit: int) -> list[tuple[bytes, int]]:
        """See ``SharedSpans``."""
        where = _where(wanted)
        answer = self._engine.query(
            f"SELECT {HEX_TRACE} AS id, max({_EXPRESSIONS[score]}) AS score FROM {TRACES}\n"
            f"WHERE {where.sql}\nGROUP BY TraceId ORDER BY score DESC, TraceId DESC LIMIT {{count:UInt64}}",
            where.parameters | {"count": limit},
        )
        return _pairs(answer, "score")

    def spans(self, trace_ids: Sequence[bytes], columns: Sequence[str]) -> pa.Table:
        """See ``SharedSpans``. The table of trace times says where to look."""
        chosen = ", ".join(f"{_EXPRESSIONS[name]} AS `{name}`" for name in columns)
        parts = [
            self._spans([one.hex() for one in trace_ids[start : start + _IDS_MAX]], chosen)
            for start in range(0, len(trace_ids), _IDS_MAX)
        ]
        schema = pa.schema([SPAN_SCHEMA.field(name) for name in columns])
        found = [as_schema(part, SPAN_SCHEMA, _OBJECTS) for part in parts if part is not None]
        return pa.concat_tables(found).unify_dictionaries() if found else schema.empty_table()

    def _spans(self, trace_ids: list[str], chosen: str) -> pa.Table | None:
        ids = "TraceId IN {ids:Array(String)}"
        (bounds,) = self._engine.query(
            "SELECT count() AS traces, toInt64(toUnixTimestamp(min(Start))) AS first_s, "
            f"toInt64(toUnixTimestamp(max(End))) AS last_s FROM {TRACE_TIMES} WHERE {ids}",
            {"ids": trace_ids},
        ).to_pylist()
        if not bounds["traces"]:
            return None
        where = Conditions()
        where.add(ids, ids=trace_ids)
        where.between("Timestamp", bounds["first_s"] * 10**9, (bounds["last_s"] + 1) * 10**9)
        return self._engine.query(f"SELECT {chosen} FROM {TRACES}\nWHERE {where.sql}", where.parameters)

    def services_since(self, since_ns: int) -> list[str]:
        """See ``SharedSpans``."""
        where = Conditions()
        where.between("Timestamp", since_ns, 2**63 - 1)
        answer = self._engine.query(
            f"SELECT DISTINCT toString(ServiceName) AS service FROM {TRACES}\n"
            f"WHERE {where.sql} ORDER BY service LIMIT {_NAMES_MAX + 1}",
            where.parameters,
        )
        return _first(answer.column("service").to_pylist(), "services")

    def operations_since(self, since_ns: int, service: str) -> list[tuple[str, int]]:
        """See ``SharedSpans``."""
        where = Conditions()
        where.add("ServiceName = {service:String}", service=service)
        where.between("Timestamp", since_ns, 2**63 - 1)
        answer = self._engine.query(
            f"SELECT DISTINCT toString(SpanName) AS name, {_KIND} AS kind FROM {TRACES}\n"
            f"WHERE {where.sql} ORDER BY name, kind LIMIT {_NAMES_MAX + 1}",
            where.parameters,
        )
        found = zip(answer.column("name").to_pylist(), answer.column("kind").to_pylist(), strict=True)
        return _first(list(found), f"operations of {service}")


def _first(found: list[Name], what: str) -> list[Name]:
    if len(found) > _NAMES_MAX:
        logger.warning("ClickHouse holds more %s than are listed: only the first %d by name are.", what, _NAMES_MAX)
    return found[:_NAMES_MAX]


def _pairs(answer: pa.Table, number: str) -> list[tuple[bytes, int]]:
    return list(zip(answer.column("id").to_pylist(), answer.column(number).to_pylist(), strict=True))


def _where(wanted: SpanFilter) -> Conditions:
    where = Conditions()
    where.between("Timestamp", wanted.start_ns, wanted.end_ns)
    where.add(_IS_TRACE)
    if wanted.service is not None:
        where.add("ServiceName = {service:String}", service=wanted.service)
    if wanted.operation is not None:
        where.add("SpanName = {operation:String}", operation=wanted.operation)
    if wanted.min_duration_ns is not None:
        where.add("toInt64(Duration) >= {shortest:Int64}", shortest=_bounded(wanted.min_duration_ns))
    if wanted.max_duration_ns is not None:
        where.add("toInt64(Duration) <= {longest:Int64}", longest=_bounded(wanted.max_duration_ns))
    if wanted.errors_only:
        where.add(_IS_ERROR)
    for number, (key, value) in enumerate(wanted.attributes.items()):
        own = [] if key in {PROBABILITY, REASON} else ["SpanAttributes"]
        where.attribute(number, [*own, "ResourceAttributes"], key, value)
    if wanted.text is not None:
        places = [contains("SpanName"), contains("StatusMessage"), any_contains("`Events.Name`")]
        for attributes in ("ResourceAttributes", _OWN):
            places += [any_contains(f"mapKeys({attributes})"), any_contains(f"mapValues({attributes})")]
        for side in ("mapKeys", "mapValues"):
            places.append(any_contains(f"arrayFlatten(arrayMap(m -> {side}(m), `Events.Attributes`))"))
        where.add(f"({' OR '.join(places)})", text=wanted.text)
    return where


def _bounded(number: int) -> int:
    return min(max(number, -(2**63)), 2**63 - 1)


def encode_spans(spans: pa.Table) -> pa.Table:
    """Rows of ``SPAN_SCHEMA`` as rows of ``otel_traces``."""
    return pa.table(
        {
            "Timestamp": times(column(spans, "start_ns")),
            "TraceId": hexadecimal(column(spans, "trace_id")),
            "SpanId": hexadecimal(column(spans, "span_id")),
            "ParentSpanId": hexadecimal(column(spans, "parent_span_id")),
            "TraceState": texts(column(spans, "trace_state")),
            "SpanName": texts(column(spans, "name")),
            "SpanKind": words_as(_KIND_WORDS, column(spans, "kind")),
            "ServiceName": texts(column(spans, "service")),
            "ResourceAttributes": maps_of(column(spans, "resource")),
            "ScopeName": texts(column(spans, "scope")),
            "ScopeVersion": texts(column(spans, "scope_version")),
            "SpanAttributes": _with_sampling(spans),
            "Duration": pc.max_element_wise(column(spans, "duration_ns"), pa.scalar(0, pa.int64())).cast(pa.uint64()),
            "StatusCode": words_as(_STATUS_WORDS, column(spans, "status_code")),
            "StatusMessage": texts(column(spans, "status_message")),
            **nested(
                column(spans, "events"),
                {
                    "Events.Timestamp": ("time_ns", times),
                    "Events.Name": ("name", texts),
                    "Events.Attributes": ("attributes", _whole_map),
                },
            ),
            **nested(
                column(spans, "links"),
                {
                    "Links.TraceId": ("trace_id", hexadecimal),
                    "Links.SpanId": ("span_id", hexadecimal),
                    "Links.TraceState": ("trace_state", texts),
                    "Links.Attributes": ("attributes", _whole_map),
                },
            ),
        }
    )


def _whole_map(maps: pa.Array) -> pa.Array:
    """A map column without nulls, which ClickHouse has no place for."""
    return maps if not maps.null_count else pa.array([value or [] for value in maps.to_pylist()], TEXT_MAP)


def _with_sampling(spans: pa.Table) -> pa.Array:
    """The spans' attributes, with how they were sampled where that says anything."""
    own = _whole_map(column(spans, "attributes"))
    probability = pc.fill_null(column(spans, "sampling_probability"), 1.0).to_numpy(zero_copy_only=False)
    reason = texts(column(spans, "sampling_reason"))
    said = (probability < 1) | (pc.utf8_length(reason).to_numpy(zero_copy_only=False) > 0)
    if not said.any():
        return own
    pairs, reasons = own.to_pylist(), reason.to_pylist()
    for row in np.flatnonzero(said).tolist():
        sampled = [(PROBABILITY, f"{probability[row]:.7g}")] if probability[row] < 1 else []
        pairs[row] = [*(pairs[row] or []), *sampled, *([(REASON, reasons[row])] if reasons[row] else [])]
    return pa.array(pairs, TEXT_MAP)
