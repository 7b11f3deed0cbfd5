"""The overview and the services: what is known is told, what is not is null."""

import anyio
import httpx2
import pytest
from api_parts import NOW, NOW_S, Setup, a_run, an_incident, an_issue, storage

from homeostat.core.models import (
    IncidentStatus,
    IssueStatus,
    RunStatus,
    TimelineEntry,
    TimelineKind,
    Verdict,
)
from homeostat.core.red import Edge
from homeostat.observe.red import Red
from support.spans import HandClock, S, table


async def test_without_telemetry_nothing_is_claimed_to_be_healthy(setup: Setup) -> None:
    async with setup.client() as client:
        overview = (await client.get("/api/overview")).raise_for_status().json()
    assert overview["health"] == {"status": "unknown", "score": None, "reason": "No service has sent telemetry yet."}
    assert overview["services"] == []
    assert overview["loop"]["detect"] == {"issues_total": 0, "issues_open": 0}
    assert overview["storage"] == {"state": "ok", "detail": "", "used_bytes": 1000, "free_bytes": 2000}
    assert overview["mode"] == "auto"
    assert overview["otlp"] == {"http": None, "grpc": None}
    assert overview["generated_at"] == "2026-03-01T12:00:00Z"


async def test_the_loop_counts_what_is_on_record_and_what_happens_after(setup: Setup) -> None:
    verdict = Verdict(
        helped=False,
        signal="error_rate",
        before=0.3,
        after=0.3,
        unit="ratio",
        sample_size=90,
        reason="-",
        judged_at=NOW,
    )
    await setup.state.save_issue(an_issue("issue-1"))
    await setup.state.append(a_run("run-1", status=RunStatus.VERIFIED, rearmed_at=NOW))
    await setup.state.append(a_run("run-2", status=RunStatus.UNDONE, verdict=verdict))
    await setup.state.append(a_run("run-3", status=RunStatus.AWAITING_APPROVAL, intent_at=None))
    planned = TimelineEntry(id="t1", time=NOW, kind=TimelineKind.PLANNED, title="A plan")
    await setup.state.add_timeline(planned)
    async with setup.client() as client:
        await client.get("/api/overview")
        issue = an_issue("issue-2", status=IssueStatus.CLOSED)
        await setup.state.save_issue(issue)
        await setup.state.append(a_run("run-4", status=RunStatus.ACTED))
        await setup.state.add_timeline(planned.model_copy(update={"id": "t2"}))
        recovered = planned.model_copy(update={"id": "t3", "kind": TimelineKind.RECOVERED})
        await setup.state.add_timeline(recovered)
        await setup.state.save_incident(an_incident("incident-1", status=IncidentStatus.ESCALATED))
        setup.bus.publish("issues", issue.model_dump(mode="json"))
        loop = await loop_after(client, issues=2)
    assert loop == {
        "observe": {"spans_total": 42, "spans_per_s": 4.2, "services": 0},
        "detect": {"issues_total": 2, "issues_open": 1},
        "decide": {"plans_total": 2, "awaiting_approval": 1},
        "act": {"runs_total": 3, "in_progress": 1},
        "verify": {"verified": 1, "not_helped": 1},
        "recover": {"rearmed": 1, "escalated": 1},
    }


async def loop_after(client: httpx2.AsyncClient, *, issues: int) -> dict[str, dict[str, object]]:
    """The counts, once so many issues are counted: they follow within a moment."""
    with anyio.fail_after(5):
        while True:
            loop = (await client.get("/api/overview")).json()["loop"]
            if loop["detect"]["issues_total"] == issues:
                return loop
            await anyio.sleep(0.02)


async def test_a_message_of_another_shape_is_left_out_of_the_counts(setup: Setup) -> None:
    async with setup.client() as client:
        await client.get("/api/overview")
        await setup.state.save_issue(an_issue("issue-1"))
        setup.bus.publish("issues", {"id": "half an issue"})
        loop = await loop_after(client, issues=1)
    assert loop["detect"]["issues_total"] == 1


async def test_services_are_listed_and_found_by_name(setup: Setup) -> None:
    setup.red.add("cart", NOW_S - 1, requests=60)
    setup.red.add("payment", NOW_S - 600)
    async with setup.client() as client:
        listed = (await client.get("/api/services")).json()
        payment = (await client.get("/api/services/payment")).json()
        missing = await client.get("/api/services/nobody")
    assert [(service["service"], service["status"]) for service in listed] == [
        ("cart", "healthy"),
        ("payment", "unknown"),
    ]
    assert listed[0]["request_rate"] == 1.0
    assert payment["latency_p95_ms"] is None
    assert missing.status_code == 404
    assert "nobody" in missing.json()["detail"]


async def test_a_red_series_has_complete_steps_and_null_where_nothing_was_served(setup: Setup) -> None:
    for second in range(NOW_S - 60, NOW_S - 10):
        setup.red.add("payment", second, requests=10, errors=1)
    async with setup.client() as client:
        red = (await client.get("/api/red", params={"service": "payment", "minutes": 1, "step_s": 5})).json()
    assert (red["service"], red["step_s"], len(red["points"])) == ("payment", 5, 12)
    first, last = red["points"][0], red["points"][-1]
    assert first["time"] == "2026-03-01T11:58:55Z"
    assert [value for key, value in first.items() if key != "time"] == [None] * 7, "nobody counted yet"
    setup.red.known_from_s = NOW_S - 600
    async with setup.client() as client:
        red = (await client.get("/api/red", params={"service": "payment", "minutes": 1, "step_s": 5})).json()
    first = red["points"][0]
    assert (first["requests"], first["request_rate"], first["error_rate"], first["p95_ms"]) == (0, 0.0, None, None)
    middle = red["points"][2]
    assert (middle["requests"], middle["errors"], middle["request_rate"], middle["error_rate"]) == (50, 5, 10.0, 0.1)
    assert last["time"] == "2026-03-01T11:59:50Z", "the steps of which spans may still arrive are left out"


