"""``script/bench browser``: a trace of 10,000 spans in a real browser, and the first page over a slow line.

Starts a Homeostat, sends one trace over OTLP and opens its page in headless Chromium: cold (no cache of any kind in
the browser) and warm (again in the same one). What is measured:

- ``first_rows``: from the start of the navigation until the frame in which the first rows of the waterfall stand has
  been handed over to be painted. ``main_thread_cpu``: what the page's main thread worked until then,
  ``server_cpu``: what the whole Homeostat process did; ``server_waited``: how long its threads could have worked and
  had no processor (0 on a quiet machine).
- ``answer``: bytes of what the page fetched of the trace until then, as they went over the line and unpacked.
- ``scroll``: the waterfall is scrolled from its first row to its last in a fixed number of frames; the times between
  frames as requestAnimationFrame gets them. A display of 60 Hz has 16.7 ms for each; a frame counts as in time up to
  17.5 ms, because those times jitter by some tenths. ``scroll_main_thread_cpu`` is
  what it worked, ``scroll_blank`` the frames in which the middle of the waterfall had no row.
- ``slow_4g``: the first page with 150 ms of latency, 1.6 Mbit/s and a quarter of the processor's speed.

Chromium draws without a graphics card here: what the page shows is drawn by the same two processors.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import httpx2
from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, sync_playwright

from bench._browser_trace import trace_request
from homeostat.core.config import ReceiverConfig
from homeostat.runtime import SystemClock
from homeostat.world.rehearsal.stage import READY_FILE, spawn_homeostat, wait_until_ready

DEADLINE_S: Final = 60.0
SCROLL_FRAMES: Final = 600
SETTLE_MS: Final = 2_000
IN_TIME_MS: Final = 17.5
SLOW_4G: Final = {"latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 0.75e6 / 8, "offline": False}
SLOW_CPU: Final = 4

FIRST_ROWS = """
  (() => {
    const look = () => {
      if (document.querySelector(".wrow") === null) return false;
      requestAnimationFrame(() => {
        const after = new MessageChannel();
        after.port1.onmessage = () => { window.benchFirstRows = performance.now(); };
        after.port2.postMessage(null);
      });
      return true;
    };
    const watch = new MutationObserver(() => { if (look()) watch.disconnect(); });
    watch.observe(document, { childList: true, subtree: true });
  })();
"""

SCROLL = """
  async (frames) => {
    const box = document.querySelector(".waterfall__rows");
    const far = box.scrollHeight - box.clientHeight;
    const { left, top, height } = box.getBoundingClientRect();
    const times = [];
    let blank = 0;
    let before = await new Promise(requestAnimationFrame);
    for (let frame = 1; frame <= frames; frame += 1) {
      box.scrollTop = (far * frame) / frames;
      const now = await new Promise(requestAnimationFrame);
      times.push(now - before);
      before = now;
      if (document.elementFromPoint(left + 30, top + height / 2)?.closest(".wrow") == null) blank += 1;
    }
    return { times, blank, reached: box.scrollTop >= far - 1, length: far };
  }
"""

WAIT = """
  () => new Promise((done) => {
    const look = () => {
      if (window.benchFirstRows === undefined) setTimeout(look, 5);
      else done(window.benchFirstRows);
    };
    look();
  })
"""

FETCHED = """
  () => performance.getEntriesByType("resource")
    .filter((entry) => entry.name.includes("/api/traces/") && entry.responseEnd <= window.benchFirstRows)
    .map((entry) => [entry.encodedBodySize, entry.decodedBodySize])
"""


@dataclass(frozen=True)
class Worked:
    """What threads have had of the processors since they began, in milliseconds."""

    cpu_ms: float
    waited_ms: float  # ready to work, while the processors had other work

    def __sub__(self, before: "Worked") -> "Worked":
        return Worked(self.cpu_ms - before.cpu_ms, self.waited_ms - before.waited_ms)


def _worked(threads: Iterable[Path]) -> Worked:
    """From Linux' scheduler, to the nanosecond."""
    cpu_ns = waited_ns = 0
    for thread in threads:
        try:
            cpu, waited, _ = (thread / "schedstat").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        cpu_ns += int(cpu)
        waited_ns += int(waited)
    return Worked(cpu_ns / 1e6, waited_ns / 1e6)


