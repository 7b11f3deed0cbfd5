"""Rows of span columns as the models that the API and the dashboard speak. Used by ``query``."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NotRequired, TypedDict, cast

import pyarrow as pa
from pydantic import TypeAdapter

from homeostat.core.models import Span, SpanEvent, SpanLink, Trace, TraceSummary
from homeostat.store.telemetry.schema import KINDS, SPAN_SCHEMA, STATUS_ERROR, STATUSES

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Pairs = Iterable[tuple[str, str]]


class _Event(TypedDict):
    time_ns: int
    name: str
    attributes: Pairs


class _Link(TypedDict):
    trace_id: bytes
    span_id: bytes
    attributes: Pairs


class _Row(TypedDict):
    """A row of ``SPAN_SCHEMA`` as pyarrow's ``to_pylist`` gives it."""

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes | None
    service: str
    name: str
    kind: int
    start_ns: int
    duration_ns: int
    status_code: int
    status_message: str
    resource: str
    scope: str
    attributes: Pairs
    events: list[_Event]
    links: list[_Link]
    dropped_attributes: NotRequired[int | None]
    sampling_probability: NotRequired[float | None]
    sampling_reason: NotRequired[str | None]


_NEEDED = frozenset(_Row.__annotations__)
_SPANS = TypeAdapter(tuple[Span, ...])

SUMMARY_COLUMNS = (
    "trace_id",
    "span_id",
    "parent_span_id",
    "service",
    "name",
    "start_ns",
    "duration_ns",
    "status_code",
    *(name for name in ("sampling_probability",) if name in SPAN_SCHEMA.names),
)


def from_ns(unix_ns: int) -> datetime:
    """A Unix time in ns as datetime, cut to microseconds."""
    return _EPOCH + timedelta(microseconds=unix_ns // 1000)


def to_ns(time: datetime) -> int:
    """An aware datetime as Unix time in ns, exactly."""
    return (time - _EPOCH) // timedelta(microseconds=1) * 1000


def _plain(column: pa.ChunkedArray) -> list[object]:
    """The values of a column; dictionaries are resolved first, which makes reading them ten times as quick."""
    kind = column.type
    return (column.cast(kind.value_type) if pa.types.is_dictionary(kind) else column).to_pylist()


def _rows(spans: pa.Table) -> list[_Row]:
    """Column by column: a quarter of the time of pyarrow's own ``Table.to_pylist``."""
    names = [name for name in spans.column_names if name in _NEEDED]
    columns = [_plain(spans.column(name)) for name in names]
    return cast("list[_Row]", [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)])


def _once(spans: pa.Table) -> list[_Row]:
    """Rows by start time, parents first; a span that was stored twice (a sender's retry) appears once."""
    rows = _rows(spans)
    by_id = {(row["trace_id"], row["span_id"]): row for row in rows}
    return sorted(by_id.values(), key=_position)


def _position(row: _Row) -> tuple[int, bool, int, bytes]:
    """By start; of those that start together the root comes first, then the longer ones, which enclose the others."""
    return row["start_ns"], row["parent_span_id"] is not None, -row["duration_ns"], row["span_id"]


def trace_of(trace_id: str, spans: pa.Table) -> Trace | None:
    """A trace from all of its rows, in any order; None without rows."""
    rows = _once(spans)
    return _trace(trace_id, rows) if rows else None


def _trace(trace_id: str, rows: list[_Row]) -> Trace:
    reasons = (row.get("sampling_reason") for row in rows)
    resources = {text: json.loads(text) for text in {row["resource"] for row in rows}}
    return Trace(
        trace_id=trace_id,
        spans=_SPANS.validate_python([_span(row, resources[row["resource"]]) for row in rows]),
        sampling_probability=_probability(rows),
        sampling_reason=next(filter(None, reasons), ""),
    )


def traces_of(spans: pa.Table) -> list[Trace]:
    """Every trace in the rows, in no order."""
    traces: dict[bytes, list[_Row]] = {}
    for row in _once(spans):
        traces.setdefault(row["trace_id"], []).append(row)
    return [_trace(trace_id.hex(), rows) for trace_id, rows in traces.items()]


def _probability(rows: list[_Row]) -> float:
    return probability_of(row.get("sampling_probability") for row in rows)


def probability_of(values: Iterable[float | None]) -> float:
    """One for a trace: its spans carry the same, unless some came before sampling was turned on."""
    given = [value for value in values if value and 0 < value < 1]
    return _short(min(given)) if given else 1.0


def _short(value: float) -> float:
    """A 32-bit float as people would write it: 0.1 and not 0.10000000149."""
    return float(f"{value:.7g}")


def summaries_of(spans: pa.Table) -> list[TraceSummary]:
    """One summary for each trace in the rows (which need ``SUMMARY_COLUMNS`` only), newest first."""
    traces: dict[bytes, list[_Row]] = {}
    for row in _once(spans):
        traces.setdefault(row["trace_id"], []).append(row)
    return sorted((_summary(rows) for rows in traces.values()), key=lambda summary: summary.start, reverse=True)


def _summary(rows: list[_Row]) -> TraceSummary:
    root = next((row for row in rows if row["parent_span_id"] is None), rows[0])
    start_ns = rows[0]["start_ns"]
    end_ns = max(row["start_ns"] + row["duration_ns"] for row in rows)
    return TraceSummary(
        trace_id=root["trace_id"].hex(),
        root_service=root["service"],
        root_operation=root["name"],
        start=from_ns(start_ns),
        duration_ms=(end_ns - start_ns) / 1e6,
        span_count=len(rows),
        error_count=sum(row["status_code"] == STATUS_ERROR for row in rows),
        services=tuple(dict.fromkeys(row["service"] for row in rows)),
        sampling_probability=_probability(rows),
    )


def _span(row: _Row, resource: dict[str, str]) -> dict[str, object]:
    """The fields of a span. All of a trace become models at once: ten thousand spans are a matter of milliseconds."""
    parent = row["parent_span_id"]
    return {
        "trace_id": row["trace_id"].hex(),
        "span_id": row["span_id"].hex(),
        "parent_span_id": parent.hex() if parent is not None else None,
        "name": row["name"],
        "kind": KINDS[row["kind"]],
        "service": row["service"],
        "start": from_ns(row["start_ns"]),
        "start_unix_nano": row["start_ns"],
        "duration_ms": row["duration_ns"] / 1e6,
        "status": STATUSES[row["status_code"]],
        "status_message": row["status_message"],
        "attributes": dict(row["attributes"]),
        "resource": resource,
        "scope": row["scope"],
        "events": tuple(map(_event, row["events"])),
        "links": tuple(map(_link, row["links"])),
        "dropped_attributes": row.get("dropped_attributes"),
    }


def _event(event: _Event) -> SpanEvent:
    return SpanEvent(time=from_ns(event["time_ns"]), name=event["name"], attributes=dict(event["attributes"]))


def _link(link: _Link) -> SpanLink:
    return SpanLink(
        trace_id=link["trace_id"].hex(), span_id=link["span_id"].hex(), attributes=dict(link["attributes"])
    )
