"""The self-healing API of IAC Dharma 3.0: a client written for the original finds every field, and no invention."""

from datetime import datetime, timedelta

import pytest
from api_parts import NOW, NOW_S, Setup, a_run, an_incident, an_issue, storage

from homeostat.core.models import Evidence, IncidentStatus, IssueType, RunStatus, Verdict
from homeostat.core.red import Edge
from homeostat.heartbeat import Heartbeat

PREFIXES = ["/api/v3/self-healing", "/api/self-healing"]


@pytest.mark.parametrize("prefix", [*PREFIXES, ""])
async def test_the_loop_says_that_it_runs(setup: Setup, prefix: str) -> None:
    async with setup.client() as client:
        health = (await client.get(f"{prefix}/health")).json()
    assert health == {
        "status": "healthy",
        "monitoring_active": True,
        "auto_remediation_enabled": True,
        "timestamp": "2026-03-01T12:00:00Z",
    }


async def test_a_loop_that_hangs_is_told(setup: Setup) -> None:
    setup.clock.forward(9.9)
    async with setup.client() as client:
        assert (await client.get("/api/health")).json()["status"] == "ok"
        setup.clock.forward(0.2)
        theirs = (await client.get("/api/v3/self-healing/health")).json()
        ours = (await client.get("/api/health")).json()
        setup.heartbeat.beat(setup.clock.monotonic())
        again = (await client.get("/api/v3/self-healing/health")).json()
    assert (theirs["status"], theirs["monitoring_active"]) == ("degraded", False)
    assert ours["status"] == "degraded"
    assert "no look for 10 s" in ours["detail"]
    assert (again["status"], again["monitoring_active"]) == ("healthy", True)


async def test_a_full_disk_is_told_while_the_loop_goes_on(setup: Setup) -> None:
    setup.storage = storage("full", "No room left.")
    async with setup.client() as client:
        theirs = (await client.get("/api/v3/self-healing/health")).json()
        ours = (await client.get("/api/health")).json()
    assert (theirs["status"], theirs["monitoring_active"]) == ("degraded", True)
    assert (ours["status"], ours["detail"]) == ("degraded", "No room left.")


def test_a_loop_that_looks_seldom_is_given_three_looks() -> None:
    heartbeat = Heartbeat(timedelta(seconds=30))
    assert "first look" in (heartbeat.problem(0.0) or "")
    heartbeat.beat(100.0)
    assert heartbeat.problem(189.0) is None
    assert "no look for 91 s" in (heartbeat.problem(191.0) or "")


async def test_scores_without_a_basis_are_null(setup: Setup) -> None:
    setup.storage = storage("unknown")
    async with setup.client() as client:
        score = (await client.get("/api/v3/self-healing/health-score")).json()
    assert score == {
        "overall_score": None,
        "compute_score": None,
        "network_score": None,
        "storage_score": None,
        "database_score": None,
        "security_score": None,
        "timestamp": "2026-03-01T12:00:00Z",
        "issues_detected": 0,
        "auto_remediated": 0,
    }


async def test_scores_come_from_what_was_measured(setup: Setup) -> None:
    setup.red.add("a", NOW_S - 5)
    setup.red.add("b", NOW_S - 5, errors=3)
    setup.red.add("c", NOW_S - 600)
    setup.red.calls = [(NOW_S - 5, Edge("a", "b", 80, 10, 100.0))]
    await setup.state.save_issue(an_issue("issue-1", opened_at=NOW - timedelta(minutes=5)))
    await setup.state.save_issue(an_issue("issue-0", opened_at=NOW - timedelta(hours=2)))
    await setup.state.append(a_run("run-1", finished_at=NOW - timedelta(minutes=4)))
    async with setup.client() as client:
        score = (await client.get("/api/self-healing/health-score")).json()
    scores = [score[f"{part}_score"] for part in ("overall", "compute", "network", "storage", "database", "security")]
    assert scores == [98, 75, 88, 100, None, None]
    assert (score["issues_detected"], score["auto_remediated"]) == (1, 1)


