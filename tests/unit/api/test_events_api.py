"""The timeline over HTTP: events, what changed before, context, maintenance and the Alertmanager's webhook."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from api_parts import NOW, NOW_S, Setup, an_incident
from event_support import event_parts

from homeostat.api.event_parts import EventParts
from homeostat.core.models import FlagChange, IncidentStatus
from homeostat.core.red import Edge
from homeostat.observe.correlate import timeline


@asynccontextmanager
async def client_of(setup: Setup, parts: EventParts | None = None) -> AsyncGenerator[httpx2.AsyncClient]:
    async with setup.client(events=parts or event_parts(setup)) as client:
        yield client


async def tell(client: httpx2.AsyncClient, **body: Any) -> dict[str, Any]:
    response = await client.post("/api/events", json=body)
    assert response.status_code == 201, response.text
    return response.json()["event"]


async def titles(client: httpx2.AsyncClient, **query: Any) -> list[str]:
    found = (await client.get("/api/events", params=query)).json()["events"]
    return [one["event"]["title"] for one in found]


async def test_a_pipeline_tells_of_a_release_and_it_is_on_the_timeline(setup: Setup) -> None:
    async with client_of(setup) as client:
        event = await tell(client, title="payment 1.2", services=["payment"], data={"version": "1.2"})
        assert (event["type"], event["change"], event["source"]) == ("deployment", "deployment", "api")
        (answer,) = (await client.get("/api/events")).json()["events"]
        assert answer["event"] == event
        assert (answer["lasting"], answer["muted_by"]) == (False, None)
        assert answer["links"]["traces"].startswith("/api/traces?service=payment&start=2026-03-01T11%3A45")


async def test_the_timeline_is_filtered(setup: Setup) -> None:
    async with client_of(setup) as client:
        await tell(client, title="release", services=["payment"])
        setup.clock.forward(1)
        await tell(client, title="more replicas", change="scaling", services=["web"])
        setup.clock.forward(1)
        await tell(client, title="too hot", type="alert", severity="critical", source="nagios", services=["web"])
        setup.clock.forward(1)
        assert await titles(client) == ["too hot", "more replicas", "release"]
        assert await titles(client, type=["alert", "anomaly"]) == ["too hot"]
        assert await titles(client, change="scaling") == ["more replicas"]
        assert await titles(client, service="payment") == ["release"]
        assert await titles(client, severity="critical") == ["too hot"]
        assert await titles(client, source="nagios") == ["too hot"]
        assert await titles(client, text="REPLICAS") == ["more replicas"]
        limited = (await client.get("/api/events", params={"limit": 2})).json()
        assert (len(limited["events"]), limited["more"]) == (2, True)


async def test_an_event_with_a_fingerprint_is_updated_and_ended(setup: Setup) -> None:
    async with client_of(setup) as client:
        first = await tell(client, title="hot", type="alert", fingerprint="cpu")
        setup.clock.forward(60)
        ended_at = setup.clock.now().isoformat()
        over = await tell(client, title="hot", type="alert", fingerprint="cpu", ended_at=ended_at)
        assert over["id"] == first["id"]
        assert [one["lasting"] for one in (await client.get("/api/events")).json()["events"]] == [False]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"title": "x", "change": "magic"}, 422),
        ({"title": "x", "type": "alert", "change": "flag"}, 400),
        ({"title": "x", "time": (NOW + timedelta(hours=1)).isoformat()}, 400),
        ({"title": "x", "ended_at": (NOW - timedelta(hours=1)).isoformat()}, 400),
        ({"title": "x", "time": "2026-03-01T12:00:00"}, 422),
        ({"title": "x", "services": ["s"] * 101}, 422),
        ({"title": "x", "unknown": 1}, 422),
    ],
)
async def test_what_makes_no_sense_is_refused(setup: Setup, body: dict[str, Any], status: int) -> None:
    async with client_of(setup) as client:
        response = await client.post("/api/events", json=body)
        assert response.status_code == status
        assert response.json()["detail"]


async def test_changes_before_a_moment_are_ranked_with_flags_among_them(setup: Setup) -> None:
    setup.red.calls.append((NOW_S, Edge("checkout", "payment", 10, 0, 1.0)))
    async with client_of(setup) as client:
        await tell(client, title="release", services=["payment"])
        await tell(client, title="elsewhere", services=["catalog"])
        await setup.state.record_flag_change(
            FlagChange(
                id="c1", time=NOW, flag="f", previous_value=False, new_value=True, reason="", triggered_by="ann"
            )
        )
        setup.clock.forward(60)
        found = (await client.get("/api/changes", params={"service": "checkout"})).json()
        assert [one["event"]["title"] for one in found] == ["release", "f was turned on", "elsewhere"]
        assert found[0]["why"] == "A deployment 60 s before, of payment, one call below"
        before = {"before": (NOW - timedelta(seconds=1)).isoformat()}
        assert (await client.get("/api/changes", params=before)).json() == []


async def test_an_incident_has_its_context(setup: Setup) -> None:
    setup.red.calls.append((NOW_S, Edge("web", "checkout", 10, 0, 1.0)))
    setup.red.calls.append((NOW_S, Edge("checkout", "payment", 10, 0, 1.0)))
    async with client_of(setup) as client:
        await tell(client, title="release", services=["payment"])
        setup.clock.forward(30)
        await tell(client, title="hot", type="alert", services=["checkout"])
        await tell(client, title="far away", type="alert", services=["catalog"])
        began = setup.clock.now()
        incident = an_incident("incident-1", affected_services=("payment",), first_bad_at=began, opened_at=began)
        await setup.state.save_incident(incident)
        body = {"minutes": 10, "services": ["payment"], "reason": "disks", "who": "ann"}
        await client.post("/api/maintenance", json=body)
        found = (await client.get("/api/incidents/incident-1/context")).json()
        assert found["event"]["event"]["type"] == "incident"
        assert found["event"]["muted_by"]["reason"] == "disks"
        assert [one["event"]["title"] for one in found["changes"]] == ["release"]
        assert found["affected"] == [
            {"service": "payment", "hops": 0},
            {"service": "checkout", "hops": 1},
            {"service": "web", "hops": 2},
        ]
        around = [one["title"] for one in found["around"]]
        assert "hot" in around
        assert "far away" not in around
        assert len(found["maintenance"]) == 1
        same = (await client.get("/api/events/incident-1")).json()
        assert same["changes"] == found["changes"]
        closed = incident.model_copy(update={"status": IncidentStatus.CLOSED, "closed_at": began})
        await setup.state.save_incident(closed)
        assert not (await client.get("/api/events/incident-1")).json()["event"]["lasting"]


async def test_unknown_ids_are_404(setup: Setup) -> None:
    async with client_of(setup) as client:
        for path in ("/api/events/evt-404", "/api/incidents/i-404/context"):
            assert (await client.get(path)).status_code == 404
        assert (await client.delete("/api/maintenance/m-404")).status_code == 404


async def test_maintenance_is_made_listed_ended_and_on_the_timeline(setup: Setup) -> None:
    async with client_of(setup) as client:
        body = {"minutes": 30, "services": ["payment"], "reason": "disks", "who": "ann"}
        made = (await client.post("/api/maintenance", json=body)).json()
        assert made["end"] == (NOW + timedelta(minutes=30)).isoformat().replace("+00:00", "Z")
        assert (await client.get("/api/maintenance")).json() == [made]
        setup.clock.forward(60)
        assert (await client.delete(f"/api/maintenance/{made['id']}")).status_code == 200
        assert (await client.get("/api/maintenance")).json() == []
        assert len((await client.get("/api/maintenance", params={"over": True})).json()) == 1
        assert await titles(client, change="maintenance") == [
            "Maintenance ended: payment",
            "Maintenance until 2026-03-01 12:30 UTC: payment",
        ]
        assert (await client.get("/api/changes")).json() == []  # what was announced explains no trouble
        for bad in (body | {"minutes": None}, body | {"end": "2026-03-01T13:00:00Z"}):
            assert (await client.post("/api/maintenance", json=bad)).status_code == 400
        for bad in (body | {"who": ""}, body | {"reason": ""}, body | {"minutes": -1}):
            assert (await client.post("/api/maintenance", json=bad)).status_code == 422


async def test_the_webhook_takes_an_alert_and_its_end(setup: Setup) -> None:
    alert = {
        "status": "firing",
        "labels": {"alertname": "DiskFull", "service": "postgres"},
        "annotations": {"summary": "no room"},
        "startsAt": (NOW - timedelta(minutes=1)).isoformat(),
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": "c0ffee",
    }
    async with client_of(setup) as client:
        message = {"version": "4", "status": "firing", "alerts": [alert]}
        for _ in range(2):  # sent again, it is the same
            answer = await client.post("/api/alertmanager/webhook", json=message)
            assert answer.json() == {"recorded": 1, "ignored": 0}
        (found,) = (await client.get("/api/events", params={"type": "alert"})).json()["events"]
        assert (found["event"]["title"], found["lasting"]) == ("no room", True)
        ended = alert | {"status": "resolved", "endsAt": NOW.isoformat()}
        await client.post("/api/alertmanager/webhook", json=message | {"alerts": [ended]})
        (found,) = (await client.get("/api/events", params={"type": "alert"})).json()["events"]
        assert not found["lasting"]
        for bad in ({"version": "3", "alerts": []}, {"alerts": []}, [], {"version": "4", "alerts": [{}]}):
            assert (await client.post("/api/alertmanager/webhook", json=bad)).status_code == 422
        assert (await client.get("/api/alertmanager/status")).status_code == 404


async def test_a_flood_of_alerts_ends_none_and_its_sender_is_told_to_come_again(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeline, "TOLD_LASTING_MAX", 2)
    alerts = [
        {"status": "firing", "labels": {"alertname": name}, "startsAt": NOW.isoformat(), "fingerprint": name}
        for name in "abcd"
    ]
    async with client_of(setup) as client:
        for standing in (("a", "b"), ("b", "c")):
            answer = await client.post("/api/alertmanager/webhook", json={"version": "4", "alerts": alerts})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")  # after 429 none comes again
            assert " of 4 alerts have no room: 2 events last already" in answer.json()["detail"]
            events = (await client.get("/api/events", params={"type": "alert"})).json()["events"]
            assert sorted(one["event"]["title"] for one in events if one["lasting"]) == sorted(standing)
            alerts[0] |= {"status": "resolved"}  # its end is taken whatever has no room
        answer = await client.post("/api/events", json={"title": "one more", "type": "alert"})
        assert answer.status_code == 429


async def test_events_are_published_live(setup: Setup) -> None:
    async with client_of(setup) as client, setup.bus.subscribe(("events",)) as messages:
        await tell(client, title="release")
        assert (await anext(messages)).data["title"] == "release"


async def test_a_server_without_a_timeline_says_so(setup: Setup) -> None:
    async with setup.client() as client:
        assert (await client.get("/api/events")).status_code == 503
