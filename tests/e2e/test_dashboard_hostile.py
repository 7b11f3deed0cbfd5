"""Traces that no well-meaning program sends, in a real browser: every page shows them and says what it did."""

import re
import time
from collections.abc import Callable, Iterator

import httpx2
import pytest
from playwright.sync_api import Page, expect

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
from support.shop import Batch, send, trace_id

__all__ = ["browser", "context", "page"]

pytestmark = needs_browser

SERVICES = 2_000
ATTRIBUTES = 5_000
KEPT = 1_024  # of the attributes of one span
LONG_NAME = "SELECT " + "very " * 2_000 + "long"
ARABIC, TURNED, EMOJI = "متجر الكتب", "\u202egnp.exe", "👩‍👩‍👧‍👦🛒" * 40
HOUR_MS = 3_600_000


def _ring(batch: Batch, now_ns: int) -> None:
    for name, parent in (("one", "two"), ("two", "three"), ("three", "one"), ("below", "two"), ("self", "self")):
        batch.add("shop", name, trace="ring", span=name, parent=parent, start_ns=now_ns, duration_ms=5)


def _rootless(batch: Batch, now_ns: int) -> None:
    for number in range(3):
        name = f"lost {number}"
        batch.add("shop", name, trace="rootless", span=name, parent="never sent", start_ns=now_ns, duration_ms=5)


def _crowd(batch: Batch, now_ns: int) -> None:
    for number in range(SERVICES):
        parent = None if number == 0 else "crowd 0"
        batch.add(
            f"service-{number:04}",
            "work",
            trace="crowd",
            span=f"crowd {number}",
            parent=parent,
            start_ns=now_ns + number,
            duration_ms=5,
        )


def _wide(batch: Batch, now_ns: int) -> None:
    attributes = {f"key.{number:05}": "x" * (10_000 if number == 0 else 8) for number in range(ATTRIBUTES)}
    batch.add("shop", "wide", trace="wide", span="wide", start_ns=now_ns, duration_ms=5, attributes=attributes)


def _skewed(batch: Batch, now_ns: int) -> None:
    batch.add("shop", "POST /buy", trace="skewed", span="caller", start_ns=now_ns, duration_ms=100)
    for name, hours in (("early", -5), ("late", 7)):
        start_ns = now_ns + hours * HOUR_MS * 1_000_000
        batch.add(name, name, trace="skewed", span=name, parent="caller", start_ns=start_ns, duration_ms=20)


def _instant(batch: Batch, now_ns: int) -> None:
    for number in range(50):
        parent = None if number == 0 else f"instant {number - 1}"
        name = f"instant {number}"
        batch.add("shop", name, trace="instant", span=name, parent=parent, start_ns=now_ns, duration_ms=0)


def _strange(batch: Batch, now_ns: int) -> None:
    batch.add(ARABIC, LONG_NAME, trace="strange", span="long", start_ns=now_ns, duration_ms=50)
    for name in (TURNED, EMOJI, "", "<img src=x onerror=alert(1)>"):
        at = {name or "empty": name, "قيمة": ARABIC}
        batch.add(
            EMOJI, name, trace="strange", span=name, parent="long", start_ns=now_ns, duration_ms=9, attributes=at
        )


HOSTILE: dict[str, Callable[[Batch, int], None]] = {
    "ring": _ring,
    "rootless": _rootless,
    "crowd": _crowd,
    "wide": _wide,
    "skewed": _skewed,
    "instant": _instant,
    "strange": _strange,
}


