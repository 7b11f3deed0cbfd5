"""The pages of objectives, log records, metrics and events in a real browser over a real Homeostat."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from support.browser import (
    DEADLINE_S,
    Running,
    browser,
    context,
    excess_width,
    homeostat,
    needs_browser,
    page,
    violations,
)
from support.shop import market, send
from support.signals import measure_for, say

__all__ = ["browser", "context", "page"]

pytestmark = needs_browser

RECORDS = 300
HISTORY_NS = 240_000_000_000
EVERY_MS = 780.0
OBJECTIVE = {
    "name": "Payment answers",
    "service": "payment",
    "target_percentage": 99,
    "sli": {"kind": "availability"},
}
OPENSLO = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: mail-answers, displayName: Mail answers}
spec:
  service: mail
  budgetingMethod: Occurrences
  timeWindow: [{duration: 7d, isRolling: true}]
  indicator:
    metadata: {name: mail-good}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: homeostat, spec: {signal: good_requests}}}
        total: {metricSource: {type: homeostat, spec: {signal: requests}}}
  objectives: [{target: 0.99}]
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: pager}
spec: {target: email}
"""


def _until(url: str, holds: str, say_what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while holds not in httpx2.get(url, timeout=30.0).text:
        assert time.monotonic() < deadline, say_what
        time.sleep(0.1)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A Homeostat that saw four minutes of a market, with its log records and its metrics, and an objective."""
    with homeostat(tmp_path_factory.mktemp("spoken")) as running:
        start = time.time_ns() - HISTORY_NS
        with httpx2.Client(timeout=DEADLINE_S) as client:
            send(client, running.otlp, market("m", RECORDS, from_ns=start, every_ms=EVERY_MS))
        say(running.otlp, "m", RECORDS, from_ns=start, every_ms=EVERY_MS)
        measure_for(running.otlp, "m", minutes=10)
        _until(f"{running.url}/api/services", "payment", "the market was not seen")
        _until(f"{running.url}/api/logs/counts", f'"total":{RECORDS}', "the log records were not stored")
        _until(f"{running.url}/api/metrics-catalog", "shop.charge.duration", "the metrics were not stored")
        httpx2.post(f"{running.url}/api/slos", json=OBJECTIVE, timeout=30.0).raise_for_status()
        told = {"title": "payment 1.4.3 deployed", "services": ["payment"], "change": "deployment"}
        httpx2.post(f"{running.url}/api/events", json=told, timeout=30.0).raise_for_status()
        yield running


def _objective(url: str, name: str) -> str:
    return next(slo["id"] for slo in httpx2.get(f"{url}/api/slos", timeout=30.0).json() if slo["name"] == name)


def _pages(running: Running) -> dict[str, str]:
    """Every page with the selector that says it is complete."""
    objective = _objective(running.url, "Payment answers")
    return {
        "/slos": ".slo-row",
        f"/slos/{objective}": ".slo-charts canvas",
        f"/slos/{objective}/edit": "form",
        "/slos/new": "form",
        "/slos/import": "textarea",
        "/slos/none": ".empty",
        "/logs": ".log-row",
        "/logs?tab=patterns": ".pattern",
        "/logs?text=nobody-says-this": ".empty",
        "/metrics-explorer?name=shop.charge.duration": ".chart__mark",
        "/events": ".event-row",
    }


def test_an_objective_without_data_is_unknown_and_one_with_data_says_its_budget(page: Page, spoken: Running) -> None:
    page.goto(f"{spoken.url}/slos")
    row = page.locator(".slo-row").filter(has_text="Payment answers")
    expect(row.locator(".budget__number")).to_have_text(re.compile(r"%$"))
    unknown = page.locator(".slo-row").filter(has_text="API Gateway Availability")
    expect(unknown).to_contain_text("Unknown: no data")
    expect(unknown.locator(".budget__number")).to_have_text("no data")
    page.get_by_role("button", name=re.compile("Unknown")).click()
    expect(page).to_have_url(re.compile("state=unknown"))
    expect(row).to_have_count(0)


def test_an_objective_is_made_changed_deleted_and_made_again(page: Page, spoken: Running) -> None:
    page.goto(f"{spoken.url}/slos/new")
    page.get_by_label("Name", exact=True).fill("Checkout is fast")
    page.get_by_label("Service", exact=True).fill("checkout")
    page.get_by_label("Objective, %").fill("100")
    page.get_by_label("What is counted").select_option("latency")
    page.get_by_role("button", name="Make the objective").click()
    expect(page.get_by_role("alert")).to_contain_text("no budget")
    page.get_by_label("Objective, %").fill("95")
    page.get_by_role("button", name="Make the objective").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Checkout is fast")
    page.get_by_role("link", name="Change").click()
    page.get_by_label("Objective, %").fill("90")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".fact--big").first).to_have_text("90 %")
    expect(page.get_by_label("OpenSLO text")).to_contain_text("kind: SLO")

    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("was deleted")).to_be_visible()
    expect(page.get_by_role("link", name="Checkout is fast")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("link", name="Checkout is fast")).to_be_visible()


def test_an_openslo_file_is_looked_at_before_it_is_taken(page: Page, spoken: Running) -> None:
    page.goto(f"{spoken.url}/slos/import")
    page.get_by_label("Its text").fill("kind: Nothing")
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Its text").fill(OPENSLO)
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("Would bring: 1 new objective")).to_be_visible()
    expect(page.get_by_text("'pager' is not used: alerts go where alerting")).to_be_visible()
    page.get_by_role("button", name="Import").click()
    page.get_by_role("link", name="Mail answers").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Mail answers")


def test_log_records_are_found_narrowed_and_lead_to_their_trace(page: Page, spoken: Running) -> None:
    page.goto(f"{spoken.url}/logs")
    expect(page.get_by_role("status").filter(has_text=f"{RECORDS} found")).to_be_visible()
    page.get_by_label("Words").fill("declined")
    page.get_by_label("Severity").select_option("error")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page).to_have_url(re.compile("text=declined&min_severity=error"))
    expect(page.get_by_role("status").filter(has_text=f"{RECORDS // 20} found")).to_be_visible()

    page.locator(".log-row__line").first.click()
    page.get_by_role("button", name="Around it").click()
    expect(page.locator(".log-around li[aria-current]")).to_contain_text("this record")
    page.get_by_role("button", name=re.compile("Only records with shop.region = us")).click()
    expect(page).to_have_url(re.compile("attribute=shop.region%3Dus"))
    page.go_back()
    page.locator(".log-bar[tabindex='0']").first.click()
    expect(page).to_have_url(re.compile("start=.*end="))
    page.locator(".log-row__line").first.click()
    page.get_by_role("link", name="Its trace").click()
    expect(page).to_have_url(re.compile("/traces/[0-9a-f]{32}"))


def test_patterns_say_what_is_said_again_and_again(page: Page, spoken: Running) -> None:
    page.goto(f"{spoken.url}/logs?tab=patterns")
    first = page.locator(".pattern").filter(has_text="charged card")
    expect(first.locator("mark").first).to_be_visible()
    first.get_by_role("button", name="Find such records").click()
    expect(page.locator(".log-row").first).to_contain_text("charged card")


def test_a_metric_has_a_table_and_dots_that_lead_to_traces(page: Page, spoken: Running) -> None:
    page.goto(f"{spoken.url}/metrics-explorer")
    page.get_by_label("Search the metrics").fill("sold")
    page.get_by_role("link", name=re.compile("shop.items.sold")).click()
    page.get_by_label("Group by").select_option("shop.region")
    expect(page).to_have_url(re.compile("group_by=shop.region"))
    expect(page.locator(".legend__item")).to_have_count(2)
    page.get_by_role("button", name="Show as table").click()
    expect(page.get_by_role("region", name=re.compile("as a table")).locator("tbody tr").first).to_be_visible()
    page.goto(f"{spoken.url}/metrics-explorer?name=shop.charge.duration")
    page.locator(".chart__mark").last.wait_for()
    page.get_by_role("region", name="Exemplars").get_by_role("link").first.click()
    expect(page).to_have_url(re.compile("/traces/[0-9a-f]{32}"))


def test_events_stand_on_one_timeline_and_maintenance_begins_and_ends_there(page: Page, spoken: Running) -> None:
    page.goto(f"{spoken.url}/events?type=deployment")
    row = page.locator(".event-row").filter(has_text="payment 1.4.3 deployed")
    row.get_by_role("button", name="What changed before").click()
    expect(row.get_by_role("heading", name="What changed before")).to_be_visible()
    page.get_by_role("button", name="New window").click()
    form = page.locator(".window-form")
    form.get_by_label("Reason").fill("a new disk")
    form.get_by_label("Your name").fill("Ada")
    form.get_by_role("button", name="Begin maintenance").click()
    window = page.locator(".window").filter(has_text="a new disk")
    expect(window).to_contain_text("left, until")
    window.get_by_role("button", name="End it").click()
    expect(window).to_have_count(0)


def test_none_of_these_pages_has_an_accessibility_violation_or_scrolls_sideways(page: Page, spoken: Running) -> None:
    found: dict[str, list[str]] = {}
    for path, complete in _pages(spoken).items():
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(spoken.url + path)
        page.locator(complete).first.wait_for()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found[f"{path} {scheme}"] = violations(page)
        page.set_viewport_size({"width": 400, "height": 800})
        excess = excess_width(page)
        found[f"{path} narrow"] = [f"{excess} px too wide"] if excess > 0 else []
    assert {place: violations for place, violations in found.items() if violations} == {}


def test_where_nothing_was_sent_the_pages_say_what_to_do(browser: Browser, page: Page, tmp_path: Path) -> None:
    del browser
    with homeostat(tmp_path / "silent") as running:
        for path, words in {"/logs": "No log record in this time", "/metrics-explorer": "No metric yet"}.items():
            page.goto(running.url + path)
            expect(page.get_by_text(words)).to_be_visible()
