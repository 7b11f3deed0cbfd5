"""The timeline of events: what happened, what changed before, what belongs to an incident; and maintenance."""

from datetime import datetime, timedelta
from typing import Annotated, Final

from anyio import to_thread
from fastapi import APIRouter, Query
from pydantic import AwareDatetime, Field

from homeostat.api.context import Context, Here
from homeostat.api.errors import CONFLICT, NOT_FOUND, TOO_MANY
from homeostat.api.event_models import (
    Affected,
    EventAnswer,
    EventBody,
    EventContext,
    EventList,
    MaintenanceBody,
    lasts,
    links_of,
)
from homeostat.api.trace_search import EARLIEST, LATEST, TimeRange
from homeostat.core.errors import BadRequestError, NotFoundError
from homeostat.core.events import Event, EventSeverity, EventType, MaintenanceWindow, over_at
from homeostat.observe.correlate import CallGraph, RankedChange, rank_changes
from homeostat.observe.correlate.derived import incident_event

router = APIRouter(prefix="/api", tags=["events"])

READ_MAX: Final = 5_000
EVENT_EARLIEST: Final = EARLIEST + timedelta(days=730)
"""So that one may ask for some time before any event."""
AROUND_MAX: Final = 50
EXAMPLES_MAX: Final = 5
BEFORE: Final = timedelta(minutes=15)
"""The links of an event begin so long before it."""

TOPOLOGY_S: Final = 3600
CHANGES_BEFORE: Final = timedelta(hours=6)
FUTURE_MAX: Final = timedelta(minutes=5)


class EventFilter(TimeRange):
    """Which events are meant. Without a range: those of the last hour."""

    minutes: int = Field(default=60, ge=1, le=525_600)
    type: list[EventType] = Field(default=[], max_length=4)
    severity: list[EventSeverity] = Field(default=[], max_length=3)
    change: str | None = Field(default=None, max_length=50)
    service: str | None = Field(default=None, max_length=200)
    source: str | None = Field(default=None, max_length=200)
    text: str | None = Field(
        default=None, max_length=200, description="Occurs, in any case, in title or description."
    )
    limit: int = Field(default=200, ge=1, le=2000)

    def matches(self, event: Event) -> bool:
        """All conditions hold."""
        return (
            (not self.severity or event.severity in self.severity)
            and self.change in {None, "", event.change}
            and (not self.service or self.service in event.services)
            and (not self.source or self.source == event.source)
            and (not self.text or self.text.casefold() in f"{event.title}\n{event.description}".casefold())
        )


@router.get("/events")
async def events(here: Here, asked: Annotated[EventFilter, Query()]) -> EventList:
    """Incidents, deployments (flags, configuration and scaling among them), alerts and anomalies, newest first."""
    since, until = asked.bounds(here.parts.clock.now())
    read = await here.events().timeline.events(since=since, until=until, types=asked.type, limit=READ_MAX)
    found = [event for event in read if asked.matches(event)]
    return EventList(events=[_answer(here, one) for one in found[: asked.limit]], more=len(found) > asked.limit)


@router.post("/events", status_code=201, responses=TOO_MANY)
async def tell(body: EventBody, here: Here) -> EventAnswer:
    """Put an event on the timeline; one with the fingerprint of an event that lasts updates (or ends) that."""
    parts, now = here.events(), here.parts.clock.now()
    time = body.time or now
    for name, told in (("time", time), ("ended_at", body.ended_at or now)):
        if not EVENT_EARLIEST < told < now + FUTURE_MAX:
            raise BadRequestError(f"{name} ({told.isoformat()}) is no time up to now at which it can have happened.")
    if body.ended_at is not None and body.ended_at < time:
        raise BadRequestError("ended_at lies before time. Swap them.")
    is_deployment = body.type is EventType.DEPLOYMENT
    if body.change is not None and not is_deployment:
        raise BadRequestError(f"change is for events of the type deployment; this is of the type {body.type}.")
    event = Event(
        id=parts.ids.new("evt"),
        time=time,
        ended_at=body.ended_at,
        type=body.type,
        change=(body.change or "deployment") if is_deployment else None,
        title=body.title,
        description=body.description,
        severity=body.severity,
        source=body.source,
        fingerprint=f"told|{body.fingerprint}" if body.fingerprint else "",
        services=tuple(dict.fromkeys(body.services)),
        traces=body.traces,
        data=body.data,
    )
    return _answer(here, await parts.timeline.told(event))


@router.get("/events/{event_id}", responses=NOT_FOUND)
async def event(event_id: str, here: Here) -> EventContext:
    """One event with what changed before, whom it touches and what else happened then."""
    found = await here.events().timeline.event(event_id)
    if found is None:
        raise NotFoundError(f"There is no event {event_id!r}. GET /api/events lists them.")
    return await _context(here, found)


@router.get("/incidents/{incident_id}/context", responses=NOT_FOUND)
async def incident_context(incident_id: str, here: Here) -> EventContext:
    """The same for an incident."""
    found = await here.parts.state.incident(incident_id)
    if found is None:
        raise NotFoundError(f"There is no incident {incident_id!r}. GET /api/incidents lists them.")
    return await _context(here, incident_event(found))


@router.get("/changes")
async def changes(
    here: Here,
    service: Annotated[list[str] | None, Query(max_length=50)] = None,
    before: AwareDatetime | None = None,
    minutes: Annotated[int, Query(ge=1, le=525_600, description="How far back before that.")] = 360,
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
) -> list[RankedChange]:
    """What changed before a moment (default: now), the likeliest explanation of a trouble of these services first."""
    at = before or here.parts.clock.now()
    if not EVENT_EARLIEST < at < LATEST:
        raise BadRequestError(f"before ({at.isoformat()}) is not a time at which something can have happened.")
    return await _changes(here, tuple(service or ()), at, timedelta(minutes=minutes), limit)


