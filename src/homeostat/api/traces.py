"""Traces: search, one by id, where its time went, and two side by side."""

from functools import partial
from typing import Annotated, Literal

from anyio import to_thread
from fastapi import APIRouter, Query
from pydantic import Field

from homeostat.api.context import Context, Here
from homeostat.api.errors import NOT_FOUND
from homeostat.api.trace_search import TraceFilter, no_trace, trace_id_of
from homeostat.core.analysis import TraceAnalysis, TraceComparison
from homeostat.core.models import Trace, TracePage
from homeostat.observe.analysis.columns import analyse_columns
from homeostat.observe.analysis.compare import compare

router = APIRouter(prefix="/api", tags=["traces"])


class TraceQuestion(TraceFilter):
    """The parameters of a search."""

    limit: int = Field(default=20, ge=1, le=1000)
    cursor: str | None = Field(default=None, max_length=200, description="next_cursor of the page before.")


@router.get("/traces")
async def search(here: Here, asked: Annotated[TraceQuestion, Query()]) -> TracePage:
    """Traces with a span that matches every condition, by the start of the first such span, newest first."""
    query = asked.query(here.parts.clock.now(), limit=asked.limit, cursor=asked.cursor)
    return await here.parts.telemetry.search(query)


@router.get("/traces/compare", responses=NOT_FOUND)
async def compared(here: Here, left: str, right: str) -> TraceComparison:
    """Two traces side by side: spans that were added, are missing, took longer or shorter."""
    one, other = await _trace(here, left), await _trace(here, right)
    return await to_thread.run_sync(compare, one, other)


@router.get("/traces/{trace_id}", responses=NOT_FOUND)
async def trace(trace_id: str, here: Here) -> Trace:
    """All stored spans of a trace, by start."""
    return await _trace(here, trace_id)


@router.get("/traces/{trace_id}/analysis", responses=NOT_FOUND)
async def analysis(trace_id: str, here: Here, spans: Literal["all", "shifted"] = "all") -> TraceAnalysis:
    """Where the time of a trace went: self times, the critical path, sums of operations."""
    wanted = trace_id_of(trace_id)
    found = await here.parts.telemetry.trace_columns(wanted)
    if found is None:
        raise no_trace(wanted)
    return await to_thread.run_sync(partial(analyse_columns, found, only_shifted=spans == "shifted"))


async def _trace(here: Context, text: str) -> Trace:
    wanted = trace_id_of(text)
    found = await here.parts.telemetry.trace(wanted)
    if found is None:
        raise no_trace(wanted)
    return found
