"""Questions over many traces, and over the rollups of all: differences, bottlenecks, latency, dependencies."""

from datetime import datetime
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query
from pydantic import AwareDatetime, Field

from homeostat.api.context import Context, Here
from homeostat.api.errors import NOT_FOUND
from homeostat.api.figures import MINUTE_S, effective_step_s
from homeostat.api.trace_search import EARLIEST, Milliseconds, TimeRange, TraceFilter, within
from homeostat.core.analysis import (
    Bottlenecks,
    Dependencies,
    Dependency,
    Differences,
    Latency,
    OperationFigures,
    RequestFigures,
    Split,
)
from homeostat.core.errors import BadRequestError, NotFoundError
from homeostat.core.models import Trace, TraceQuery
from homeostat.core.ports import RedHistory
from homeostat.core.red import Edge, RedPoint
from homeostat.observe.analysis.bottlenecks import bottlenecks
from homeostat.observe.analysis.differences import differences
from homeostat.observe.analysis.latency import columns_of, latency
from homeostat.observe.analysis.population import judged_ms, weighted_quantile

router = APIRouter(prefix="/api", tags=["analysis"])

POINTS_MAX = 2000
SAMPLE_MAX = 500
OPERATIONS_MAX = 400
_P95 = 0.95

Sample = Annotated[int, Field(ge=10, le=SAMPLE_MAX, description="Traces to look at on each side, the newest.")]
Rows = Annotated[int, Field(ge=1, le=200)]


class DifferenceQuestion(TraceFilter):
    """Which traces, and what divides them."""

    split: Split = Split.LATENCY
    threshold_ms: Milliseconds | None = Field(default=None, description="Where slow begins; default: their P95.")
    baseline_start: AwareDatetime | None = Field(
        default=None, description="For split=time: what to hold against; default: the same length of time before."
    )
    baseline_end: AwareDatetime | None = None
    sample: Sample = 300
    limit: Rows = 30


class BottleneckQuestion(TraceFilter):
    """Which traces."""

    sample: Sample = 300
    limit: Rows = 30


class LatencyQuestion(TimeRange):
    """Of what, when, and how finely."""

    service: str = Field(max_length=1000)
    operation: str | None = Field(default=None, max_length=1000)
    minutes: int = Field(default=60, ge=1, le=525_600)
    step_s: int = Field(default=60, ge=1, le=86_400, description="Length of a step in seconds.")


class DependencyQuestion(TimeRange):
    """When."""

    minutes: int = Field(default=60, ge=1, le=525_600)


class OperationsQuestion(DependencyQuestion):
    """Of what, and when."""

    service: str = Field(max_length=1000)


@router.get("/analysis/differences")
async def different(here: Here, asked: Annotated[DifferenceQuestion, Query()]) -> Differences:
    """What the slow traces (the failed, those of now) have more often than the others, the clearest first."""
    query = asked.query(here.parts.clock.now(), limit=asked.sample)
    notes: list[str] = []
    threshold_ms: float | None = None
    if asked.split is Split.TIME:
        affected = await _sampled(here, query, notes)
        baseline = await _sampled(here, _earlier(asked, query), notes)
    elif asked.split is Split.ERRORS:
        affected = await _sampled(here, query.model_copy(update={"errors_only": True}), notes)
        others = await _sampled(here, query.model_copy(update={"errors_only": False}), notes)
        failed = {trace.trace_id for trace in affected}
        baseline = [trace for trace in others if trace.trace_id not in failed and not _has_error(trace)]
    else:
        everything = await _sampled(here, query, notes)
        threshold_ms = asked.threshold_ms if asked.threshold_ms is not None else _p95(everything, query)
        slow = query.model_copy(update={"min_duration_ms": max(threshold_ms or 0.0, query.min_duration_ms or 0.0)})
        affected = await _sampled(here, slow, notes) if threshold_ms is not None else []
        baseline = [trace for trace in everything if not _is_slow(trace, query, threshold_ms)]
    return await to_thread.run_sync(
        lambda: differences(
            affected,
            baseline,
            asked.split,
            threshold_ms=threshold_ms,
            limit=asked.limit,
            notes=list(dict.fromkeys(notes)),
        )
    )


@router.get("/analysis/bottlenecks")
async def slowest(here: Here, asked: Annotated[BottleneckQuestion, Query()]) -> Bottlenecks:
    """The operations in which the matching traces spend most of their time themselves."""
    notes: list[str] = []
    traces = await _sampled(here, asked.query(here.parts.clock.now(), limit=asked.sample), notes)
    return await to_thread.run_sync(lambda: bottlenecks(traces, limit=asked.limit, notes=notes))