# -- maintenance --------------------------------------------------------------------------------------------


@router.get("/maintenance")
async def windows(
    here: Here, over: Annotated[bool, Query(description="Also those of the last 30 days.")] = False
) -> list[MaintenanceWindow]:
    """Windows that last or are to come, by their start; silences of the Alertmanager among them."""
    return here.events().maintenance.windows(over=over)


@router.post("/maintenance", status_code=201, responses=CONFLICT)
async def begin_maintenance(body: MaintenanceBody, here: Here) -> MaintenanceWindow:
    """From now on (or a start) until an end nobody is alerted for these services, and none is healed by itself."""
    parts, now = here.events(), here.parts.clock.now()
    start = body.start or now
    if not EVENT_EARLIEST < start < LATEST:
        raise BadRequestError(f"start ({start.isoformat()}) is not a time for maintenance.")
    if (body.end is None) == (body.minutes is None):
        raise BadRequestError("Say either end or minutes: a window without an end would be forgotten.")
    end = body.end if body.end is not None else start + timedelta(minutes=body.minutes or 0)
    window = await parts.maintenance.add(
        start=start, end=end, services=body.services, reason=body.reason, created_by=body.who
    )
    await parts.timeline.record(_window_event(parts.ids.new("evt"), window, now, begun=True))
    return window


@router.delete("/maintenance/{window_id}", responses=CONFLICT)
async def end_maintenance(window_id: str, here: Here) -> MaintenanceWindow:
    """End a window now. 409 for a silence, which is expired in the Alertmanager, and for one that is over."""
    parts = here.events()
    window = await parts.maintenance.end(window_id)
    event = _window_event(parts.ids.new("evt"), window, here.parts.clock.now(), begun=False)
    await parts.timeline.record(event)
    return window


def _window_event(event_id: str, window: MaintenanceWindow, now: datetime, *, begun: bool) -> Event:
    """Planning or ending maintenance is a change of configuration: people looking back want to see it."""
    what = f"Maintenance until {window.end:%Y-%m-%d %H:%M} UTC" if begun else "Maintenance ended"
    return Event(
        id=event_id,
        time=now,
        type=EventType.DEPLOYMENT,
        change="maintenance",
        title=f"{what}: {', '.join(window.services) or 'all services'}",
        description=window.reason,
        source=window.created_by,
        services=window.services,
        data={"maintenance_id": window.id},
    )


# -- inside -------------------------------------------------------------------------------------------------


def _answer(here: Context, event: Event) -> EventAnswer:
    now = here.parts.clock.now()
    muted = here.events().maintenance.muting(event, now) if _can_be_muted(event) else None
    errors = "error" in " ".join(event.metrics) or event.type is EventType.INCIDENT
    end = over_at(event) or now
    links = links_of(event.services, event.time - BEFORE, max(end, event.time + BEFORE), errors=errors)
    return EventAnswer(event=event, lasting=lasts(event), links=links, muted_by=muted)


def _can_be_muted(event: Event) -> bool:
    return lasts(event) and event.type in {EventType.ALERT, EventType.INCIDENT}


async def _context(here: Context, event: Event) -> EventContext:
    now = here.parts.clock.now()
    graph = await _graph(here, event.time)
    above = graph.above(event.services)
    end = over_at(event) or now
    around = await here.events().timeline.events(since=event.time - BEFORE, until=end, limit=READ_MAX)
    connected = above.keys() | graph.below(event.services).keys()
    return EventContext(
        event=_answer(here, event),
        changes=await _changes(here, event.services, event.time, CHANGES_BEFORE, 20, graph),
        affected=[Affected(service=name, hops=hops) for name, hops in sorted(above.items(), key=lambda one: one[1])],
        around=[one for one in around if one.id != event.id and (not one.services or connected & set(one.services))][
            :AROUND_MAX
        ],
        traces=await _examples(here, event),
        maintenance=[
            window
            for window in here.events().maintenance.windows(over=True)
            if window.start <= end and window.end >= event.time and _concerns(window, event)
        ],
    )


def _concerns(window: MaintenanceWindow, event: Event) -> bool:
    return not window.services or not event.services or bool(set(window.services) & set(event.services))


async def _examples(here: Context, event: Event) -> list[str]:
    """Traces that are stored: those that the event names, else recent failed (or slow) ones of its services."""
    if event.traces or not event.services:
        return list(event.traces)
    errors = event.metrics != ("latency_p95_ms",)
    return await here.parts.telemetry.example_traces(
        event.services[0], event.time - BEFORE, errors=errors, limit=EXAMPLES_MAX
    )


async def _changes(
    here: Context,
    services: tuple[str, ...],
    before: datetime,
    back: timedelta,
    limit: int,
    graph: CallGraph | None = None,
) -> list[RankedChange]:
    timeline = here.events().timeline
    read = await timeline.events(since=before - back, until=before, types=(EventType.DEPLOYMENT,), limit=READ_MAX)
    made = [event for event in read if event.change != "maintenance"]
    if graph is None:
        graph = await _graph(here, before)
    return rank_changes(made, before=before, services=services, graph=graph, limit=limit)


async def _graph(here: Context, at: datetime) -> CallGraph:
    """Who called whom in the hour before, and shortly after: what had just begun has few calls behind it."""
    end_s = int(at.timestamp()) + int(BEFORE.total_seconds())
    edges = await to_thread.run_sync(here.parts.red.edges, end_s - TOPOLOGY_S, end_s)
    return CallGraph(edges)