def _of_process(pid: int) -> Worked:
    return _worked(Path(f"/proc/{pid}/task").iterdir())


def _chromium() -> str:
    found = os.environ.get("HOMEOSTAT_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        sys.exit("There is no chromium. apt-get install chromium (Debian), or name one in HOMEOSTAT_TEST_CHROMIUM.")
    return found


@contextmanager
def _homeostat(folder: Path) -> Iterator[tuple[str, str, int]]:
    """Its address, that of its OTLP receiver, and its process id."""
    config = {
        "server": {"port": 0, "jaeger_query_port": None, "prometheus_port": None},
        "receivers": ReceiverConfig.only(otlp_http_port=0).model_dump(),
        "storage": {"path": "data"},
    }
    path, log_path = folder / "homeostat.yaml", folder / "homeostat.log"
    path.write_text(json.dumps(config), encoding="utf-8")
    with log_path.open("wb") as log:
        process: subprocess.Popen[bytes] = spawn_homeostat(path, log)
        try:
            ready = anyio.run(wait_until_ready, process, folder / "data" / READY_FILE, log_path, SystemClock())
            said = json.loads((folder / "data" / READY_FILE).read_text(encoding="utf-8"))
            yield str(ready.url), str(said["otlp_http"]), process.pid
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


def _send(otlp: str, url: str, spans: int, seed: int) -> str:
    """Send the trace; gives its id once it can be read as a whole."""
    trace_id = bytes([seed]) * 16
    headers = {"content-type": "application/x-protobuf"}
    body = trace_request(trace_id, spans, seed)
    with httpx2.Client(timeout=DEADLINE_S, trust_env=False) as client:
        client.post(f"{otlp}/v1/traces", content=body, headers=headers).raise_for_status()
        deadline = time.monotonic() + DEADLINE_S
        while (answer := client.get(f"{url}/api/traces/{trace_id.hex()}/analysis")).status_code != httpx2.codes.OK:
            if time.monotonic() > deadline:
                sys.exit("the trace was not stored in time")
            time.sleep(0.1)
        assert len(answer.json()["spans"]) == spans
    return trace_id.hex()


@contextmanager
def _main_thread(page: Page) -> Iterator[CDPSession]:
    """Its counts are then of processor time, not of the clock."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    yield devtools
    devtools.detach()


def _cpu_ms(devtools: CDPSession) -> float:
    """What the page's main thread has worked."""
    metrics = devtools.send("Performance.getMetrics")["metrics"]
    return next(one["value"] for one in metrics if one["name"] == "TaskDuration") * 1e3


def _open(page: Page, address: str, pid: int) -> dict[str, float]:
    """One visit of the trace's page, until its first rows."""
    page.goto("about:blank")
    page.wait_for_timeout(SETTLE_MS)  # a new window of the browser has work of its own
    with _main_thread(page) as devtools:
        server, before = _of_process(pid), _cpu_ms(devtools)
        page.goto(address, wait_until="commit")
        first_rows_ms = page.evaluate(WAIT)
        after, server = _cpu_ms(devtools), _of_process(pid) - server
    sizes: list[list[int]] = page.evaluate(FETCHED)
    return {
        "first_rows_ms": first_rows_ms,
        "main_thread_cpu_ms": after - before if after >= before else after,  # another process counts from zero
        "server_cpu_ms": server.cpu_ms,
        "server_waited_ms": server.waited_ms,
        "answer_bytes": sum(size[0] for size in sizes),
        "answer_unpacked_bytes": sum(size[1] for size in sizes),
    }


def _scroll(page: Page) -> dict[str, float]:
    """The whole waterfall once, as soon as the page is at rest."""
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(SETTLE_MS)
    with _main_thread(page) as devtools:
        before = _cpu_ms(devtools)
        found = page.evaluate(SCROLL, SCROLL_FRAMES)
        worked_ms = _cpu_ms(devtools) - before
    assert found["reached"], "the waterfall's end was not reached"
    times = sorted(found["times"])
    return {
        "scroll_frames": len(times),
        "scroll_length_px": found["length"],
        "scroll_in_time_share": sum(time <= IN_TIME_MS for time in times) / len(times),
        "scroll_frame_p50_ms": times[len(times) // 2],
        "scroll_frame_p95_ms": times[int(len(times) * 0.95)],
        "scroll_frame_p99_ms": times[int(len(times) * 0.99)],
        "scroll_frame_max_ms": times[-1],
        "scroll_main_thread_cpu_per_frame_ms": worked_ms / len(times),
        "scroll_blank_frames": found["blank"],
    }


def _new_context(browser: Browser) -> BrowserContext:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(DEADLINE_S * 1_000)
    context.add_init_script(FIRST_ROWS)
    return context


def _of_trace(browser: Browser, address: str, pid: int, repeats: int) -> dict[str, float]:
    cold: list[dict[str, float]] = []
    warm: list[dict[str, float]] = []
    scrolled: list[dict[str, float]] = []
    for _ in range(repeats):
        context = _new_context(browser)
        page = context.new_page()
        cold.append(_open(page, address, pid))
        page.wait_for_load_state("networkidle")
        warm.append(_open(page, address, pid))
        scrolled.append(_scroll(page))
        context.close()
    numbers: dict[str, float] = {}
    for kind, visits in (("cold", cold), ("warm", warm)):
        for name in visits[0]:
            numbers[f"{kind}_{name}"] = statistics.median(visit[name] for visit in visits)
        numbers[f"{kind}_first_rows_worst_ms"] = max(visit["first_rows_ms"] for visit in visits)
    return numbers | {name: statistics.median(one[name] for one in scrolled) for name in scrolled[0]}


def _over_slow_line(browser: Browser, address: str) -> dict[str, float]:
    """First paint and bytes of the overview, slowed down."""
    context = _new_context(browser)
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    devtools.send("Network.enable")
    devtools.send("Network.emulateNetworkConditions", SLOW_4G)
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": SLOW_CPU})
    page.goto(address)
    page.locator(".health").wait_for()
    page.wait_for_timeout(1_000)  # what is still fetched is counted as well
    found = page.evaluate("""() => {
      const paint = performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? -1;
      const page = performance.getEntriesByType("navigation")[0];
      const files = performance.getEntriesByType("resource").filter((one) => one.name.includes("/assets/"));
      const bytes = (list) => list.reduce((sum, one) => sum + one.encodedBodySize, 0);
      const first = files.filter((one) => one.name.endsWith(".js") && one.initiatorType !== "fetch");
      const entry = Math.max(...first.map((one) => one.encodedBodySize));
      return { paint, page: page.encodedBodySize, files: bytes(files), entry };
    }""")
    context.close()
    return {
        "slow_4g_first_paint_ms": found["paint"],
        "slow_4g_page_bytes": found["page"],
        "slow_4g_largest_script_bytes": found["entry"],
        "slow_4g_page_and_files_bytes": found["page"] + found["files"],
    }


def _measure(spans: int, repeats: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory, _homeostat(Path(directory)) as (url, otlp, pid):
        trace_id = _send(otlp, url, spans, seed=7)
        with sync_playwright() as playwright:
            arguments = ["--no-sandbox", "--disable-background-networking", "--disable-dev-shm-usage"]
            browser = playwright.chromium.launch(executable_path=_chromium(), args=arguments)
            try:
                numbers = _of_trace(browser, f"{url}/traces/{trace_id}", pid, repeats)
                numbers |= _over_slow_line(browser, url)
            finally:
                browser.close()
    return {"spans": spans, "load_average": os.getloadavg()[0]} | numbers


def main(argv: list[str] | None = None) -> None:
    """Print the numbers, one line each or as one JSON object."""
    parser = argparse.ArgumentParser(prog="bench.browser", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one flat JSON object")
    parser.add_argument("--spans", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(argv)
    numbers = {name: round(value, 3) for name, value in _measure(options.spans, options.repeats).items()}
    if options.json:
        print(json.dumps(numbers))
        return
    for name, value in numbers.items():
        print(f"{name:36} {value:>14,}")


if __name__ == "__main__":
    main()