@pytest.fixture(scope="module")
def enemies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A Homeostat that was sent all of them."""
    with homeostat(tmp_path_factory.mktemp("hostile")) as running, httpx2.Client(timeout=DEADLINE_S) as client:
        for name, fill in HOSTILE.items():
            batch = Batch()
            fill(batch, time.time_ns() - 60_000_000_000)
            send(client, running.otlp, batch)
            deadline = time.monotonic() + DEADLINE_S
            while client.get(f"{running.url}/api/traces/{trace_id(name)}/columns").status_code != httpx2.codes.OK:
                assert time.monotonic() < deadline, f"{name} was not stored"
                time.sleep(0.05)
        yield running


def _open(page: Page, enemies: Running, name: str, question: str = "") -> None:
    page.goto(f"{enemies.url}/traces/{trace_id(name)}{question}")
    page.locator(".wrow, .spans__body .spans__row, .share").first.wait_for()


@pytest.mark.parametrize("name", HOSTILE)
def test_each_view_of_a_hostile_trace_is_whole_and_fits(page: Page, enemies: Running, name: str) -> None:
    for width in (1280, 400):
        page.set_viewport_size({"width": width, "height": 900})
        for view in ("waterfall", "table", "operations"):
            _open(page, enemies, name, f"?view={view}")
            assert excess_width(page) <= 0, f"{view} at {width} px"
            expect(page.get_by_text("could not be shown")).to_have_count(0)
    _open(page, enemies, name)
    page.locator(".wrow").first.click()
    expect(page.get_by_role("complementary")).to_contain_text("Span")
    assert violations(page) == []
    page.goto(f"{enemies.url}/traces/compare?left={trace_id(name)}&right={trace_id('instant')}")
    expect(page.locator(".diff__body .diff__row").first).to_be_visible()
    assert excess_width(page) <= 0


def test_a_ring_is_cut_open_and_said_to_be_one(page: Page, enemies: Running) -> None:
    _open(page, enemies, "ring")
    expect(page.get_by_role("treeitem")).to_have_count(5)
    expect(page.get_by_text("2 circles of spans that are their own ancestors were cut open.")).to_be_visible()
    page.get_by_role("treeitem", level=1).first.click()
    expect(page.get_by_role("complementary")).to_contain_text("the circle is shown cut open here")


def test_a_trace_without_its_root_says_that_parents_are_missing(page: Page, enemies: Running) -> None:
    _open(page, enemies, "rootless")
    expect(page.get_by_text("3 of the spans name a parent that is not stored")).to_be_visible()
    page.locator(".wrow").first.click()
    expect(page.get_by_role("complementary")).to_contain_text("Its parent span is not stored")


def test_of_two_thousand_services_the_first_are_named_and_the_others_on_request(page: Page, enemies: Running) -> None:
    _open(page, enemies, "crowd")
    services = page.get_by_role("list", name="Services").get_by_role("listitem")
    expect(services).to_have_count(25)
    page.get_by_role("button", name=re.compile("more services")).click()
    expect(services).to_have_count(SERVICES)


def test_a_span_with_thousands_of_attributes_is_shown_in_part_and_searched_in_whole(
    page: Page, enemies: Running
) -> None:
    _open(page, enemies, "wide")
    page.locator(".wrow").first.click()
    panel = page.get_by_role("complementary").locator("details").first
    expect(panel.locator(".pairs dt")).to_have_count(60)
    panel.get_by_role("button", name="all 10,000 characters").click()
    panel.get_by_role("button", name="Show all 1,024").click()
    expect(panel.locator(".pairs dt")).to_have_count(KEPT)
    expect(page.get_by_role("complementary")).to_contain_text(
        "3,977 more are not here: cut off by the sender or at intake"
    )
    find = page.get_by_label("Find in this trace")
    find.fill(f"KEY.{KEPT - 2:05}=x")
    expect(page.get_by_role("search", name="Within the trace").get_by_role("status")).to_have_text("1 of 1")


def test_clocks_that_are_hours_off_are_shown_shifted_and_said_to_be(page: Page, enemies: Running) -> None:
    _open(page, enemies, "skewed")
    expect(page.get_by_text(re.compile("The clocks of . spans? contradict their parents"))).to_be_visible()
    page.get_by_role("treeitem", name=re.compile("^early")).click()
    expect(page.get_by_role("complementary")).to_contain_text("than it said")


def test_spans_without_any_duration_stand_one_below_the_other(page: Page, enemies: Running) -> None:
    _open(page, enemies, "instant")
    expect(page.locator(".trace-head__line strong")).to_have_text("0 ms")
    expect(page.get_by_role("treeitem").first).to_contain_text("0 ms")


def test_names_from_right_to_left_of_ten_kilobytes_or_of_markup_stay_where_they_belong(
    page: Page, enemies: Running
) -> None:
    _open(page, enemies, "strange")
    expect(page.get_by_role("heading", level=1)).to_contain_text(ARABIC)
    assert len(page.get_by_role("heading", level=1).inner_text()) < 300
    page.get_by_role("treeitem", name=re.compile("img src")).click()
    expect(page.get_by_role("complementary")).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator("img").count() == 0
    page.goto(f"{enemies.url}/traces?minutes=60")
    expect(page.locator(".trace-row").filter(has_text=ARABIC).first).to_be_visible()
    assert excess_width(page) <= 0