async def test_issues_bear_their_names_and_metrics_oldest_first(setup: Setup) -> None:
    slow = Evidence(signal="latency_p95_ms", observed=812.0, threshold=500.0, unit="ms")
    await setup.state.save_issue(an_issue("issue-1", IssueType.PROCESS_CRASH))
    await setup.state.save_issue(
        an_issue("issue-2", IssueType.HIGH_LATENCY, opened_at=NOW + timedelta(seconds=1), evidence=slow)
    )
    await setup.state.save_issue(an_issue("issue-3", opened_at=NOW + timedelta(seconds=2)))
    await setup.state.append(a_run("run-1", acted_at=NOW))
    killed = Evidence(
        signal="up", observed=0.0, threshold=1.0, unit="bool", metrics={"exit_code": 137.0, "restart_count": 3.0}
    )
    later = NOW + timedelta(seconds=3)
    await setup.state.save_issue(an_issue("issue-4", IssueType.PROCESS_CRASH, opened_at=later, evidence=killed))
    async with setup.client() as client:
        answer = await client.get("/api/v3/self-healing/issues?limit=50")
        issues = answer.json()
        last = (await client.get("/api/v3/self-healing/issues?limit=1")).json()
    assert [(issue["id"], issue["type"]) for issue in issues] == [
        ("issue-1", "pod_crash"),
        ("issue-2", "network_latency"),
        ("issue-3", "high_error_rate"),
        ("issue-4", "pod_crash"),
    ]
    assert issues[3]["metrics"] == {"restart_count": 3, "exit_code": 137}
    assert '"exit_code":137' in answer.text, "an exit code is a whole number"
    assert issues[0]["metrics"] == {"restart_count": 1, "exit_code": None}
    assert '"restart_count":1,' in answer.text, "a count is a whole number"
    assert issues[1]["metrics"] == {"latency_ms": 812.0, "threshold_ms": 500.0}
    assert issues[2]["metrics"] == {"error_rate": 0.3, "threshold": 0.05, "sample_size": 100}
    assert set(issues[0]) == {"id", "type", "severity", "resource", "description", "detected_at", "metrics"}
    assert [issue["id"] for issue in last] == ["issue-4"]


async def test_remediations_bear_their_status_names(setup: Setup) -> None:
    unhelpful = Verdict(
        helped=False,
        signal="error_rate",
        before=0.3,
        after=0.3,
        unit="ratio",
        sample_size=90,
        reason="still 30 %",
        judged_at=NOW,
    )
    wanted = {
        RunStatus.AWAITING_APPROVAL: ("pending", None, False),
        RunStatus.INTENT: ("in_progress", None, False),
        RunStatus.ACTED: ("in_progress", None, False),
        RunStatus.NOT_HELPED: ("in_progress", None, False),
        RunStatus.VERIFIED: ("success", True, False),
        RunStatus.UNDONE: ("rolled_back", False, True),
        RunStatus.FAILED: ("failed", False, False),
        RunStatus.REJECTED: ("failed", False, False),
        RunStatus.IN_DOUBT: ("failed", None, False),
    }
    for place, status in enumerate(wanted):
        moment = NOW + timedelta(seconds=place)
        verdict = unhelpful if status is RunStatus.UNDONE else None
        await setup.state.append(a_run(f"run-{place}", status=status, created_at=moment, verdict=verdict))
    async with setup.client() as client:
        runs = (await client.get("/api/self-healing/remediations")).json()
    got = [(run["status"], run["success"], run["rollback_performed"]) for run in runs]
    assert got == list(wanted.values())
    undone = runs[list(wanted).index(RunStatus.UNDONE)]
    assert undone["error_message"] == "still 30 %"
    assert set(undone) == {
        "id",
        "issue_id",
        "action_type",
        "description",
        "status",
        "started_at",
        "completed_at",
        "success",
        "error_message",
        "rollback_performed",
    }


