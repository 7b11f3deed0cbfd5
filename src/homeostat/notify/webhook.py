"""What an Alertmanager sends to a webhook receiver (version "4"), and the events that it is. Called by the API."""

from datetime import UTC, datetime
from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from homeostat.core.events import ALERTMANAGER, HEARD_AT, SERVICE_LABELS, Event, EventSeverity, EventType
from homeostat.core.models import Scalar
from homeostat.notify.naming import OWN_LABEL

ALERTS_MAX: Final = 1_000
LABELS_MAX: Final = 64
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""What is said to have begun earlier has a wrong clock."""

TEXT_MAX: Final = 2_000

_CRITICAL: Final = frozenset({"critical", "page", "error", "high", "emergency"})
_INFO: Final = frozenset({"info", "none", "debug", "low"})


class WebhookAlert(BaseModel):
    """One alert of the message."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    status: Literal["firing", "resolved"]
    labels: dict[str, str] = Field(default_factory=dict, max_length=LABELS_MAX)
    annotations: dict[str, str] = Field(default_factory=dict, max_length=LABELS_MAX)
    startsAt: AwareDatetime  # noqa: N815 - the interface's names
    endsAt: AwareDatetime | None = None  # noqa: N815
    generatorURL: str = ""  # noqa: N815
    fingerprint: str = Field(min_length=1, max_length=100)


class WebhookMessage(BaseModel):
    """The message. Fields that say nothing about a single alert are not read."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Literal["4"]
    alerts: tuple[WebhookAlert, ...] = Field(max_length=ALERTS_MAX)


def events_of(message: WebhookMessage, now: datetime) -> list[Event]:
    """One event for each alert that is not one of Homeostat's own, come back. The same alert has the same id."""
    return [_event(alert, now) for alert in message.alerts if OWN_LABEL not in alert.labels]


def _event(alert: WebhookAlert, now: datetime) -> Event:
    name = alert.labels.get("alertname") or "alert"
    began = min(max(alert.startsAt, EARLIEST), now)
    ended = None
    if alert.status == "resolved":
        ended = max(began, min(now, alert.endsAt)) if alert.endsAt is not None else now
    return Event(
        id=f"evt-alertmanager-{alert.fingerprint}-{int(alert.startsAt.timestamp() * 1000)}",
        time=began,
        ended_at=ended,
        type=EventType.ALERT,
        title=(alert.annotations.get("summary") or name)[:TEXT_MAX],
        description=(alert.annotations.get("description") or alert.annotations.get("message") or "")[:TEXT_MAX],
        severity=_severity(alert.labels.get("severity", "")),
        source=ALERTMANAGER,
        fingerprint=f"alertmanager|{alert.fingerprint}",
        services=_services(alert.labels),
        data=_data(alert, name, now),
    )


def _services(labels: dict[str, str]) -> tuple[str, ...]:
    """The service that an alert is about: the most telling label that it has."""
    return next(((labels[label],) for label in SERVICE_LABELS if labels.get(label)), ())


def _severity(text: str) -> EventSeverity:
    """WARNING where an alert says nothing that is known: somebody thought that it is worth an alert."""
    word = text.lower()
    if word in _CRITICAL:
        return EventSeverity.CRITICAL
    return EventSeverity.INFO if word in _INFO else EventSeverity.WARNING


def _data(alert: WebhookAlert, name: str, now: datetime) -> dict[str, Scalar]:
    labels: dict[str, Scalar] = {f"label.{key}": value[:TEXT_MAX] for key, value in alert.labels.items()}
    return labels | {
        "alertname": name,
        "instance": alert.labels.get("instance"),
        "generator_url": alert.generatorURL[:TEXT_MAX] or None,
        HEARD_AT: int(now.timestamp()),
    }
