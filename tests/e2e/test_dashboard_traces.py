"""The pages of traces in a real browser over a real Homeostat: search, questions about many, one, two; the map."""

import re
import time
from collections.abc import Iterator

import httpx2
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from support.browser import (
    DEADLINE_MS,
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
from support.shop import big_trace, market, send

__all__ = ["browser", "context", "page"]

pytestmark = needs_browser

PLACE_HOLDERS = """
  window.placeHolders = [];
  new MutationObserver(() => {
    for (const one of document.querySelectorAll(".skeleton")) window.placeHolders.push(one.textContent);
  }).observe(document, { childList: true, subtree: true });
"""
"""Keeps what the page's place holders said, from its first moment on."""

PURCHASES = 480
HISTORY_NS = 240_000_000_000
FRAMES = 90


@pytest.fixture(scope="module")
def market_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A Homeostat that saw four minutes of a market, of which shard 7 of the database is slow."""
    with homeostat(tmp_path_factory.mktemp("market")) as running:
        start = time.time_ns() - HISTORY_NS
        with httpx2.Client(timeout=DEADLINE_S) as client:
            send(client, running.otlp, market("market", PURCHASES, from_ns=start, every_ms=480))
            deadline = time.monotonic() + DEADLINE_S
            while len(client.get(f"{running.url}/api/traces?limit=60").json()["traces"]) < 50:
                assert time.monotonic() < deadline, "the market was not stored"
                time.sleep(0.1)
        yield running


def _traces(running: Running, question: str) -> list[str]:
    found = httpx2.get(f"{running.url}/api/traces?{question}", timeout=30.0).json()["traces"]
    return [one["trace_id"] for one in found]


def _pages(running: Running) -> dict[str, str]:
    """Every page of traces with the selector that says it is complete."""
    slow = _traces(running, "service=database&min_duration_ms=300")[0]
    quick = _traces(running, "service=database&max_duration_ms=100")[0]
    return {
        "/traces": ".trace-row",
        "/traces?view=latency": ".empty",
        "/traces?service=database&view=latency": ".heat__cell",
        "/traces?service=database&view=differences": ".findings tbody tr",
        "/traces?view=bottlenecks": ".share",
        f"/traces/{slow}": ".bar__critical",
        f"/traces/{slow}?view=table": ".spans__body .spans__row",
        f"/traces/{slow}?view=operations": ".share",
        "/traces/compare": ".empty",
        f"/traces/compare?left={quick}&right={slow}": ".diff__body .diff__row",
        "/map": ".node",
        "/map?service=payment": ".chosen",
    }


def test_more_traces_come_page_by_page_and_say_what_they_stand_for(page: Page, market_place: Running) -> None:
    page.goto(f"{market_place.url}/traces?limit=20")
    expect(page.get_by_role("status").filter(has_text="20 traces found")).to_contain_text("there are more")
    page.get_by_role("button", name="More traces").click()
    expect(page.get_by_role("status").filter(has_text="40 traces found")).to_be_visible()
    expect(page.locator(".trace-row").filter(has_text="kept 1 of 10").first).to_be_visible()


def test_a_trace_id_as_text_leads_to_its_trace_or_says_that_there_is_none(page: Page, market_place: Running) -> None:
    known = _traces(market_place, "limit=1")[0]
    page.goto(f"{market_place.url}/traces")
    page.get_by_placeholder("text, or a trace id").fill(f" {known.upper()} ")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page).to_have_url(re.compile(f"/traces/{known}$"))
    page.goto(f"{market_place.url}/traces")
    page.get_by_placeholder("text, or a trace id").fill("5af7183fb1d4cf5f")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_text("There is no trace 00000000000000005af7183fb1d4cf5f")).to_be_visible()


def test_a_cell_of_the_heat_map_leads_to_its_traces_and_back_again(page: Page, market_place: Running) -> None:
    page.goto(f"{market_place.url}/traces?service=database&view=latency")
    page.locator(".heat__cell").first.wait_for()
    page.get_by_role("button", name="Show as table").click()
    table = page.get_by_role("region", name="Requests by duration as a table")
    table.get_by_role("row").nth(2).get_by_role("button").last.click()
    expect(page).to_have_url(re.compile(r"min_duration_ms=.*start=.*end="))
    expect(page.get_by_label("At least, ms")).not_to_have_value("")
    page.go_back()
    expect(page.locator(".heat__cell").first).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("SELECT accounts"))).to_contain_text("480")


def test_what_is_different_about_the_slow_ones_names_the_shard(page: Page, market_place: Running) -> None:
    page.goto(f"{market_place.url}/traces?service=database&view=differences")
    first = page.locator(".findings tbody tr").first
    expect(first).to_contain_text("shop.shard = 7")
    expect(first).to_contain_text("hardly chance")
    first.get_by_role("link").click()
    expect(page).to_have_url(re.compile(r"attribute=shop\.shard%3D7"))
    page.goto(f"{market_place.url}/traces?view=bottlenecks")
    expect(page.locator("tbody tr").first).to_contain_text("SELECT accounts")


def test_two_ticked_traces_are_compared(page: Page, market_place: Running) -> None:
    page.goto(f"{market_place.url}/traces")
    boxes = page.get_by_role("checkbox", name=re.compile("^Compare gateway"))
    boxes.nth(0).check()
    expect(page.get_by_text("Tick another to compare the two")).to_be_visible()
    boxes.nth(1).check()
    page.get_by_role("link", name="Compare the two traces").click()
    expect(page.locator(".diff__body .diff__row").first).to_contain_text("gateway")


def test_a_comparison_says_in_words_what_is_slower_and_what_is_missing(page: Page, market_place: Running) -> None:
    slow = _traces(market_place, "service=database&min_duration_ms=300")[0]
    declined = _traces(market_place, "service=bank&errors_only=true&max_duration_ms=100")[0]
    page.goto(f"{market_place.url}/traces/compare?left={declined}&right={slow}")
    expect(page.get_by_role("row", name=re.compile("^database.*Slower"))).to_be_visible()
    page.get_by_role("button", name=re.compile("^Only right")).click()
    expect(page).to_have_url(re.compile("change=added"))
    expect(page.locator(".diff__body .diff__row")).to_have_count(2)  # of the caller and of the mail service
    expect(page.locator(".diff__body .diff__row").last).to_contain_text("send receipt")
    page.get_by_role("button", name="Swap sides").click()
    expect(page).to_have_url(re.compile(f"left={slow}"))
    page.goto(f"{market_place.url}/traces/compare?left={slow}&right={'0' * 31}1")
    expect(page.get_by_text("One of the traces is not stored")).to_be_visible()


def test_a_trace_shows_its_critical_path_and_finds_texts(page: Page, market_place: Running) -> None:
    slow = _traces(market_place, "service=database&min_duration_ms=300")[0]
    page.goto(f"{market_place.url}/traces/{slow}")
    page.get_by_label("Critical path only").check()
    expect(page).to_have_url(re.compile("path=critical"))
    expect(page.get_by_role("treeitem", name=re.compile("database.*on the critical path"))).to_be_visible()
    find = page.get_by_label("Find in this trace")
    find.fill("select")
    find.press("Enter")
    expect(page.get_by_role("treeitem", selected=True)).to_contain_text("SELECT accounts")
    expect(page.get_by_role("complementary")).to_contain_text("shop.shard")
    page.get_by_role("button", name="Table", exact=True).click()
    expect(page.locator(".spans__body .spans__row")).to_have_count(2)
    find.fill("")
    page.get_by_role("columnheader", name="In itself").get_by_role("button").click()
    expect(page.locator(".spans__body .spans__row").first).to_contain_text("SELECT accounts")


def test_a_text_is_not_said_to_be_nowhere_before_all_was_searched(page: Page, market_place: Running) -> None:
    slow = _traces(market_place, "service=database&min_duration_ms=300")[0]
    page.goto(f"{market_place.url}/traces/{slow}")
    waiting: list[Route] = []
    page.route("**/matches?*", lambda route: waiting.append(route))  # noqa: PLW0108 - a method of a builtin is not taken
    find = page.get_by_label("Find in this trace")
    told = page.get_by_role("search", name="Within the trace").get_by_role("status")
    find.fill("nowhere at all")
    expect(told).to_have_text("searching …")
    page.unroute("**/matches?*")
    page.route("**/matches?*", lambda route: route.fulfill(status=503, json={"detail": "not now"}))
    find.fill("nowhere else")
    expect(told).to_have_text("attributes not searched", timeout=DEADLINE_MS)
    page.unroute("**/matches?*")
    find.fill("nowhere to be found")
    expect(told).to_have_text("no span")
    find.fill("")
    find.focus()
    page.keyboard.insert_text("x" * 2_000)
    expect(find).to_have_value("x" * 1_000)
    expect(told).to_have_text("no span")
    for route in waiting:
        route.abort()


def test_the_map_shows_who_calls_whom_with_a_table_and_leads_to_traces(page: Page, market_place: Running) -> None:
    page.goto(f"{market_place.url}/map")
    calls = page.get_by_role("region", name="Calls as a table")
    expect(calls.get_by_role("row", name=re.compile("payment database"))).to_be_visible()
    page.get_by_role("list", name="Services").get_by_role("button", name=re.compile("payment")).click()
    expect(page).to_have_url(re.compile("service=payment"))
    expect(calls.get_by_role("row", name=re.compile("gateway catalog"))).to_have_count(0)
    page.get_by_role("link", name="Its traces").click()
    expect(page.get_by_label("Service")).to_have_value("payment")


def test_no_page_of_traces_has_an_accessibility_violation_in_light_or_dark(page: Page, market_place: Running) -> None:
    found: dict[str, list[str]] = {}
    for path, complete in _pages(market_place).items():
        page.goto(market_place.url + path)
        page.locator(complete).first.wait_for()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found[f"{path} {scheme}"] = violations(page)
    assert {place: violations for place, violations in found.items() if violations} == {}


def test_no_page_of_traces_scrolls_sideways_on_a_small_screen(page: Page, market_place: Running) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    for path, complete in _pages(market_place).items():
        page.goto(market_place.url + path)
        page.locator(complete).first.wait_for()
        excess = excess_width(page)
        assert excess <= 0, f"{path} is {excess} px too wide"


def test_a_page_opened_by_its_address_comes_without_a_place_holder_for_its_code(
    page: Page, market_place: Running
) -> None:
    page.add_init_script(PLACE_HOLDERS)
    for path, complete in _pages(market_place).items():
        page.goto(f"{market_place.url}{path}")
        page.locator(complete).first.wait_for()
        assert "Loading the page" not in page.evaluate("window.placeHolders"), path


def test_a_page_whose_code_cannot_be_had_says_so(page: Page, market_place: Running) -> None:
    page.route("**/assets/ServiceMap-*.js", lambda route: route.abort())
    page.goto(f"{market_place.url}/map")
    expect(page.get_by_role("alert")).to_contain_text("This page could not be shown")
    page.unroute("**/assets/ServiceMap-*.js")
    page.get_by_role("button", name="Reload the page").click()
    expect(page.locator(".node").first).to_be_visible()


def test_the_page_of_a_trace_asks_for_nothing_twice(page: Page, market_place: Running) -> None:
    trace_id = _traces(market_place, "limit=1")[0]
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(market_place.url).partition("?")[0]))
    page.goto(f"{market_place.url}/traces/{trace_id}")
    page.locator(".bar__critical").first.wait_for()
    page.wait_for_load_state("networkidle")
    of_trace = [path for path in asked if path.startswith("/api/traces/")]
    assert sorted(of_trace) == [f"/api/traces/{trace_id}/{what}" for what in ("analysis", "columns")]
    assert len(asked) == len(set(asked)), asked


def test_a_large_trace_stays_light_while_it_is_scrolled(browser: Browser, market_place: Running) -> None:
    trace_id, batch = big_trace("large", 10_000)
    with httpx2.Client(timeout=DEADLINE_S) as client:
        send(client, market_place.otlp, batch)
    context: BrowserContext = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(f"{market_place.url}/traces/{trace_id}")
    page.locator(".wrow").first.wait_for(timeout=DEADLINE_MS)
    rows = page.evaluate(
        """async (frames) => {
          const box = document.querySelector(".waterfall__rows");
          let most = 0;
          for (let frame = 0; frame < frames; frame += 1) {
            await new Promise(requestAnimationFrame);
            box.scrollTop += 300;
            most = Math.max(most, document.querySelectorAll(".wrow").length);
          }
          return most;
        }""",
        FRAMES,
    )
    assert 0 < rows < 120
    assert page.locator(".waterfall__rows").evaluate("(box) => box.scrollTop") >= FRAMES * 250
    context.close()
