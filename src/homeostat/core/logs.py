"""Log records as Homeostat keeps and answers them."""

from datetime import datetime
from typing import Protocol

from pydantic import Field

from homeostat.core.models import Model


class LogRecord(Model):
    """One log record. ``id`` is opaque, unique and ordered by time: a cursor continues behind it."""

    id: str
    time: datetime
    time_unix_nano: int
    severity_number: int  # OpenTelemetry's 1..24; 0: not said
    severity: str  # trace | debug | info | warn | error | fatal | unspecified
    service: str
    body: str
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str = ""
    scope: str = ""
    attributes: dict[str, str] = Field(default_factory=dict)
    resource: dict[str, str] = Field(default_factory=dict)


class LogTable(Protocol):
    """Many log records by columns, for whoever reads Arrow (``pyarrow.table(part)``).

    Columns are ``LogRecord``'s, but ``time``: all of them texts (some dictionary-encoded) or numbers; ``trace_id``
    and ``span_id`` null where there is none; ``attributes`` a map of texts, ``resource`` a JSON object as text.
    """

    @property
    def num_rows(self) -> int: ...
    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...


class LogQuery(Model):
    """A search; all conditions hold together. Newest first."""

    start: datetime
    end: datetime
    service: str | None = None
    text: str | None = None  # words that all must occur in the body, case-insensitive; "in quotes": a phrase
    min_severity: int = Field(default=0, ge=0, le=24)
    trace_id: str | None = None
    span_id: str | None = None
    attributes: dict[str, str] = Field(default_factory=dict)  # of the record or of its resource
    limit: int = Field(default=100, ge=1, le=10_000)
    cursor: str | None = None  # a page's ``next_cursor``


class LogPage(Model):
    """Part of an answer. ``next_cursor`` None: there is no more."""

    records: tuple[LogRecord, ...]
    next_cursor: str | None


class LogCount(Model):
    """How many records of each severity one step had."""

    start_s: int
    counts: dict[str, int]  # by LogRecord.severity
