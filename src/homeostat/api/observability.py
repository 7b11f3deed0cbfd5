"""The observability API of IAC Dharma 3.0, under both of its prefixes; arguments as query parameters or JSON body.

Its objectives are in ``api.slos``.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from anyio import to_thread
from fastapi import APIRouter, Body, Query
from fastapi.exceptions import RequestValidationError

from homeostat import __version__
from homeostat.api.context import Context, Here
from homeostat.api.errors import NOT_FOUND
from homeostat.api.event_models import links_of
from homeostat.api.events import BEFORE
from homeostat.api.observability_models import (
    Correlation,
    CorrelationEvent,
    Dashboard,
    DashboardSlo,
    DharmaMetric,
    DharmaServiceHealth,
    DharmaTrace,
    MetricBody,
    ObservabilityHealth,
    ObservabilityInfo,
    SubmittedType,
    TraceBody,
    correlation_event,
    dharma_trace,
    last_deployment,
)
from homeostat.api.slo_models import compatible_slo_answer
from homeostat.api.submitted import metric_request, one_span, span_request
from homeostat.api.trace_search import trace_id_of
from homeostat.core.errors import NotFoundError, StoreError
from homeostat.core.events import Event, EventType, over_at
from homeostat.core.metrics import MetricAggregation, MetricInfo, MetricQuery, MetricType
from homeostat.core.models import Trace, TraceQuery
from homeostat.core.ports import MetricStore
from homeostat.core.red import RedPoint
from homeostat.detect.health import original_status
from homeostat.observe.receivers.submit import Submitters

PREFIXES: Final = ("/api/v3/observability", "/api/observability")
router = APIRouter(tags=["observability (IAC Dharma 3.0)"])

HEALTH_S: Final = 300
TRACES_BACK: Final = timedelta(days=1)
METRICS_BACK: Final = timedelta(hours=1)
METRIC_STEP_S: Final = 15
TRACES_MAX: Final = 200
SEARCHED_MAX: Final = 1_000
EVENTS_MAX: Final = 1_000
RECENT_MAX: Final = 10
DEPLOYED_BACK: Final = timedelta(days=30)
_BUILT_IN_TYPES: Final = {"sum": "counter", "exponential_histogram": "histogram"}


@router.get("")
@router.get("/", include_in_schema=False)
async def info(here: Here) -> ObservabilityInfo:
    """What answers here."""
    problems = await here.problems()
    return ObservabilityInfo(
        service="Observability Suite (Homeostat)", version=__version__, status="degraded" if problems else "active"
    )


@router.get("/health")
async def health(here: Here) -> ObservabilityHealth:
    """``degraded`` while telemetry cannot be stored or the loop does not look."""
    status = "degraded" if await here.problems() else "healthy"
    return ObservabilityHealth(status=status, timestamp=here.parts.clock.now())


# -- traces -------------------------------------------------------------------------------------------------


@router.post("/trace")
async def submit_trace(
    here: Here,
    service_name: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
    operation: Annotated[str | None, Query(min_length=1, max_length=500)] = None,
    body: Annotated[TraceBody | None, Body()] = None,
) -> DharmaTrace:
    """Record one span, as it is told: of this service and operation, now. (The original invented four.)"""
    given, now = body or TraceBody(), here.parts.clock.now()
    service, name = service_name or given.service_name, operation or given.operation
    if not service or not name:
        raise _missing(service_name=service, operation=name)
    duration_ms = given.duration_ms or 0.0
    span = one_span(
        here.events().ids.new("trace"),
        service=service,
        operation=name,
        start=now - timedelta(milliseconds=duration_ms),
        duration_ms=duration_ms,
        error=given.error,
        attributes=given.attributes,
    )
    await _submitters(here).traces(span_request(span))
    return _told(Trace(trace_id=span.trace_id, spans=(span,)))


@router.get("/traces")
async def traces(
    here: Here, limit: Annotated[int, Query(ge=1, le=TRACES_MAX)] = 20, service: str = ""
) -> list[DharmaTrace]:
    """Traces of the last day, newest first; ``service`` is that of their root span, and empty means any."""
    now = here.parts.clock.now()
    query = TraceQuery(
        start=now - TRACES_BACK, end=now, service=service or None, limit=SEARCHED_MAX if service else limit
    )
    page = await here.parts.telemetry.search(query)
    wanted = [one.trace_id for one in page.traces if service in {"", one.root_service}][:limit]
    found = {one.trace_id: one for one in await here.parts.telemetry.traces(wanted)}
    return [_told(found[trace_id]) for trace_id in wanted if trace_id in found]


@router.get("/trace/{trace_id}", responses=NOT_FOUND)
async def trace(trace_id: str, here: Here) -> DharmaTrace:
    """One trace."""
    try:
        found = await here.parts.telemetry.trace(trace_id_of(trace_id))
    except NotFoundError:
        found = None
    if found is None:
        raise NotFoundError("Trace not found")  # their words: clients compare them
    return _told(found)


def _told(trace: Trace) -> DharmaTrace:
    told = dharma_trace(trace)
    if told is None:
        raise NotFoundError("Trace not found")
    return told


# -- metrics ------------------------------------------------------------------------------------------------


@router.post("/metric")
async def submit_metric(
    here: Here,
    name: Annotated[str | None, Query(min_length=1, max_length=500)] = None,
    value: Annotated[float | None, Query(allow_inf_nan=False)] = None,
    type: SubmittedType | None = None,
    unit: Annotated[str | None, Query(max_length=100)] = None,
    body: Annotated[MetricBody | None, Body()] = None,
) -> DharmaMetric:
    """Record one measurement. The label ``service`` names whose it is; of a counter, the value is what is added."""
    body = body or MetricBody()
    given = body.model_copy(update={"type": type or body.type, "unit": body.unit if unit is None else unit})
    what, measured = name or given.name, given.value if value is None else value
    if not what or measured is None:
        raise _missing(name=what, value=measured)
    now = here.parts.clock.now()
    await _submitters(here).metrics(metric_request(what, measured, given, now))
    return DharmaMetric(
        name=what, type=given.type.value, value=measured, timestamp=now, labels=given.labels, unit=given.unit
    )


@router.get("/metrics")
async def metrics(
    here: Here, limit: Annotated[int, Query(ge=1, le=1000)] = 100, name: str = ""
) -> list[DharmaMetric]:
    """The newest value of each series of the last hour, by name; of histograms and summaries the mean.

    ``name`` is the whole name, and empty means any.
    """
    store, now = here.events().metrics, here.parts.clock.now()
    if store is None:
        raise StoreError("Metrics are not kept by this process. Start it with `homeostat up`.")
    infos = await store.metrics(now - METRICS_BACK, contains=name, limit=limit)
    found: list[DharmaMetric] = []
    for one in infos:
        if name in {"", one.name} and len(found) < limit:
            found += await _newest(store, one, now, limit - len(found))
    return found


async def _newest(store: MetricStore, metric: MetricInfo, now: datetime, limit: int) -> list[DharmaMetric]:
    plain = metric.type in {MetricType.GAUGE, MetricType.SUM}
    query = MetricQuery(
        name=metric.name,
        start=now - METRICS_BACK,
        end=now + timedelta(seconds=1),
        step_s=METRIC_STEP_S,
        aggregation=MetricAggregation.LAST if plain else MetricAggregation.AVG,
        limit=limit,
    )
    found: list[DharmaMetric] = []
    for series in await store.series(query):
        known = [(index, value) for index, value in enumerate(series.values) if value is not None]
        if known:
            index, value = known[-1]
            found.append(
                DharmaMetric(
                    name=metric.name,
                    type=_BUILT_IN_TYPES.get(metric.type.value, metric.type.value),
                    value=value,
                    timestamp=datetime.fromtimestamp(series.start_s + index * series.step_s, UTC),
                    labels=series.labels,
                    unit=metric.unit,
                )
            )
    return found


# -- correlation --------------------------------------------------------------------------------------------


@router.get("/correlate")
async def correlate(
    here: Here,
    time_window_minutes: Annotated[int | None, Query(ge=1, le=43_200)] = None,
    time_window: Annotated[
        int | None, Query(ge=1, le=43_200, description="The same, as their gateway says it.")
    ] = None,
) -> Correlation:
    """Every event of that time, newest first."""
    minutes = time_window_minutes or time_window or 60
    found = await _events(here, timedelta(minutes=minutes))
    return Correlation(time_window_minutes=minutes, events_found=len(found), events=found)


async def _events(here: Context, back: timedelta, limit: int = EVENTS_MAX) -> list[CorrelationEvent]:
    now = here.parts.clock.now()
    found = await here.events().timeline.events(since=now - back, until=now, limit=limit)
    return [correlation_event(event, _logs(event, now)) for event in found]


def _logs(event: Event, now: datetime) -> str:
    return links_of(event.services, event.time - BEFORE, over_at(event) or now, errors=False).logs


# -- services and the whole ---------------------------------------------------------------------------------


@router.get("/service/{name}/health")
async def service_health(name: str, here: Here) -> DharmaServiceHealth:
    """By the contract's rule over the last five minutes; a service without requests in them is ``unknown``."""
    (found,) = await _services_health(here, [name])
    return found