async def test_statistics_without_a_basis_say_so(setup: Setup) -> None:
    async with setup.client() as client:
        statistics = (await client.get("/api/v3/self-healing/statistics")).json()
    assert statistics == {
        "total_issues_detected": 0,
        "total_remediations": 0,
        "successful_remediations": 0,
        "failed_remediations": 0,
        "success_rate": None,
        "average_remediation_time": "N/A",
        "uptime_improvement": "N/A",
        "mttr_reduction": "N/A",
    }


async def test_statistics_are_computed_from_the_record(setup: Setup) -> None:
    for place, seconds in enumerate((1.5, 3.1)):
        await setup.state.append(a_run(f"run-{place}", finished_at=NOW + timedelta(seconds=seconds)))
    await setup.state.append(a_run("run-9", status=RunStatus.FAILED, finished_at=NOW + timedelta(seconds=99)))
    for place in range(10):  # more than enough to compare, but with what?
        closed_at = NOW + timedelta(seconds=33)
        await setup.state.save_incident(
            an_incident(f"incident-{place}", status=IncidentStatus.CLOSED, closed_at=closed_at, healed=place < 5)
        )
    async with setup.client() as client:
        statistics = (await client.get("/api/self-healing/statistics")).json()
    assert statistics["total_remediations"] == 3
    assert (statistics["successful_remediations"], statistics["failed_remediations"]) == (2, 1)
    assert statistics["success_rate"] == 66.67
    assert statistics["average_remediation_time"] == "2.3 seconds"
    assert statistics["mttr_reduction"] == "N/A"


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_the_switch_takes_query_parameters_and_bodies(setup: Setup, prefix: str) -> None:
    url = f"{prefix}/toggle-auto-remediation"
    async with setup.client() as client:
        off = await client.post(url, params={"enabled": "false"})
        on = await client.post(url, json={"enabled": True, "who": "ann"})
        neither = await client.post(url)
        nonsense = await client.post(url, json={"enabled": "perhaps"})
    assert off.json() == {"auto_remediation_enabled": False, "message": "Auto-remediation disabled"}
    assert on.json() == {"auto_remediation_enabled": True, "message": "Auto-remediation enabled"}
    assert setup.healer.told == [("set_auto", "False", "unnamed API client"), ("set_auto", "True", "ann")]
    assert (neither.status_code, nonsense.status_code) == (422, 422)
    assert "enabled" in neither.json()["detail"]


async def test_a_person_can_have_an_issue_healed_now(setup: Setup) -> None:
    await setup.state.save_issue(an_issue("issue-1", IssueType.PROCESS_CRASH))
    await setup.state.save_issue(an_issue("issue-2"))
    async with setup.client() as client:
        done = await client.post("/api/v3/self-healing/manual-remediate/issue-1")
        impossible = await client.post("/api/self-healing/manual-remediate/issue-2", json={"who": "ann"})
        missing = await client.post("/api/self-healing/manual-remediate/issue-9")
    assert done.json()["issue_id"] == "issue-1"
    assert done.json()["status"] == "in_progress"
    assert datetime.fromisoformat(done.json()["started_at"]) == NOW
    assert (impossible.status_code, impossible.json()) == (409, {"detail": "No action here answers this issue."})
    assert (missing.status_code, missing.json()) == (404, {"detail": "Issue not found"})


async def test_who_remediates_by_hand_is_on_record(setup: Setup) -> None:
    await setup.state.save_issue(an_issue("issue-1", IssueType.PROCESS_CRASH))
    url = "/api/self-healing/manual-remediate/issue-1"
    proxied = {"X-Forwarded-User": "carol"}
    async with setup.client() as client:
        await client.post(url, params={"who": "ann"}, headers=proxied)
        await client.post(url, json={"who": "bob"}, headers=proxied)
        await client.post(url, headers=proxied)
        await client.post(url)
        nobody = await client.post(url, params={"who": ""})
    assert [told[-1] for told in setup.healer.told] == ["ann", "bob", "carol", "unnamed API client"]
    assert nobody.status_code == 422