@router.get("/latency", responses=NOT_FOUND)
async def latencies(here: Here, asked: Annotated[LatencyQuestion, Query()]) -> Latency:
    """P50, P95 and P99 per step and the heat map of a service or an operation, from every request."""
    red = here.parts.red
    since, until = asked.bounds(here.parts.clock.now())
    step_s = effective_step_s(red.reach(), int(since.timestamp()), asked.step_s)
    if asked.operation or (until - since).total_seconds() > POINTS_MAX * MINUTE_S:
        step_s = -(-step_s // MINUTE_S) * MINUTE_S
    start_s = int(since.timestamp()) // step_s * step_s
    end_s = -(-int(until.timestamp()) // step_s) * step_s
    if end_s - start_s > POINTS_MAX * step_s:
        raise BadRequestError(
            f"{(end_s - start_s) // step_s} steps of {step_s} s are more than {POINTS_MAX}. Take a longer step_s."
        )
    if asked.service not in red.services():
        raise NotFoundError(
            f"No telemetry of a service {asked.service!r} has been seen. GET /api/services lists those that were."
        )
    return await to_thread.run_sync(_latency, red, asked, start_s, end_s, step_s)


@router.get("/latency/operations")
async def operation_latencies(here: Here, asked: Annotated[OperationsQuestion, Query()]) -> OperationFigures:
    """P50, P95 and P99 of each operation of a service over a range of time, from every request."""
    since, until = asked.bounds(here.parts.clock.now())
    points = await to_thread.run_sync(
        here.parts.red.operations, int(since.timestamp()), -int(-until.timestamp() // 1)
    )
    mine = [point for point in points if point.service == asked.service and point.operation and point.requests]
    mine.sort(key=lambda point: (-point.duration_sum_ms, point.operation))
    return OperationFigures(start=since, end=until, operations=tuple(map(_figures, mine[:OPERATIONS_MAX])))


@router.get("/dependencies")
async def dependencies(here: Here, asked: Annotated[DependencyQuestion, Query()]) -> Dependencies:
    """Who called whom, how often, and how well, from every span."""
    now = here.parts.clock.now()
    since, until = asked.bounds(now)
    seconds = int(since.timestamp()), -int(-until.timestamp() // 1)
    red = here.parts.red
    edges = await to_thread.run_sync(red.edges, *seconds)
    points = await to_thread.run_sync(red.window, *seconds)
    found = sorted(map(_dependency, edges), key=lambda edge: (-edge.requests, edge.caller, edge.callee))
    services = sorted(map(_figures, points), key=lambda figures: figures.service)
    known_s = red.reach().known_s(since.timestamp(), min(until, now).timestamp())
    return Dependencies(
        start=since, end=until, known_s=known_s or None, services=tuple(services), dependencies=tuple(found)
    )


def _figures(point: RedPoint) -> RequestFigures:
    return RequestFigures(
        service=point.service,
        operation=point.operation,
        requests=point.requests,
        errors=point.errors,
        error_rate=point.error_rate,
        p50_ms=point.quantile_ms(0.5),
        p95_ms=point.quantile_ms(0.95),
        p99_ms=point.quantile_ms(0.99),
    )


def _dependency(edge: Edge) -> Dependency:
    return Dependency(
        caller=edge.caller,
        callee=edge.callee,
        requests=edge.requests,
        errors=edge.errors,
        error_rate=edge.errors / edge.requests if edge.requests else None,
        mean_ms=edge.duration_sum_ms / edge.requests if edge.requests else None,
    )


def _latency(red: RedHistory, asked: LatencyQuestion, start_s: int, end_s: int, step_s: int) -> Latency:
    operation = asked.operation or None
    if step_s % MINUTE_S == 0:
        rows = red.minutes(asked.service, start_s, end_s, operation=operation)
    else:
        rows = columns_of(red.series(asked.service, start_s, end_s, step_s))
    return latency(
        rows,
        service=asked.service,
        operation=operation,
        start_s=start_s,
        end_s=end_s,
        step_s=step_s,
        reach=red.reach(),
    )


async def _sampled(here: Context, query: TraceQuery, notes: list[str]) -> list[Trace]:
    """The newest traces that match, whole; a note where there were more."""
    page = await here.parts.telemetry.search(query)
    if page.next_cursor is not None:
        notes.append(f"There are more; the newest {len(page.traces)} were looked at.")
    return await here.parts.telemetry.traces([summary.trace_id for summary in page.traces])


def _earlier(asked: DifferenceQuestion, query: TraceQuery) -> TraceQuery:
    until = within("baseline_end", asked.baseline_end) if asked.baseline_end is not None else query.start
    since = within("baseline_start", asked.baseline_start) if asked.baseline_start is not None else None
    since = _before(until, query) if since is None else since
    if since >= until:
        raise BadRequestError("baseline_start lies after baseline_end. Swap them.")
    return query.model_copy(update={"start": since, "end": until})


def _before(until: datetime, query: TraceQuery) -> datetime:
    length = query.end - query.start
    return until - length if until - EARLIEST > length else EARLIEST


def _p95(traces: list[Trace], query: TraceQuery) -> float | None:
    """The duration that one trace in twenty reaches, sampling counted in; None without traces."""
    if not traces:
        return None
    durations = [judged_ms(trace, query.service, query.operation) for trace in traces]
    return weighted_quantile(durations, [1 / trace.sampling_probability for trace in traces], _P95)


def _is_slow(trace: Trace, query: TraceQuery, threshold_ms: float | None) -> bool:
    return threshold_ms is not None and judged_ms(trace, query.service, query.operation) >= threshold_ms


def _has_error(trace: Trace) -> bool:
    return any(span.status == "error" for span in trace.spans)
