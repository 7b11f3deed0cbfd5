"""Traces: search, and one by id."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field

from homeostat.api.context import Here
from homeostat.api.errors import NOT_FOUND
from homeostat.api.models import Traces
from homeostat.core.errors import BadRequestError, NotFoundError
from homeostat.core.models import Trace, TraceQuery

router = APIRouter(prefix="/api", tags=["traces"])

# Nanoseconds since 1970 in 64 bits end in 2262; spans cannot lie outside of this.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
TRACE_ID_DIGITS = 32
ATTRIBUTES_MAX = 16

Milliseconds = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]


class TraceQuestion(BaseModel):
    """The parameters of a search."""

    service: str | None = Field(default=None, max_length=1000)
    operation: str | None = Field(default=None, max_length=1000)
    min_duration_ms: Milliseconds | None = None
    max_duration_ms: Milliseconds | None = None
    errors_only: bool = False
    attribute: list[str] = Field(
        default=[], max_length=ATTRIBUTES_MAX, description="key=value; may be given several times."
    )
    start: AwareDatetime | None = Field(default=None, description="With a time zone, e.g. 2026-01-31T12:00:00Z.")
    end: AwareDatetime | None = None
    minutes: int = Field(default=15, ge=1, le=525_600, description="How far back, when there is no start.")
    limit: int = Field(default=20, ge=1, le=1000)


@router.get("/traces")
async def search(here: Here, asked: Annotated[TraceQuestion, Query()]) -> Traces:
    """Traces with a span that matches every condition, newest first."""
    until = _within("end", asked.end) if asked.end is not None else here.parts.clock.now()
    since = until - timedelta(minutes=asked.minutes) if asked.start is None else _within("start", asked.start)
    if since > until:
        raise BadRequestError(f"start ({since.isoformat()}) lies after end ({until.isoformat()}). Swap them.")
    query = TraceQuery(
        start=max(EARLIEST, since),
        end=until,
        service=asked.service or None,  # an empty field of a form means any
        operation=asked.operation or None,
        min_duration_ms=asked.min_duration_ms,
        max_duration_ms=asked.max_duration_ms,
        errors_only=asked.errors_only,
        attributes=dict(_pair(text) for text in asked.attribute),
        limit=asked.limit,
    )
    page = await here.parts.telemetry.search(query)
    return Traces(traces=list(page.traces))


@router.get("/traces/{trace_id}", responses=NOT_FOUND)
async def trace(trace_id: str, here: Here) -> Trace:
    """All stored spans of a trace, by start."""
    wanted = trace_id.lower()
    if len(wanted) != TRACE_ID_DIGITS or not set(wanted) <= set("0123456789abcdef"):
        raise NotFoundError(f"{trace_id[:100]!r} is not a trace id. A trace id is 32 hexadecimal digits.")
    found = await here.parts.telemetry.trace(wanted)
    if found is None:
        raise NotFoundError(
            f"There is no trace {wanted}. It may be older than the retention, or not have arrived yet."
        )
    return found


def _within(name: str, moment: datetime) -> datetime:
    if not EARLIEST <= moment <= LATEST:
        raise BadRequestError(f"{name} ({moment.isoformat()}) has to lie between 1970 and 2200.")
    return moment.astimezone(UTC)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise BadRequestError(f"attribute={text[:200]!r} is no condition. Write attribute=key=value.")
    return key, value
