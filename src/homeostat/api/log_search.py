"""The parameters with which log records are searched, shared by all questions about them in ``logs``."""

import math
from datetime import datetime, timedelta
from typing import Final

from pydantic import Field

from homeostat.api.trace_search import ATTRIBUTES_MAX, EARLIEST, TimeRange, pair_of
from homeostat.core import logs
from homeostat.core.errors import BadRequestError
from homeostat.core.logs import LogQuery
from homeostat.core.trace_ids import DIGITS, full_trace_id

NAME_MAX: Final = 1000
STEPS_MAX: Final = 2000
_NICE_STEPS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200)
_DAY_S: Final = 86_400
_HEX: Final = frozenset("0123456789abcdef")


class LogFilter(TimeRange):
    """Which log records are meant: those that fulfil every condition."""

    text: str | None = Field(
        default=None,
        max_length=NAME_MAX,
        description='Words that all occur in the body, in any case; "in quotes": a phrase.',
    )
    service: str | None = Field(default=None, max_length=NAME_MAX)
    min_severity: str | None = Field(
        default=None, max_length=20, description="trace, debug, info, warn, error, fatal; or a number, 0 to 24."
    )
    attribute: list[str] = Field(
        default=[], max_length=ATTRIBUTES_MAX, description="key=value, of the record or its resource; several times."
    )
    trace_id: str | None = Field(default=None, max_length=100, description="32 hexadecimal digits.")
    span_id: str | None = Field(default=None, max_length=100, description="16 hexadecimal digits.")

    def query(self, now: datetime, *, limit: int = 100, cursor: str | None = None) -> LogQuery:
        """The search that is asked for. Raises BadRequestError."""
        since, until = self.bounds(now)
        trace_id = hex_id("trace_id", self.trace_id, 32)
        if trace_id is not None and self.start is None and "minutes" not in self.model_fields_set:
            since = EARLIEST  # whoever has an id means that trace, whenever it was
        return LogQuery(
            start=since,
            end=until,
            service=self.service or None,  # an empty field of a form means any
            text=self.text or None,
            min_severity=severity_number(self.min_severity),
            trace_id=trace_id,
            span_id=hex_id("span_id", self.span_id, 16),
            attributes=dict(pair_of(text) for text in self.attribute),
            limit=limit,
            cursor=cursor or None,
        )


def severity_number(text: str | None) -> int:
    """The number at which a severity begins (OpenTelemetry's SeverityNumber); 0: any. Raises BadRequestError."""
    try:
        return logs.severity_number(text)
    except BadRequestError as error:
        raise BadRequestError(f"min_severity={error}") from error


def hex_id(name: str, text: str | None, digits: int) -> str | None:
    """An id in lower case; None for none. Raises BadRequestError."""
    if not text:
        return None
    wanted = (full_trace_id(text) if digits == DIGITS else None) or text.lower()
    if len(wanted) != digits or not set(wanted) <= _HEX:
        raise BadRequestError(f"{name}={text!r} is none: write {digits} hexadecimal digits.")
    return wanted


def step_of(since: datetime, until: datetime, asked_s: int | None, *, steps: int) -> int:
    """Seconds of a step: those asked for, or a round number that makes about ``steps`` of the time.

    Raises BadRequestError for more than 2,000 steps.
    """
    length_s = max(1.0, (until - since).total_seconds())
    if asked_s is None:
        wanted = length_s / steps
        return next((step for step in _NICE_STEPS_S if step >= wanted), math.ceil(wanted / _DAY_S) * _DAY_S)
    if length_s > STEPS_MAX * asked_s:
        least = math.ceil(length_s / STEPS_MAX)
        raise BadRequestError(f"That is more than {STEPS_MAX:,} steps. Ask for step_s={least} or more, or less time.")
    return asked_s


def whole_second(time: datetime) -> datetime:
    """The second in which a time lies."""
    return time - timedelta(microseconds=time.microsecond)
