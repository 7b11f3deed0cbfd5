"""Incidents, runs and traces over the API."""

from datetime import timedelta

from api_parts import NOW, Setup, a_run, an_incident, an_issue

from homeostat.core.models import (
    Plan,
    PlanStep,
    RunStatus,
    Span,
    TimelineEntry,
    TimelineKind,
    Trace,
    TraceSummary,
)

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


async def test_an_incident_comes_with_issues_runs_plan_and_story(setup: Setup) -> None:
    await setup.state.save_issue(an_issue("issue-1"))
    await setup.state.save_incident(an_incident("incident-1", issue_ids=("issue-1", "issue-gone")))
    await setup.state.append(a_run("run-1"))
    step = PlanStep(action="restart_process", resource="process:payment", why="it has died", confidence=0.9)
    plan = Plan(id="plan-1", incident_id="incident-1", created_at=NOW, steps=(step,), digest="d1")
    await setup.state.put_setting("plan:incident-1", plan.model_dump_json())
    entry = TimelineEntry(id="t1", time=NOW, kind=TimelineKind.DETECTED, title="Found", incident_id="incident-1")
    await setup.state.add_timeline(entry)
    async with setup.client() as client:
        detail = (await client.get("/api/incidents/incident-1")).json()
        listed = (await client.get("/api/incidents", params={"open_only": True})).json()
        story = (await client.get("/api/timeline")).json()
        missing = await client.get("/api/incidents/nothing")
    assert [issue["id"] for issue in detail["issues"]] == ["issue-1"]
    assert [run["id"] for run in detail["runs"]] == ["run-1"]
    assert detail["plan"]["digest"] == "d1"
    assert detail["timeline"] == story == [entry.model_dump(mode="json")]
    assert listed == [detail["incident"]]
    assert missing.status_code == 404


async def test_a_plan_that_cannot_be_read_is_null_not_an_error(setup: Setup) -> None:
    await setup.state.save_incident(an_incident("incident-1"))
    await setup.state.put_setting("plan:incident-1", "{half")
    async with setup.client() as client:
        assert (await client.get("/api/incidents/incident-1")).json()["plan"] is None


async def test_issues_are_filtered_by_status_newest_first(setup: Setup) -> None:
    await setup.state.save_issue(an_issue("issue-1"))
    await setup.state.save_issue(an_issue("issue-2", opened_at=NOW + timedelta(seconds=1)))
    closed = an_issue("issue-3", status="closed", closed_at=NOW)
    await setup.state.save_issue(closed)
    async with setup.client() as client:
        open_ones = (await client.get("/api/issues", params={"status": "open"})).json()
        nonsense = await client.get("/api/issues", params={"status": "fine"})
    assert [issue["id"] for issue in open_ones] == ["issue-2", "issue-1"]
    assert nonsense.status_code == 422
    assert "open" in nonsense.json()["detail"]


async def test_approval_binds_to_the_plan_that_was_seen(setup: Setup) -> None:
    await setup.state.append(a_run("run-1", status=RunStatus.AWAITING_APPROVAL))
    async with setup.client() as client:
        other = await client.post("/api/runs/run-1/approve", json={"who": "ann", "plan_digest": "d2"})
        nameless = await client.post("/api/runs/run-1/approve", json={"plan_digest": "d1"})
        yes = await client.post("/api/runs/run-1/approve", json={"who": "ann", "plan_digest": "d1"})
        again = await client.post("/api/runs/run-1/approve", json={"who": "ann", "plan_digest": "d1"})
        missing = await client.post("/api/runs/none/approve", json={"who": "ann", "plan_digest": "d1"})
    statuses = [answer.status_code for answer in (other, nameless, yes, again, missing)]
    assert statuses == [409, 422, 200, 409, 404]
    assert yes.json()["status"] == "intent"
    assert setup.healer.told == [("approve", "run-1", "ann", "d1")]


