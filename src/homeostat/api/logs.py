"""Log records: search, counts over time, what was said around a span, patterns, and files to take away."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import Field

from homeostat.api.context import Here
from homeostat.api.log_context import ContextQuestion, find_context
from homeostat.api.log_export import FORMATS, begun, written
from homeostat.api.log_models import LogContext, LogCounts, LogStep
from homeostat.api.log_search import STEPS_MAX, LogFilter, step_of, whole_second
from homeostat.core.errors import BadRequestError
from homeostat.core.log_patterns import LogPatterns
from homeostat.core.logs import LogCount, LogPage, LogQuery

router = APIRouter(prefix="/api/logs", tags=["logs"])

_COUNT_STEPS: Final = 60
_FILES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The file",
        "content": {
            form.media_type.partition(";")[0]: {"schema": {"type": "string", "format": "binary"}}
            for form in FORMATS.values()
        },
    }
}


class LogQuestion(LogFilter):
    """A search."""

    limit: int = Field(default=100, ge=1, le=1000)
    cursor: str | None = Field(default=None, max_length=200, description="next_cursor of the page before.")


class CountQuestion(LogFilter):
    """How finely."""

    step_s: int | None = Field(
        default=None, ge=1, le=31_536_000, description=f"Seconds; default: about {_COUNT_STEPS} steps."
    )


class PatternQuestion(LogFilter):
    """How many records are read, and how many patterns answered."""

    sample: int = Field(default=20_000, ge=1_000, le=50_000, description="Records to read of each of both times.")
    limit: int = Field(default=200, ge=1, le=1000, description="Patterns.")


class ExportQuestion(LogFilter):
    """As what."""

    format: str = Field(default="ndjson", max_length=100, description="ndjson, csv or parquet.")


@router.get("")
async def search(here: Here, asked: Annotated[LogQuestion, Query()]) -> LogPage:
    """Records that fulfil every condition, newest first."""
    return await here.logs().logs(asked.query(here.parts.clock.now(), limit=asked.limit, cursor=asked.cursor))


@router.get("/counts")
async def counts(here: Here, asked: Annotated[CountQuestion, Query()]) -> LogCounts:
    """How many records match in each step, by severity: every one, not only those of a page."""
    query = asked.query(here.parts.clock.now())
    query = query.model_copy(update={"start": whole_second(query.start)})
    step_s = step_of(query.start, query.end, asked.step_s, steps=_COUNT_STEPS)
    found = await here.logs().log_counts(query, step_s) if query.start < query.end else []
    return _counted(query, step_s, found)


@router.get("/context")
async def context(here: Here, asked: Annotated[ContextQuestion, Query()]) -> LogContext:
    """What was said around a span: by itself, in its trace, and by its service meanwhile."""
    return await find_context(here.logs(), here.parts.telemetry, asked)


@router.get("/patterns")
async def patterns(here: Here, asked: Annotated[PatternQuestion, Query()]) -> LogPatterns:
    """What is said again and again, what of it is new, and what has grown."""
    query = asked.query(here.parts.clock.now())
    return await here.patterns.find(here.logs(), query, sample=asked.sample, limit=asked.limit)


@router.get("/export", responses=_FILES, response_class=StreamingResponse)
async def export(here: Here, asked: Annotated[ExportQuestion, Query()]) -> StreamingResponse:
    """Every matching record, newest first, as a file."""
    form = FORMATS.get(asked.format)
    if form is None:
        raise BadRequestError(f"format={asked.format!r} is none. Ask for {', '.join(FORMATS)}.")
    query = asked.query(here.parts.clock.now())
    parts = await begun(here.logs().export(query))
    name = f"homeostat-logs-{_stamp(query.start)}-{_stamp(query.end)}.{asked.format}"
    body: AsyncIterator[bytes] = written(parts, form)
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return StreamingResponse(body, media_type=form.media_type, headers=headers)


def _counted(query: LogQuery, step_s: int, found: list[LogCount]) -> LogCounts:
    totals: dict[str, int] = {}
    for step in found:
        for severity, count in step.counts.items():
            totals[severity] = totals.get(severity, 0) + count
    assert len(found) <= STEPS_MAX
    return LogCounts(
        start=query.start,
        end=query.end,
        step_s=step_s,
        total=sum(totals.values()),
        totals=totals,
        steps=tuple(
            LogStep(
                time=datetime.fromtimestamp(step.start_s, UTC), total=sum(step.counts.values()), counts=step.counts
            )
            for step in found
        ),
    )


def _stamp(time: datetime) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ")
