"""What the endpoints of events, alerts and maintenance take and answer. ``docs/api.md`` tells the same."""

from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from homeostat.api.models import Answer
from homeostat.core.events import Event, EventSeverity, EventType, MaintenanceWindow, over_at
from homeostat.core.models import Scalar
from homeostat.observe.correlate import RankedChange

Name = Annotated[str, Field(min_length=1, max_length=200)]
Text = Annotated[str, Field(max_length=2000)]


class Links(Answer):
    """Where the telemetry around an event is: paths on this server, to be asked as they are."""

    traces: str
    logs: str
    metrics: str


class EventAnswer(Answer):
    """An event, with where to look further."""

    event: Event
    lasting: bool
    links: Links
    muted_by: (
        MaintenanceWindow | None
    )  # of an alert or incident that lasts: the window because of which nobody is told


class EventList(Answer):
    """Part of the timeline, newest first. ``more``: there is more than the limit."""

    events: list[EventAnswer]
    more: bool


class Affected(Answer):
    """A service that an event touches. 0 hops: the event names it; else it calls one, through so many calls."""

    service: str
    hops: int


class EventContext(Answer):
    """What belongs to an event."""

    event: EventAnswer
    changes: list[RankedChange]  # before it, the likeliest first
    affected: list[Affected]
    around: list[Event]  # other events of connected services that lasted at the same time
    traces: list[str]  # examples, stored
    maintenance: list[MaintenanceWindow]  # of its services, at its time


class EventBody(BaseModel):
    """An event that somebody tells."""

    model_config = ConfigDict(extra="forbid")

    type: EventType = EventType.DEPLOYMENT
    title: str = Field(min_length=1, max_length=500)
    description: Text = ""
    change: str | None = Field(default=None, pattern="^(deployment|flag|configuration|scaling)$")
    severity: EventSeverity = EventSeverity.INFO
    source: Name = "api"
    services: tuple[Name, ...] = Field(default=(), max_length=100)
    time: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None
    fingerprint: str = Field(default="", max_length=200)
    traces: tuple[Name, ...] = Field(default=(), max_length=20)
    data: dict[Name, Scalar] = Field(default_factory=dict, max_length=50)


class MaintenanceBody(BaseModel):
    """A window that somebody makes."""

    model_config = ConfigDict(extra="forbid")

    start: AwareDatetime | None = None  # default: now
    end: AwareDatetime | None = None
    minutes: float | None = Field(default=None, gt=0, le=527_040)  # instead of an end
    services: tuple[Name, ...] = Field(default=(), max_length=100)  # empty: all
    reason: str = Field(min_length=1, max_length=500)
    who: Name


class WebhookAnswer(Answer):
    """What became of a webhook's alerts. ``ignored``: Homeostat's own, which came back."""

    recorded: int
    ignored: int


def links_of(services: tuple[str, ...], start: datetime, end: datetime, *, errors: bool) -> Links:
    """The questions that an event suggests, about the first service that it names."""
    about = {"service": services[0]} if services else {}
    times = {"start": start.isoformat(), "end": end.isoformat()}
    minutes = max(1, round((end - start).total_seconds() / 60))
    return Links(
        traces=f"/api/traces?{urlencode(about | times | ({'errors_only': 'true'} if errors else {}))}",
        logs=f"/api/logs?{urlencode(about | times)}",
        metrics=f"/api/red?{urlencode(about | {'minutes': min(1440, minutes)})}",
    )


def lasts(event: Event) -> bool:
    """Is it going on?"""
    return over_at(event) is None
