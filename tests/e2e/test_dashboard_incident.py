"""The page of an incident in a real browser: an act that did harm, and a machine that is starved."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from playwright.sync_api import Page, expect

from homeostat.core.models import (
    EffectClass,
    Evidence,
    Incident,
    IncidentStatus,
    Issue,
    IssueStatus,
    IssueType,
    PlanStep,
    RootCause,
    Run,
    RunStatus,
    Severity,
    TimelineEntry,
    TimelineKind,
    Verdict,
)
from homeostat.core.resources import HOST
from homeostat.runtime import SystemClock
from homeostat.store.state import open_state
from support.browser import Running, browser, context, excess_width, homeostat, needs_browser, page, violations

__all__ = ["browser", "context", "page"]

pytestmark = needs_browser

SIZES = ((1440, 900), (400, 800))
BEGAN = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
HARMED = ("checkout", "storefront", "storefront", "mobile-gateway", "a-service-whose-name-is-as-long-as-names-get")
STARVED = "In 84% of the last 10 s a task waited for a processor; the load average is 9.3 on 2 processors"


def _issue(number: int, kind: IssueType, resource: str, title: str, evidence: Evidence) -> Issue:
    return Issue(
        id=f"iss-{number}",
        type=kind,
        severity=Severity.MEDIUM,
        resource=resource,
        fingerprint=f"{kind}|{resource}",
        title=title,
        description=evidence.detail,
        evidence=evidence,
        status=IssueStatus.CLOSED,
        first_bad_at=BEGAN,
        opened_at=BEGAN + timedelta(seconds=2),
        updated_at=BEGAN + timedelta(minutes=3),
        closed_at=BEGAN + timedelta(minutes=3),
        incident_id=f"inc-{number}",
    )


def _incident(number: int, title: str, issue: Issue, services: tuple[str, ...], cause: RootCause) -> Incident:
    return Incident(
        id=f"inc-{number}",
        title=title,
        status=IncidentStatus.CLOSED,
        severity=issue.severity,
        issue_ids=(issue.id,),
        affected_services=services,
        root_cause=cause,
        first_bad_at=issue.first_bad_at,
        opened_at=issue.opened_at,
        updated_at=issue.updated_at,
        closed_at=issue.closed_at,
        healed=False,
    )


def _harm() -> tuple[Incident, Issue, Run]:
    evidence = Evidence(
        signal="p95_ms", observed=912.0, threshold=500.0, unit="ms", sample_size=240, window_s=10.0, detail="Slow."
    )
    issue = _issue(1, IssueType.HIGH_LATENCY, "service:payment", "payment is slow: p95 912 ms", evidence)
    cause = RootCause(resource="service:payment", confidence=0.9, reason="The time was spent in payment.")
    told = [
        f"{name} answers 31.0% errors since the act (31 of 100); 0.2% before the incident"
        for name in ("checkout", "storefront", "storefront (GET /)")
    ]
    verdict = Verdict(
        helped=False,
        signal="p95_ms",
        before=912.0,
        after=130.0,
        unit="ms",
        sample_size=180,
        reason=f"It did harm: {' | '.join(told)} | and 2 more. What it was to heal: 95th percentile 130 ms.",
        judged_at=BEGAN + timedelta(minutes=1),
        harmed=HARMED,
    )
    run = Run(
        id="run-1",
        incident_id="inc-1",
        issue_id=issue.id,
        plan_id="plan-1",
        plan_digest="0" * 64,
        step=PlanStep(
            action="restart_process", resource="process:payment", why="A restart frees its pool.", confidence=0.7
        ),
        effect=EffectClass.IDEMPOTENT,
        status=RunStatus.UNDONE,
        created_at=BEGAN + timedelta(seconds=3),
        acted_at=BEGAN + timedelta(seconds=5),
        finished_at=BEGAN + timedelta(minutes=1),
        verdict=verdict,
    )
    return _incident(1, "payment causes slowness", issue, ("payment",), cause), issue, run


def _starved() -> tuple[Incident, Issue]:
    evidence = Evidence(
        signal="cpu_pressure",
        observed=0.84,
        threshold=0.6,
        unit="ratio",
        detail=f"{STARVED}. Slow here: checkout, payment.",
        metrics={"cpu_pressure": 0.84, "load_average": 9.3, "processors": 2.0, "starved_from": 0.6},
    )
    title = "The machine has too little processor time"
    issue = _issue(2, IssueType.HOST_STARVED, HOST, f"{title} for what runs on it", evidence)
    return _incident(2, title, issue, (), RootCause(resource=HOST, confidence=0.9, reason=evidence.detail)), issue


async def _store(folder: Path) -> None:
    async with open_state(folder / "state.db", SystemClock()).opened() as state:
        harmed, slow, run = _harm()
        starved, of_host = _starved()
        for incident, issue in ((harmed, slow), (starved, of_host)):
            await state.save_issue(issue)
            await state.save_incident(incident)
            await state.add_timeline(
                TimelineEntry(
                    id=f"tl-{issue.id}",
                    time=issue.opened_at,
                    kind=TimelineKind.DETECTED,
                    title=issue.title,
                    detail=issue.description,
                    incident_id=incident.id,
                    resource=issue.resource,
                )
            )
        await state.append(run)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A Homeostat that has two incidents behind it."""
    folder = tmp_path_factory.mktemp("past")
    (folder / "data").mkdir()
    with ThreadPoolExecutor(1) as beside:  # the browser's event loop runs in this thread
        beside.submit(anyio.run, _store, folder / "data").result()
    with homeostat(folder) as running:
        yield running


def test_all_services_that_an_act_harmed_are_named_once_and_lead_to_their_traces(page: Page, past: Running) -> None:
    page.goto(f"{past.url}/incidents/inc-1")
    harmed = page.locator(".verdict__harmed a")
    expect(harmed).to_have_text(sorted(set(HARMED), key=HARMED.index))
    harmed.nth(1).click()
    expect(page).to_have_url(f"{past.url}/traces?service=storefront")


def test_a_starved_machine_is_the_cause_and_its_figures_have_their_names(page: Page, past: Running) -> None:
    page.goto(f"{past.url}/incidents/inc-2")
    expect(page.get_by_role("heading", level=1)).to_have_text("The machine has too little processor time")
    expect(page.locator(".cause code")).to_have_text(HOST)
    expect(page.locator(".issue .numbers dt").first).to_have_text("CPU pressure")
    expect(page.locator(".issue .numbers dd").first).to_have_text("84 %")
    expect(page.locator(".verdict__harmed")).to_have_count(0)


@pytest.mark.parametrize("number", [1, 2])
def test_the_page_fits_and_has_no_accessibility_violation_in_light_or_dark(
    page: Page, past: Running, number: int
) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            page.goto(f"{past.url}/incidents/inc-{number}")
            page.wait_for_selector(".cause")
            assert excess_width(page) == 0
            assert violations(page) == []
