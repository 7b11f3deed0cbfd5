"""Against a real Alertmanager: alerts that are sent, their ends, silences, and the webhook that comes back."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from homeostat.core.config import AlertingConfig
from homeostat.core.errors import NotifyError
from homeostat.core.events import Event, EventSeverity, EventType
from homeostat.notify import Alertmanager, MaintenanceBook, Outbox, WebhookMessage, events_of
from homeostat.runtime import SystemClock, SystemIds, system_random
from support.alertmanager import RealAlertmanager, needs_alertmanager, real_alertmanager
from support.memory_state import MemoryState

pytestmark = needs_alertmanager


def an_alert(name: str = "ElevatedErrorRate", service: str = "payment") -> Event:
    return Event(
        id=f"evt-{name}-{service}",
        time=datetime.now(UTC) - timedelta(seconds=30),
        type=EventType.ALERT,
        title=f"{service} fails",
        description="12 % of 300 requests failed",
        severity=EventSeverity.CRITICAL,
        source="homeostat",
        fingerprint=f"{name}|{service}",
        services=(service,),
        traces=("ab" * 16,),
        data={"alertname": name},
    )


class Sender:
    """An outbox over a list of alerts that a test fills."""

    def __init__(self, there: RealAlertmanager) -> None:
        self.firing: list[Event] = []
        self.maintenance = MaintenanceBook(MemoryState(), SystemClock(), SystemIds())
        self.outbox = Outbox(
            AlertingConfig(alertmanager_url=there.url),
            Alertmanager(there.url, there.client),
            self.maintenance,
            self._firing,
            lambda: ("payment", "checkout", "checkout-2"),
            SystemClock(),
            system_random(1),
            "http://127.0.0.1:4000",
        )

    async def _firing(self) -> list[Event]:
        return self.firing


@pytest.fixture
async def there(tmp_path: Path) -> AsyncGenerator[RealAlertmanager]:
    async with real_alertmanager(tmp_path) as running:
        yield running


async def test_an_alert_fires_is_repeated_and_ends_there(there: RealAlertmanager) -> None:
    sender = Sender(there)
    sender.firing = [an_alert()]
    await sender.outbox.look()
    await sender.outbox.look()  # repeated, it is the same alert
    (alert,) = await there.alerts()
    assert alert["labels"]["alertname"] == "ElevatedErrorRate"
    assert alert["labels"]["service"] == "payment"
    assert alert["annotations"]["summary"] == "payment fails"
    assert alert["generatorURL"].startswith("http://127.0.0.1:4000/")
    await there.hook.until("firing", "ElevatedErrorRate")
    sender.firing = []
    await sender.outbox.look()
    assert await there.alerts() == []
    message = await there.hook.until("resolved", "ElevatedErrorRate")
    assert events_of(WebhookMessage.model_validate(message), datetime.now(UTC)) == []  # our own, come back


async def test_alerts_of_others_come_in_as_events_and_end(there: RealAlertmanager) -> None:
    now = datetime.now(UTC)
    labels = {"alertname": "DiskFull", "job": "postgres", "instance": "db:9100", "severity": "page"}
    posted = {"labels": labels, "annotations": {"summary": "no room"}, "startsAt": now.isoformat()}
    await there.client.post(f"{there.url}/api/v2/alerts", json=[posted])
    message = await there.hook.until("firing", "DiskFull")
    (event,) = events_of(WebhookMessage.model_validate(message), datetime.now(UTC))
    assert (event.title, event.services, event.severity) == ("no room", ("postgres",), EventSeverity.CRITICAL)
    assert event.ended_at is None
    ended = posted | {"endsAt": datetime.now(UTC).isoformat()}
    await there.client.post(f"{there.url}/api/v2/alerts", json=[ended])
    message = await there.hook.until("resolved", "DiskFull")
    (over,) = events_of(WebhookMessage.model_validate(message), datetime.now(UTC))
    assert over.ended_at is not None
    assert (over.id, over.fingerprint) == (event.id, event.fingerprint)


async def test_silences_are_maintenance_and_mute_what_they_cover(there: RealAlertmanager) -> None:
    now = datetime.now(UTC)
    start, end = now.isoformat(), (now + timedelta(hours=1)).isoformat()
    checkouts = {"name": "service", "value": "checkout.*", "isRegex": True, "isEqual": True}
    await there.silence(start, end, checkouts)
    await there.silence(start, end, {"name": "alertname", "value": "NoTraces", "isRegex": False, "isEqual": True})
    await there.silence(start, end, {"name": "instance", "value": "db:9100", "isRegex": False, "isEqual": True})
    sender = Sender(there)
    sender.firing = [an_alert(), an_alert(service="checkout-2"), an_alert("NoTraces", "payment")]
    await sender.outbox.look()
    assert {alert["labels"]["service"] for alert in await there.alerts()} == {"payment"}
    assert sender.outbox.status().muted == 2
    windows = sender.maintenance.windows()
    assert {(window.services, window.alerts, window.created_by) for window in windows} == {
        (("checkout", "checkout-2"), (), "ann"),
        ((), ("NoTraces",), "ann"),
    }
    later = datetime.now(UTC) + timedelta(seconds=1)
    assert sender.maintenance.covering("service:checkout", later) is not None
    assert sender.maintenance.covering("service:payment", later) is None  # a silence of a name stops no healing


async def test_an_alertmanager_that_is_away_is_told_the_present_state_when_it_is_back(tmp_path: Path) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        async with real_alertmanager(tmp_path) as gone:
            sender = Sender(gone)
        sender = Sender(RealAlertmanager(gone.url, gone.hook, client))
        sender.firing = [an_alert()]
        with pytest.raises(NotifyError, match="alertmanager_url"):
            await sender.outbox.look()
        sender.firing = []
        with pytest.raises(NotifyError):
            await sender.outbox.look()
        assert sender.outbox.status().ends_waiting == 1
