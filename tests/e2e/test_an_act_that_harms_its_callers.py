"""A flag is turned off, its service is well again, its caller is not: a real Homeostat over OTLP takes the act back.

Payment fails while the flag is on, and checkout gets by without it. With the flag off payment works, and checkout,
which has forgotten how to, fails two times in five.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from support.shop import FLAG, Batch, Traffic, send

pytestmark = pytest.mark.e2e

CONFIG = f"""\
server: {{port: 0, jaeger_query_port: null, prometheus_port: null}}
receivers: {{otlp_http_port: 0, otlp_grpc_port: null, jaeger_grpc_port: null, jaeger_http_port: null,
  jaeger_udp_compact_port: null, jaeger_udp_binary_port: null, zipkin_port: null}}
storage: {{path: data}}
slo: {{defaults: false}}
heal: {{mode: auto}}
flags: {{initial: {{{FLAG}: false}}}}
"""
PER_TICK = 6
WELL_S = 50
"""So much healthy traffic is told of at once, as if it had just been: the shop has a past."""
DEADLINE_S = 90.0


class Shop(Traffic):
    """Sends what checkout and payment do, as the flag says, until it is closed."""

    _number = 0
    _was_on = False
    _healed = False  # the flag was on, and has been turned off since

    def open(self) -> Self:
        """First its past, then what happens."""
        with httpx2.Client(timeout=30) as client:
            batch, end = Batch(), time.time_ns() - 2_000_000_000
            for number in range(WELL_S * 10):
                self._buy(batch, end - number * 100_000_000, flag=False)
            send(client, self._otlp_url, batch)
        return super().open()

    def _batch(self, *, failing: bool) -> Batch:
        self._healed = self._was_on and not failing
        self._was_on = self._was_on or failing
        batch = Batch()
        for _ in range(PER_TICK):
            self._buy(batch, time.time_ns(), flag=failing)
        return batch

    def _buy(self, batch: Batch, end_ns: int, *, flag: bool) -> None:
        self._number += 1
        trace, start = f"{self._api_url} {self._number}", end_ns - 50_000_000
        declined = "bank is away" if flag and self._number % 2 else ""
        broken = "no fallback" if self._healed and self._number % 5 < 2 else ""
        batch.add("checkout", "POST /buy", trace=trace, start_ns=start, duration_ms=48, error=broken)
        client = {"span": f"{trace} call", "parent": f"{trace}checkout", "kind": Span.SPAN_KIND_CLIENT}
        batch.add("checkout", "charge", trace=trace, start_ns=start, duration_ms=30, error=declined, **client)
        batch.add(
            "payment", "charge", trace=trace, parent=f"{trace} call", start_ns=start, duration_ms=25, error=declined
        )


@contextmanager
def up(folder: Path) -> Iterator[dict[str, str]]:
    """A real Homeostat."""
    (folder / "homeostat.yaml").write_text(CONFIG)
    ready = folder / "data" / "ready.json"
    command = [sys.executable, "-m", "homeostat.cli.main", "up", "--config", str(folder / "homeostat.yaml")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + DEADLINE_S
            while not ready.exists():
                assert process.poll() is None, "it ended before it was ready"
                assert time.monotonic() < deadline, "it was not ready in time"
                time.sleep(0.05)
            yield json.loads(ready.read_text())
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def _first_run(url: str, status: str) -> dict[str, Any]:
    deadline, seen = time.monotonic() + DEADLINE_S, None
    while time.monotonic() < deadline:
        runs = httpx2.get(f"{url}/api/runs", timeout=30.0).json()
        seen = runs[-1] if runs else None
        if seen is not None and seen["status"] == status:
            return seen
        time.sleep(0.1)
    raise AssertionError(f"no run became {status}: {json.dumps(seen, indent=1)}")


def test_the_act_is_taken_back_and_its_verdict_names_the_caller_with_its_figures(tmp_path: Path) -> None:
    with up(tmp_path) as ready:
        url = ready["url"]
        shop = Shop(url, ready["otlp_http"])
        shop.open()
        try:
            change = {"flag": FLAG, "value": True, "reason": "the fault"}
            httpx2.post(f"{url}/api/remediation/feature-flag", json=change, timeout=30.0).raise_for_status()
            run = _first_run(url, "undone")
        finally:
            shop.close()
        assert (run["step"]["action"], run["step"]["resource"]) == ("disable_flag", f"flag:{FLAG}")
        verdict = run["verdict"]
        assert verdict["helped"] is False
        assert verdict["harmed"] == ["checkout"]
        assert verdict["reason"].startswith("It did harm: checkout answers ")
        assert "0.0% before the incident" in verdict["reason"]
        assert "0.0% of" in verdict["reason"].partition("What it was to heal: ")[2]  # its own signal was good
        story = httpx2.get(f"{url}/api/incidents/{run['incident_id']}", timeout=30.0).json()["timeline"]
        assert {"not_helped", "undone"} <= {entry["kind"] for entry in story}