async def test_a_person_can_say_no_and_take_back(setup: Setup) -> None:
    await setup.state.append(a_run("run-1", status=RunStatus.AWAITING_APPROVAL))
    await setup.state.append(a_run("run-2", status=RunStatus.VERIFIED))
    async with setup.client() as client:
        no = await client.post("/api/runs/run-1/reject", json={"who": "bob", "reason": "not now"})
        nothing = await client.post("/api/runs/run-1/undo", json={"who": "bob"})
        back = await client.post("/api/runs/run-2/undo", json={"who": "bob"})
        runs = (await client.get("/api/runs")).json()
    assert no.json()["status"] == "rejected"
    assert setup.healer.told == [("reject", "run-1", "bob", "not now")]
    assert nothing.status_code == 409
    assert nothing.json()["detail"] == "Run run-1 has changed nothing that could be undone."
    assert back.json()["status"] == "undone"
    assert {run["id"] for run in runs} == {"run-1", "run-2"}


async def test_actions_and_policy_are_shown(setup: Setup) -> None:
    async with setup.client() as client:
        actions = (await client.get("/api/actions")).json()
        policy = (await client.get("/api/policy")).json()
    assert actions[0]["undo"] is None
    assert policy["mode"] == "auto"
    assert policy["rules"] == [{"action": "restart_process", "resource": "*", "mode": "approve"}]
    assert policy["limits"]["per_resource_per_hour"] == 10
    assert policy["breaker"] == {"open": False, "reason": None}
    assert policy["used"] == {"last_hour": 0}


async def test_a_search_is_handed_on_with_all_its_conditions(setup: Setup) -> None:
    summary = TraceSummary(
        trace_id=TRACE_ID,
        root_service="shop",
        root_operation="GET /",
        start=NOW,
        duration_ms=4.0,
        span_count=2,
        error_count=1,
        services=("shop",),
    )
    setup.telemetry.found = [summary]
    question = (
        "/api/traces?service=shop&operation=&min_duration_ms=3.5&errors_only=true&attribute=a=1&attribute=b=x=y"
    )
    async with setup.client() as client:
        answer = (await client.get(question)).json()
    assert answer == {"traces": [summary.model_dump(mode="json")], "next_cursor": None}
    asked = setup.telemetry.asked
    assert asked is not None
    assert (asked.service, asked.operation, asked.min_duration_ms, asked.errors_only) == ("shop", None, 3.5, True)
    assert asked.attributes == {"a": "1", "b": "x=y"}
    assert (asked.end, asked.end - asked.start) == (NOW, timedelta(minutes=15))


async def test_a_search_that_makes_no_sense_says_why(setup: Setup) -> None:
    wrong = {
        "start=2026-03-02T00:00:00Z&end=2026-03-01T00:00:00Z": "Swap",
        "attribute=key": "attribute=key=value",
        "start=0001-01-01T00:00:00Z": "1970",
        "start=2026-03-01T00:00:00": "timezone",
        "min_duration_ms=nan": "finite",
        "limit=0": "limit",
    }
    async with setup.client() as client:
        for query, word in wrong.items():
            answer = await client.get(f"/api/traces?{query}")
            assert answer.status_code in {400, 422}, query
            assert word in answer.json()["detail"], answer.json()


async def test_a_trace_is_found_by_its_id(setup: Setup) -> None:
    span = Span(
        trace_id=TRACE_ID,
        span_id="b7ad6b7169203331",
        parent_span_id=None,
        name="GET /",
        kind="server",
        service="shop",
        start=NOW,
        start_unix_nano=1,
        duration_ms=4.0,
        status="ok",
    )
    setup.telemetry.stored[TRACE_ID] = Trace(trace_id=TRACE_ID, spans=(span,))
    async with setup.client() as client:
        found = await client.get(f"/api/traces/{TRACE_ID.upper()}")
        missing = await client.get(f"/api/traces/{'0' * 31}1")
        nonsense = await client.get("/api/traces/not-hex")
    assert found.json()["spans"][0]["name"] == "GET /"
    assert (missing.status_code, nonsense.status_code) == (404, 404)
    assert "32 (or 16) hexadecimal digits" in nonsense.json()["detail"]
