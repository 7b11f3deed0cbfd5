"""A Homeostat process and a browser that looks at it, for the tests of the dashboard.

A test file imports the fixtures ``browser``, ``context`` and ``page`` and marks itself with ``needs_browser``.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from homeostat.web import static_dir

CHROMIUM = os.environ.get("HOMEOSTAT_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")

needs_browser = [
    pytest.mark.e2e,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: apt-get install chromium)"),
    pytest.mark.skipif(static_dir() is None, reason="the dashboard is not built (python hatch_build.py)"),
]

DEADLINE_S: Final = 30.0
DEADLINE_MS: Final = DEADLINE_S * 1_000
WIDTH_SETTLES_MS: Final = 5_000.0
WCAG: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
CONFIG: Final = """
server: {{port: {port}, jaeger_query_port: null, prometheus_port: null}}
receivers:
  otlp_http_port: 0
  otlp_grpc_port: null
  jaeger_grpc_port: null
  jaeger_http_port: null
  jaeger_udp_compact_port: null
  jaeger_udp_binary_port: null
  zipkin_port: null
storage: {{path: data}}
detect: {{close_after: 1s}}
heal: {{mode: approve, recovery: {{hold_off: 1s}}}}
"""


@dataclass(frozen=True)
class Running:
    """A Homeostat process that answers."""

    url: str
    otlp: str
    process: subprocess.Popen[bytes]


@contextmanager
def homeostat(folder: Path, port: int = 0) -> Iterator[Running]:
    """``homeostat up`` in this folder until the block is left, in the mode in which a person approves."""
    folder.mkdir(exist_ok=True)
    (folder / "homeostat.yaml").write_text(CONFIG.format(port=port), encoding="utf-8")
    log = (folder / "homeostat.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, "-m", "homeostat.cli.main", "up"], cwd=folder, stdout=log, stderr=subprocess.STDOUT
    )
    ready_file = folder / "data" / "ready.json"
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not ready_file.exists():
            assert process.poll() is None, (folder / "homeostat.log").read_text(encoding="utf-8")
            assert time.monotonic() < deadline, "homeostat was not ready in time"
            time.sleep(0.02)
        ready = json.loads(ready_file.read_text(encoding="utf-8"))
        yield Running(ready["url"], ready["otlp_http"], process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE_S)
        log.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-background-networking", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser without a past."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(DEADLINE_MS)
    expect.set_options(timeout=DEADLINE_MS)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page on which nothing may go wrong unseen."""
    page = context.new_page()
    defects: list[str] = []
    page.on("pageerror", lambda error: defects.append(str(error)))
    page.on("console", lambda line: defects.append(line.text) if "Content Security Policy" in line.text else None)
    yield page
    assert defects == []


def violations(page: Page) -> list[str]:
    """What axe-core finds against WCAG 2.1 AA, with the first place of each."""
    results = Axe().run(page, options={"runOnly": {"type": "tag", "values": WCAG}}).response
    assert results["testEngine"]["name"] == "axe-core"
    return [f"{one['id']} at {one['nodes'][0]['html'][:200]}" for one in results["violations"]]


def excess_width(page: Page) -> int:
    """By how many pixels the page is wider than its window, when its charts have followed a change of size."""
    width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    # Asked from here: a page does not let a text be evaluated again (its Content-Security-Policy).
    deadline = time.monotonic() + WIDTH_SETTLES_MS / 1000
    while (excess := page.evaluate(width)) > 0 and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    return excess
