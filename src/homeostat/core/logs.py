"""Log records as Homeostat keeps and answers them."""

from datetime import datetime
from typing import Final, Protocol

from pydantic import Field

from homeostat.core.errors import BadRequestError
from homeostat.core.models import Model

_SEVERITIES: Final = {"trace": 1, "debug": 5, "info": 9, "warn": 13, "warning": 13, "error": 17, "fatal": 21}


def severity_number(text: str | None) -> int:
    """The number at which a severity begins (OpenTelemetry's SeverityNumber); 0: any. Raises BadRequestError."""
    word = (text or "0").strip().lower()
    number = _SEVERITIES.get(word, int(word) if word.isdecimal() and word.isascii() and len(word) < 3 else -1)
    if not 0 <= number <= 24:
        names = ", ".join(name for name in _SEVERITIES if name != "warning")
        raise BadRequestError(f"{text!r} is no severity. Write {names}, or a number from 0 to 24.")
    return number


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
