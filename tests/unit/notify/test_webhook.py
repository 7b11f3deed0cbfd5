"""What an Alertmanager sends becomes events. The message is what 0.25 sends."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from homeostat.core.events import EventSeverity
from homeostat.notify import WebhookMessage, events_of
from homeostat.notify.naming import OWN_LABEL

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def message(**alert: Any) -> dict[str, Any]:
    whole = {
        "status": "firing",
        "labels": {"alertname": "DiskFull", "job": "postgres", "instance": "db:9100"},
        "annotations": {},
        "startsAt": "2026-03-01T11:00:00.5Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "c0ffee",
    }
    return {
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "hook",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://am",
        "alerts": [whole | alert],
    }


def test_a_firing_alert_lasts_and_names_its_service() -> None:
    (event,) = events_of(WebhookMessage.model_validate(message()), NOW)
    assert (event.title, event.services, event.ended_at) == ("DiskFull", ("postgres",), None)
    assert event.severity is EventSeverity.WARNING  # it says none
    assert event.data["instance"] == "db:9100"


def test_a_resolved_alert_has_the_same_identity_and_ends_not_before_it_began() -> None:
    (firing,) = events_of(WebhookMessage.model_validate(message()), NOW)
    for ends in ("2026-03-01T11:30:00Z", "0001-01-01T00:00:00Z", "2027-01-01T00:00:00Z"):
        (over,) = events_of(WebhookMessage.model_validate(message(status="resolved", endsAt=ends)), NOW)
        assert (over.id, over.fingerprint) == (firing.id, firing.fingerprint)
        assert over.ended_at is not None
        assert over.time <= over.ended_at <= NOW


def test_our_own_alerts_that_come_back_are_no_events() -> None:
    labels = {"alertname": "NoTraces", OWN_LABEL: "tracing|silence"}
    assert events_of(WebhookMessage.model_validate(message(labels=labels)), NOW) == []


@pytest.mark.parametrize(
    "bad",
    [
        {"version": "3"},
        {"alerts": [{}]},
        {"alerts": None},
        {"alerts": message()["alerts"] * 1001},
    ],
)
def test_what_is_no_message_of_version_4_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WebhookMessage.model_validate(message() | bad)


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=50), max_size=10), st.text(max_size=20))
def test_whatever_the_labels_an_event_comes_of_it(labels: dict[str, str], severity: str) -> None:
    given_message = message(labels=labels | {"severity": severity})
    for event in events_of(WebhookMessage.model_validate(given_message), NOW):
        assert event.title
