"""What the API answers about log records, where it is not what the store answers."""

from datetime import datetime
from enum import StrEnum

from homeostat.core.logs import LogRecord
from homeostat.core.models import Model


class LogStep(Model):
    """How many records one step had."""

    time: datetime
    total: int
    counts: dict[str, int]  # by severity


class LogCounts(Model):
    """How many records match, over time."""

    start: datetime
    end: datetime
    step_s: int
    total: int
    totals: dict[str, int]  # by severity
    steps: tuple[LogStep, ...]


class Relation(StrEnum):
    """What a record has to do with a span."""

    SPAN = "span"
    TRACE = "trace"
    SERVICE = "service"


class ContextEntry(Model):
    """One record, and why it is there."""

    relation: Relation
    record: LogRecord


class LogContext(Model):
    """The records around a span, a trace or a moment, oldest first."""

    trace_id: str | None
    span_id: str | None
    service: str | None
    start: datetime | None  # of the span, the trace or the moment; None: nothing of it is stored
    end: datetime | None
    entries: tuple[ContextEntry, ...]
    notes: tuple[str, ...]
