"""The name and labels under which an event is an alert elsewhere. Used by ``outbox`` and ``maintenance``."""

from homeostat.core.events import Event

OWN_LABEL = "homeostat_fingerprint"
"""Marks alerts that Homeostat sent: when they come back through a webhook they are not events anew."""


def alert_name(event: Event) -> str:
    """The value of ``alertname``: stable, whatever the figures in the title."""
    named = event.data.get("alertname")
    if isinstance(named, str) and named:
        return named
    return "SloBurnRate" if event.source.startswith("slo:") else "HomeostatAlert"


def alert_labels(event: Event) -> dict[str, str]:
    """What identifies the alert. A label that is empty is left out: Alertmanager takes that for absent."""
    labels = {
        "alertname": alert_name(event),
        "severity": event.severity.value,
        "service": event.services[0] if event.services else "",
        "source": event.source,
        OWN_LABEL: event.fingerprint or event.id,
    }
    return {name: value for name, value in labels.items() if value}
