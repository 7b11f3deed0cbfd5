"""Incidents and flag changes as events: they have records of their own. Used by ``timeline``."""

from typing import Final

from homeostat.core.events import Event, EventSeverity, EventType
from homeostat.core.models import FlagChange, Incident, Severity

SEVERITIES: Final = {
    Severity.CRITICAL: EventSeverity.CRITICAL,
    Severity.HIGH: EventSeverity.CRITICAL,
    Severity.MEDIUM: EventSeverity.WARNING,
    Severity.LOW: EventSeverity.INFO,
}

INCIDENT_ALERT: Final = "HomeostatIncident"


def incident_event(incident: Incident) -> Event:
    """An incident as it stands now; it begins with its first bad second."""
    cause = incident.root_cause
    return Event(
        id=incident.id,
        time=incident.first_bad_at,
        ended_at=incident.closed_at,
        type=EventType.INCIDENT,
        title=incident.title,
        description=cause.reason if cause is not None else "The cause is not known yet.",
        severity=SEVERITIES[incident.severity],
        source="homeostat",
        fingerprint=f"incident|{incident.id}",
        services=incident.affected_services,
        traces=cause.example_trace_ids if cause is not None else (),
        data={
            "alertname": INCIDENT_ALERT,
            "status": incident.status.value,
            "healed": incident.healed,
            "root_cause": cause.resource if cause is not None else None,
        },
    )


def flag_event(change: FlagChange) -> Event:
    """A changed flag. It names no service: any may read it."""
    return Event(
        id=change.id,
        time=change.time,
        type=EventType.DEPLOYMENT,
        change="flag",
        title=f"{change.flag} was turned {'on' if change.new_value else 'off'}",
        description=change.reason,
        source=change.triggered_by,
        data={
            "flag": change.flag,
            "previous_value": change.previous_value,
            "new_value": change.new_value,
            "problem_id": change.problem_id,
        },
    )
