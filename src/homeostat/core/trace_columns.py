"""A trace as columns: what a waterfall of ten thousand spans needs before anybody has chosen one of them.

Made by the telemetry store straight from its own columns, answered by the API as it is, drawn by the dashboard.
"""

from datetime import datetime
from typing import Final

from pydantic import Field

from homeostat.core.models import Model

NO_PARENT: Final = -1
"""The span names no parent: it is a root."""

PARENT_MISSING: Final = -2
"""The span names a parent that is not stored."""

SPAN_ID_DIGITS: Final = 16


class TraceColumns(Model):
    """All spans of a trace that are stored, by start; one entry a span in every column but the names themselves."""

    trace_id: str
    start: datetime  # of the first span
    start_unix_nano: int
    span_ids: str  # 16 hexadecimal digits a span, without anything between them
    parents: tuple[int, ...]  # place of the parent in these columns, or NO_PARENT, or PARENT_MISSING
    services: tuple[str, ...]  # the different ones; ``service`` says which
    service: tuple[int, ...]
    names: tuple[str, ...]  # the different ones; ``name`` says which
    name: tuple[int, ...]
    start_ns: tuple[int, ...]  # since the start of the trace
    duration_ns: tuple[int, ...]
    kind: tuple[int, ...]  # the OTLP enum: 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer
    status: tuple[int, ...]  # the OTLP enum: 0 unset, 1 ok, 2 error
    sampling_probability: float = Field(default=1.0, gt=0, le=1)
    sampling_reason: str = ""  # the policy that kept it; empty: no sampling was on


class SpanMatches(Model):
    """The spans of a trace in which a text occurs."""

    span_ids: tuple[str, ...]  # by start of the spans
