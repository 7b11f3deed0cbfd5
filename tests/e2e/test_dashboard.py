"""The dashboard in a real browser over a real Homeostat, fed by a little shop that speaks OTLP."""

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
from support.shop import FLAG, Shop, big_trace, send

__all__ = ["browser", "context", "page"]

pytestmark = needs_browser


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A Homeostat that watches a shop, in the mode in which a person approves."""
    with homeostat(tmp_path_factory.mktemp("shop")) as running:
        calm = {"flag": FLAG, "value": False, "reason": "the tests begin with a shop that works"}
        httpx2.post(f"{running.url}/api/remediation/feature-flag", json=calm, timeout=30.0).raise_for_status()
        traffic = Shop(running.url, running.otlp).open()
        try:
            deadline = time.monotonic() + DEADLINE_S
            while len(httpx2.get(f"{running.url}/api/services", timeout=30.0).json()) < 3:
                assert time.monotonic() < deadline, "the shop was not seen"
                time.sleep(0.1)
            yield running
        finally:
            traffic.close()


def _some_trace(url: str) -> str:
    deadline = time.monotonic() + DEADLINE_S
    while not (traces := httpx2.get(f"{url}/api/traces?limit=1", timeout=30.0).json()["traces"]):
        assert time.monotonic() < deadline, "no trace was stored"
        time.sleep(0.1)
    return traces[0]["trace_id"]


def _pages(running: Running) -> dict[str, str]:
    """Every kind of page with the selector that says it is complete."""
    pages = {
        "/": ".services tbody tr",
        "/incidents": ".incident-list li, .empty",
        "/traces": ".trace-row",
        f"/traces/{_some_trace(running.url)}": ".wrow",
        "/nowhere": ".empty",
    }
    incidents = httpx2.get(f"{running.url}/api/incidents", timeout=30.0).json()
    return pages | ({f"/incidents/{incidents[0]['id']}": ".timeline"} if incidents else {})


def test_where_nothing_was_seen_health_is_unknown_and_the_page_says_what_to_do(
    browser: Browser, page: Page, tmp_path: Path
) -> None:
    del browser
    with homeostat(tmp_path / "empty") as running:
        page.goto(running.url)
        expect(page.locator(".health .status")).to_have_text("Unknown")
        expect(page.get_by_role("heading", name="Waiting for the first telemetry")).to_be_visible()
        address = running.otlp.removesuffix("/v1/traces")
        expect(page.get_by_text(f"OTEL_EXPORTER_OTLP_ENDPOINT={address}")).to_be_visible()
        expect(page.get_by_text("Healthy", exact=True)).to_have_count(0)
        page.goto(f"{running.url}/logs")
        expect(page.get_by_text(f"{address} (OTLP over HTTP)")).to_be_visible()


def test_a_person_breaks_the_shop_approves_the_remedy_and_sees_that_it_helped(page: Page, shop: Running) -> None:
    page.goto(shop.url)
    expect(page.get_by_role("row", name=re.compile("payment"))).to_contain_text("Healthy")

    page.get_by_role("switch", name=FLAG).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Your name").fill("Ada")
    dialog.get_by_label("Reason").fill("a drill")
    dialog.get_by_role("button", name="Turn on").click()
    expect(page.get_by_role("switch", name=FLAG)).to_be_checked()

    # It arrives by itself, through the live feed.
    page.locator(".open-incident a").first.click()
    page.get_by_role("button", name="Approve").first.click()
    expect(dialog.get_by_label("Your name")).to_have_value("Ada")
    dialog.get_by_role("button", name="Approve").click()

    story = page.locator(".timeline")
    for kind in ("Fault", "Detected", "Planned", "Acted", "Verified", "Closed"):
        expect(story.locator(".event__kind").get_by_text(kind, exact=True).first).to_be_visible()
    expect(page.locator(".verdict").first).to_contain_text("→")
    expect(page.locator(".incident-head .status--strong")).to_have_text("Closed")


def test_a_trace_is_found_by_conditions_that_stand_in_the_address(page: Page, shop: Running) -> None:
    page.goto(f"{shop.url}/traces")
    page.get_by_label("Service").select_option("payment")
    page.get_by_label("Attribute").fill("shop.cart=c-17")
    page.get_by_role("button", name="Search").click()
    expect(page).to_have_url(re.compile(r"service=payment&attribute=shop\.cart%3Dc-17"))
    expect(page.locator(".trace-row").first).to_contain_text("POST /buy")

    page.get_by_label("Attribute").fill("shop.cart=none")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("No trace fits this search")).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Attribute")).to_have_value("shop.cart=c-17")

    page.get_by_label("Attribute").fill("no pair")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("alert")).to_contain_text("key=value")


def test_the_waterfall_is_walked_with_the_keys(page: Page, shop: Running) -> None:
    page.goto(f"{shop.url}/traces/{_some_trace(shop.url)}")
    tree = page.get_by_role("tree")
    expect(page.get_by_role("treeitem")).to_have_count(3)
    tree.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("treeitem", selected=True)).to_contain_text("checkout")
    expect(page.get_by_role("complementary")).to_contain_text("shop.cart")
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("treeitem")).to_have_count(2)
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("treeitem")).to_have_count(3)
    expect(page).to_have_url(re.compile("span="))


def test_a_trace_of_ten_thousand_spans_is_shown_without_holding_all_of_them_in_the_page(
    page: Page, shop: Running
) -> None:
    trace_id, batch = big_trace("big", 10_000)
    with httpx2.Client() as client:
        send(client, shop.otlp, batch)
    page.goto(f"{shop.url}/traces/{trace_id}")
    expect(page.locator(".trace-head__line")).to_contain_text("10 k spans")
    assert page.get_by_role("treeitem").count() < 120
    page.get_by_role("button", name="Next error").click()
    expect(page.get_by_role("treeitem", selected=True)).to_contain_text("step 9999")
    expect(page.get_by_role("complementary")).to_contain_text("The error began here")


def test_no_page_has_an_accessibility_violation_in_light_or_dark(page: Page, shop: Running) -> None:
    found: dict[str, list[str]] = {}
    for path, complete in _pages(shop).items():
        page.goto(shop.url + path)
        page.locator(complete).first.wait_for()
        page.emulate_media(color_scheme="light")
        found[f"{path} light"] = violations(page)
        page.emulate_media(color_scheme="dark")
        found[f"{path} dark"] = violations(page)
    page.goto(shop.url)
    page.get_by_role("button", name="Show as table").click()
    page.get_by_role("switch", name=FLAG).click()
    page.get_by_role("dialog").wait_for()
    found["the dialog"] = violations(page)
    assert {place: violations for place, violations in found.items() if violations} == {}


def test_nothing_scrolls_sideways_on_a_small_screen(page: Page, shop: Running) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    for path, complete in _pages(shop).items():
        page.goto(shop.url + path)
        page.locator(complete).first.wait_for()
        assert (excess := excess_width(page)) <= 0, f"{path} is {excess} px too wide"


def test_the_keyboard_reaches_the_content_first_and_then_everything(page: Page, shop: Running) -> None:
    page.goto(shop.url)
    page.locator(".services tbody tr").first.wait_for()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")
    reached: set[str] = set()
    for _ in range(60):
        reached.add(page.evaluate("(document.activeElement.textContent || '').trim()"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none" or page.evaluate("document.activeElement === document.body")
        page.keyboard.press("Tab")
    assert {"1 h", "Show as table", "payment", "All incidents", "Let it act automatically"} <= reached


def test_behind_every_chart_stands_its_table(page: Page, shop: Running) -> None:
    page.goto(f"{shop.url}/?service=payment&window=5")
    expect(page.locator("canvas")).to_have_count(3)
    page.get_by_role("button", name="Show as table").click()
    for name in ("Rate", "Errors", "Duration"):
        expect(page.get_by_role("region", name=f"{name} as a table").locator("tbody tr").first).to_be_visible()
    expect(page.locator("canvas")).to_have_count(0)


def test_a_chosen_theme_is_kept(page: Page, shop: Running) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(shop.url)
    switch = page.get_by_role("button", name=re.compile("^Theme:"))
    switch.click()
    switch.click()
    page.reload()
    expect(switch).to_have_accessible_name(re.compile("Theme: dark"))
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 19, 24)"


def test_a_lost_connection_is_said_and_ends_by_itself(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "restarted"
    with homeostat(folder) as first:
        page.goto(first.url)
        expect(page.locator(".health .status")).to_be_visible()
        port = int(first.url.rsplit(":", 1)[1])
    expect(page.get_by_text("Connection lost.")).to_be_visible()
    with homeostat(folder, port):
        expect(page.get_by_text("Connection lost.")).to_have_count(0)


def test_an_unknown_incident_and_an_unknown_trace_are_said_to_be_unknown(page: Page, shop: Running) -> None:
    page.goto(f"{shop.url}/incidents/incident-none")
    expect(page.get_by_text("There is no such incident")).to_be_visible()
    page.goto(f"{shop.url}/traces/{'0' * 31}1")
    expect(page.get_by_text("This trace is not stored")).to_be_visible()
