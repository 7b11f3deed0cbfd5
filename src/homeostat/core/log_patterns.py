"""Patterns of log records: what is said again and again. Made by ``observe.patterns``, answered by the API."""

from datetime import datetime

from pydantic import Field, field_validator

from homeostat.core.logs import LogRecord
from homeostat.core.models import Model
from homeostat.core.settings import Section


class LogMask(Section):
    """A variable part of log records that has a name: what the pattern matches is shown as ``<NAME>``."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,39}$")
    regex: str = Field(min_length=1, max_length=1000)  # RE2's syntax: no look-around, no back references
    service: str = "*"  # whose records; * matches anything

    @field_validator("name")
    @classmethod
    def _upper(cls, name: str) -> str:
        return name.upper()


class LogsConfig(Section):
    """How log records are read."""

    masks: tuple[LogMask, ...] = Field(default=(), max_length=100)


class LogPattern(Model):
    """Records of one service that differ only in their variable parts. Counts are estimates where it was sampled."""

    id: str  # made of service and template
    service: str
    template: str  # variable parts as <NAME>, or as <*>
    severity: str  # the commonest
    severities: dict[str, int]
    count: int
    share: float = Field(ge=0, le=1)  # of all records of the time
    previous_count: int  # in the time before, of the same length
    change: float | None  # count / previous_count - 1; None: there was none before
    is_new: bool | None  # it did not occur in the time before; None: that time holds no record at all
    first_seen: datetime
    last_seen: datetime
    timeline: tuple[int, ...]  # counts by step
    examples: tuple[LogRecord, ...]  # the newest


class LogPatterns(Model):
    """The patterns of a time, the most frequent first."""

    start: datetime
    end: datetime
    previous_start: datetime  # the time before is [previous_start, start)
    step_s: int  # of the timelines
    records_total: int
    records_read: int
    previous_total: int
    previous_read: int
    sampled: bool  # not every record was read: counts are estimates
    patterns: tuple[LogPattern, ...]
    patterns_total: int  # of these, as many as were asked for are in ``patterns``
    notes: tuple[str, ...]