@router.get("/dashboard")
async def dashboard(here: Here) -> Dashboard:
    """Objectives, services, the last events and totals."""
    totals = here.parts.span_totals() if here.parts.span_totals is not None else None
    return Dashboard(
        timestamp=here.parts.clock.now(),
        slos=_slos(here),
        services_health=await _services_health(here, here.parts.red.services()),
        recent_events=await _events(here, TRACES_BACK, RECENT_MAX),
        total_traces=int(totals.traces_histogram.sum()) if totals is not None else None,
        total_metrics=here.parts.ingest().metric_points_received,
    )


def _slos(here: Context) -> list[DashboardSlo]:
    service = here.parts.slos
    if service is None:
        return []
    answers = [compatible_slo_answer(slo, service.status(slo.id)) for slo in service.book.all()]
    return [
        DashboardSlo(
            name=one.name,
            service=one.service,
            status=one.status,
            current=one.current_percentage,
            target=one.target_percentage,
            error_budget=one.error_budget_remaining,
        )
        for one in answers
    ]


async def _services_health(here: Context, names: Sequence[str]) -> list[DharmaServiceHealth]:
    now = here.parts.clock.now()
    end_s = int(now.timestamp()) + 1
    points = await to_thread.run_sync(here.parts.red.window, end_s - HEALTH_S, end_s)
    by_service = {point.service: point for point in points if point.requests}
    timeline = here.events().timeline
    deployed = await timeline.events(since=now - DEPLOYED_BACK, until=now, types=(EventType.DEPLOYMENT,))
    alerts = [event for event in timeline.lasting() if event.type is EventType.ALERT]
    crashed = here.parts.health.crashed()
    return [
        _health_of(
            name,
            by_service.get(name),
            crashed=name in crashed,
            deployed=last_deployment(deployed, name),
            alerts=sum(name in alert.services for alert in alerts),
        )
        for name in names
    ]


def _health_of(
    name: str, point: RedPoint | None, *, crashed: bool, deployed: datetime | None, alerts: int
) -> DharmaServiceHealth:
    rate = point.error_rate if point is not None else None
    return DharmaServiceHealth(
        service_name=name,
        status=original_status(point, crashed=crashed).value,
        availability=None if rate is None else round(100 * (1 - rate), 4),
        avg_latency_ms=point.mean_ms if point is not None else None,
        error_rate=None if rate is None else round(100 * rate, 4),
        request_rate=point.requests / HEALTH_S if point is not None else None,
        last_deployment=deployed,
        active_alerts=alerts,
    )


def _submitters(here: Context) -> Submitters:
    submitters = here.events().submitters
    if submitters is None:
        raise StoreError("Telemetry is not received by this process. Start it with `homeostat up`.")
    return submitters


def _missing(**given: object) -> RequestValidationError:
    message = "Field required, as query parameter or in the JSON body"
    return RequestValidationError(
        [{"loc": ("query", key), "msg": message} for key, value in given.items() if value in (None, "")]
    )