@pytest.mark.parametrize("service", ["payment", None])
async def test_a_steady_hour_is_a_flat_line_though_its_first_half_is_kept_by_the_minute(
    setup: Setup, service: str | None
) -> None:
    clock = HandClock()
    clock.advance(-4000)
    red = Red(clock)
    for number in range(400):  # every ten seconds for more than an hour
        clock.advance(10)
        red.fold(table([S(trace=1 + number, span=1, service="payment", at=number * 10 - 4000)]))
    setup.red = red  # pyright: ignore[reportAttributeAccessIssue]
    query = {"minutes": 60, "step_s": 20} | ({"service": service} if service else {})
    async with setup.client() as client:
        answer = (await client.get("/api/red", params=query)).json()
        recent = (await client.get("/api/red", params=query | {"minutes": 15})).json()
        odd = (await client.get("/api/red", params=query | {"step_s": 70})).json()
    assert answer["step_s"] == 60
    assert [point["requests"] for point in answer["points"]] == [6] * 60
    assert {round(point["request_rate"], 6) for point in answer["points"]} == {0.1}
    assert (recent["step_s"], [point["requests"] for point in recent["points"]]) == (20, [2] * 45)
    assert (odd["step_s"], [point["requests"] for point in odd["points"]]) == (120, [12] * 30)


async def test_an_hour_of_which_only_the_last_minutes_are_known_keeps_its_step(setup: Setup) -> None:
    for second in range(NOW_S - 300, NOW_S):
        setup.red.add("payment", second, requests=10)
    setup.red.seconds_from_s, setup.red.known_from_s = NOW_S - 1800, NOW_S - 290
    async with setup.client() as client:
        red = (await client.get("/api/red", params={"minutes": 60, "step_s": 20})).json()
    assert red["step_s"] == 20
    known = [point for point in red["points"] if point["requests"] is not None]
    assert known == red["points"][-len(known) :]
    assert known[1]["request_rate"] == 10.0
    assert len(known) == 14


async def test_the_whole_system_is_what_entered_it(setup: Setup) -> None:
    for second in range(NOW_S - 60, NOW_S):
        setup.red.add("shop", second, requests=4, errors=1)
        setup.red.add("payment", second, requests=8)
    setup.red.calls = [(NOW_S - 30, Edge("shop", "payment", 480, 0, 1000.0))]
    async with setup.client() as client:
        red = (await client.get("/api/red", params={"minutes": 1, "step_s": 10})).json()
    assert red["service"] is None
    assert red["points"][2]["requests"] == 40
    assert red["points"][2]["errors"] == 10


async def test_questions_that_cannot_be_answered_say_what_to_do(setup: Setup) -> None:
    async with setup.client() as client:
        many = await client.get("/api/red", params={"minutes": 1440, "step_s": 1})
        unknown = await client.get("/api/red", params={"service": "nobody"})
        absurd = await client.get("/api/red", params={"minutes": "soon"})
    assert (many.status_code, unknown.status_code, absurd.status_code) == (400, 404, 422)
    assert "step_s" in many.json()["detail"]
    assert "minutes" in absurd.json()["detail"]


async def test_the_topology_joins_nodes_with_their_health(setup: Setup) -> None:
    setup.red.add("shop", NOW_S - 5, requests=4, errors=1)
    setup.red.add("payment", NOW_S - 5, requests=8)
    setup.red.calls = [(NOW_S - 5, Edge("shop", "payment", 8, 2, 80.0))]
    async with setup.client() as client:
        topology = (await client.get("/api/topology")).json()
        operations = (await client.get("/api/operations", params={"service": "shop"})).json()
    assert topology["nodes"] == [
        {"service": "payment", "status": "healthy", "requests": 8, "error_rate": 0.0},
        {"service": "shop", "status": "degraded", "requests": 4, "error_rate": 0.25},
    ]
    assert topology["edges"] == [{"caller": "shop", "callee": "payment", "requests": 8, "errors": 2, "mean_ms": 10.0}]
    assert operations == ["GET /"]


async def test_health_is_degraded_while_nothing_can_be_stored(setup: Setup) -> None:
    async with setup.client() as client:
        assert (await client.get("/api/health")).json()["status"] == "ok"
        setup.clock.forward(1)
        setup.storage = storage("full", "10 MiB are left of the 64 that have to be free")
        health = await client.get("/api/health")
    assert health.status_code == 200
    assert health.json()["status"] == "degraded"
    assert "10 MiB" in health.json()["detail"]


async def test_metrics_are_prometheus_text_and_leave_out_what_is_unknown(setup: Setup) -> None:
    await setup.state.save_issue(an_issue("issue-1"))
    setup.red.add("b", NOW_S - 600)
    async with setup.client() as client:
        answer = await client.get("/metrics")
        setup.red.add('a "quoted"\nname', NOW_S - 1, requests=60)
        setup.clock.forward(1)
        later = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert "homeostat_spans_received_total 42" in lines
    assert 'homeostat_ingest_refused_total{reason="malformed"} 2' in lines
    assert "self_healing_issues_detected_total 1" in lines
    assert not [
        line for line in lines if line.startswith(("self_healing_health_score", "self_healing_remediation_success"))
    ]
    assert not [line for line in lines if 'service="b"' in line]
    lines = later.text.splitlines()
    assert 'homeostat_service_request_rate{service="a \\"quoted\\"\\nname"} 1' in lines
    assert "self_healing_health_score 95" in lines, "one issue in the last hour"
