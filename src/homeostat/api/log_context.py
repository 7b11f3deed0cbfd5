"""Finds the log records around a span, a trace or a moment of a service. Used by ``logs``."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import AwareDatetime, BaseModel, Field

from homeostat.api.log_models import ContextEntry, LogContext, Relation
from homeostat.api.log_search import NAME_MAX, hex_id
from homeostat.api.trace_search import EARLIEST, LATEST, within
from homeostat.core.errors import BadRequestError
from homeostat.core.logs import LogQuery, LogRecord
from homeostat.core.models import Span
from homeostat.core.ports import LogStore, TelemetryStore

_MOMENT = timedelta(microseconds=1)


class ContextQuestion(BaseModel):
    """Around what, and how much."""

    trace_id: str | None = Field(default=None, max_length=100, description="32 hexadecimal digits.")
    span_id: str | None = Field(default=None, max_length=100, description="16 hexadecimal digits.")
    service: str | None = Field(default=None, max_length=NAME_MAX, description="Instead of a trace, with time.")
    time: AwareDatetime | None = Field(default=None, description="With a time zone, e.g. 2026-01-31T12:00:00Z.")
    seconds: float = Field(default=5, ge=0, le=3600, description="Of the service's other records, on both sides.")
    limit: int = Field(default=100, ge=1, le=1000, description="Records of each relation, the nearest.")


@dataclass(slots=True)
class _Around:
    """What is known so far."""

    trace_id: str | None = None
    span_id: str | None = None
    service: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    entries: dict[str, ContextEntry] = field(default_factory=dict[str, ContextEntry])
    notes: list[str] = field(default_factory=list[str])

    def add(self, relation: Relation, records: Iterable[LogRecord]) -> None:
        """Each record once, as what it was first."""
        for record in records:
            self.entries.setdefault(record.id, ContextEntry(relation=relation, record=record))

    def answer(self) -> LogContext:
        """Oldest first."""
        return LogContext(
            trace_id=self.trace_id,
            span_id=self.span_id,
            service=self.service,
            start=self.start,
            end=self.end,
            entries=tuple(
                sorted(self.entries.values(), key=lambda entry: (entry.record.time_unix_nano, entry.record.id))
            ),
            notes=tuple(self.notes),
        )


async def find_context(logs: LogStore, traces: TelemetryStore, asked: ContextQuestion) -> LogContext:
    """The records around what was asked for. Raises BadRequestError where nothing was, or both."""
    trace_id, span_id = hex_id("trace_id", asked.trace_id, 32), hex_id("span_id", asked.span_id, 16)
    if trace_id is None and (asked.service is None or asked.time is None or span_id is not None):
        raise BadRequestError("Around what? Give trace_id (and span_id), or service and time.")
    if trace_id is not None and asked.time is not None:
        raise BadRequestError("Around which of both? Give trace_id, or service and time.")
    around = _Around(trace_id, span_id)
    if trace_id is None:
        around.service, around.start = asked.service, within("time", asked.time) if asked.time else None
        around.end = around.start
    else:
        await _of_spans(traces, around, trace_id)
        await _of_trace(logs, around, trace_id, asked.limit)
    await _of_service(logs, around, asked)
    return around.answer()


async def _of_spans(traces: TelemetryStore, around: _Around, trace_id: str) -> None:
    """When it was, and of which service, as the stored spans say."""
    trace = await traces.trace(trace_id)
    if trace is None or not trace.spans:
        around.notes.append("The spans of this trace are not stored; it is known from its log records only.")
        return
    spans = [span for span in trace.spans if around.span_id in {None, span.span_id}]
    if not spans:
        around.notes.append("This span of the trace is not stored; it is known from its log records only.")
        return
    around.start = min(span.start for span in spans)
    around.end = max(_end(span) for span in spans)
    ids = {span.span_id for span in trace.spans}
    around.service = next((span.service for span in spans if span.parent_span_id not in ids), spans[0].service)


def _end(span: Span) -> datetime:
    longest_ms = (LATEST - span.start) / timedelta(milliseconds=1)
    return span.start + timedelta(milliseconds=max(0.0, min(span.duration_ms, longest_ms)))


async def _of_trace(logs: LogStore, around: _Around, trace_id: str, limit: int) -> None:
    whole = LogQuery(start=EARLIEST, end=LATEST, trace_id=trace_id, limit=limit)
    if around.span_id is not None:
        page = await logs.logs(whole.model_copy(update={"span_id": around.span_id}))
        _note(around, page.next_cursor, "the span")
        around.add(Relation.SPAN, page.records)
        _learn(around, page.records)
    page = await logs.logs(whole)
    _note(around, page.next_cursor, "the trace")
    around.add(Relation.TRACE, page.records)
    _learn(around, page.records)


def _learn(around: _Around, records: tuple[LogRecord, ...]) -> None:
    """Where no span says when it was, its records do."""
    if around.start is None and records:
        around.start, around.end, around.service = records[-1].time, records[0].time, records[-1].service


async def _of_service(logs: LogStore, around: _Around, asked: ContextQuestion) -> None:
    """What the service said meanwhile, of other traces or of none: the nearest before, and what came then."""
    if around.service is None or around.start is None or around.end is None:
        return
    margin = timedelta(seconds=asked.seconds)
    first, last = max(EARLIEST, around.start - margin), min(LATEST, around.end + margin + _MOMENT)
    for since, until in ((first, around.start), (around.start, last)):
        if since >= until:
            continue
        query = LogQuery(start=since, end=until, service=around.service, limit=asked.limit)
        page = await logs.logs(query)
        _note(around, page.next_cursor, "the service")
        around.add(
            Relation.SERVICE, (record for record in page.records if not _is_of(record.trace_id, around.trace_id))
        )


def _is_of(trace_id: str | None, wanted: str | None) -> bool:
    return wanted is not None and trace_id == wanted


def _note(around: _Around, next_cursor: str | None, whose: str) -> None:
    note = f"There are more records of {whose}; the newest are shown. Ask with a larger limit, or search."
    if next_cursor is not None and note not in around.notes:
        around.notes.append(note)
