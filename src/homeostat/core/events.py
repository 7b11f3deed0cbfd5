"""Events beside the telemetry: what happened around a system, on one timeline. Kept in the control state."""

from datetime import datetime
from enum import StrEnum
from typing import Final

from pydantic import Field

from homeostat.core.models import Model, Scalar

ALERTMANAGER: Final = "alertmanager"
"""The ``source`` of what an Alertmanager told: its alerts as events, its silences as maintenance windows."""

SERVICE_LABELS: Final = ("service", "service_name", "job")
"""Labels of alerts and silences that name a service, the most telling first."""

HEARD_AT: Final = "heard_at_s"
"""In the data of an event that must be repeated by its source: Unix second of the last time."""


class EventType(StrEnum):
    """The kinds of the correlation contract."""

    INCIDENT = "incident"
    DEPLOYMENT = "deployment"  # a release, a flag, a configuration or scaling change: ``change`` says which
    ALERT = "alert"
    ANOMALY = "anomaly"


class EventSeverity(StrEnum):
    """The severities of the correlation contract."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Event(Model):
    """One event. ``fingerprint``: a later event with the same one and no end yet updates this one."""

    id: str
    time: datetime
    ended_at: datetime | None = None  # None: it lasts, or has no length
    type: EventType
    change: str | None = None  # of a deployment: deployment | flag | configuration | scaling
    title: str
    description: str = ""
    severity: EventSeverity = EventSeverity.INFO
    source: str  # homeostat | alertmanager | slo:<id> | api | ...
    fingerprint: str = ""
    services: tuple[str, ...] = ()
    traces: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    data: dict[str, Scalar] = Field(default_factory=dict)


def over_at(event: Event) -> datetime | None:
    """When the event was over; None while it lasts. A deployment is a moment: it is over when it happens."""
    if event.type is EventType.DEPLOYMENT:
        return event.ended_at or event.time
    return event.ended_at


class MaintenanceWindow(Model):
    """A time in which trouble of some services is expected: nobody is alerted and nothing is healed by itself."""

    id: str
    start: datetime
    end: datetime
    services: tuple[str, ...]  # empty: all
    reason: str
    created_by: str
    source: str = "homeostat"  # or ALERTMANAGER: a silence
    alerts: tuple[str, ...] = ()  # empty: all, and healing waits; else only alerts of these names are muted
