"""The webhook receiver for a Prometheus Alertmanager, and how sending alerts to one goes."""

from fastapi import APIRouter

from homeostat.api.context import Here
from homeostat.api.errors import NOT_FOUND
from homeostat.api.event_models import WebhookAnswer
from homeostat.core.errors import NotFoundError, TooManyError, TryAgainError
from homeostat.notify import WebhookMessage, events_of
from homeostat.notify.outbox import OutboxStatus

router = APIRouter(prefix="/api/alertmanager", tags=["alerts"])


@router.post("/webhook")
async def webhook(message: WebhookMessage, here: Here) -> WebhookAnswer:
    """Alerts of a message of version "4" become events, and end with ``resolved``. Safe to send again.

    503 where too many last already: then those for which there was room, and all ends, are recorded. Not 429, after
    which an Alertmanager gives a message up: its webhook retries after 5xx alone.
    """
    parts = here.events()
    events = events_of(message, here.parts.clock.now())
    refused: list[TooManyError] = []
    for event in events:
        try:
            await parts.timeline.told(event)
        except TooManyError as error:
            refused.append(error)
    if refused:
        raise TryAgainError(f"{len(refused)} of {len(events)} alerts have no room: {refused[0]}")
    return WebhookAnswer(recorded=len(events), ignored=len(message.alerts) - len(events))


@router.get("/status", responses=NOT_FOUND)
async def status(here: Here) -> OutboxStatus:
    """How sending goes; 404 where no Alertmanager is configured."""
    outbox = here.events().outbox
    if outbox is None:
        raise NotFoundError("No Alertmanager is configured. Set alerting.alertmanager_url.")
    return outbox.status()
