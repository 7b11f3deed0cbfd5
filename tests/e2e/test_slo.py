"""Objectives as their user meets them: spans in, budget burnt, alert on the timeline, all of it through a restart."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

pytestmark = pytest.mark.e2e

COMMAND = [sys.executable, "-m", "homeostat.cli.main"]
CONFIG = """\
server: {port: 0, jaeger_query_port: null, prometheus_port: null}
receivers: {otlp_http_port: 0, otlp_grpc_port: null, jaeger_grpc_port: null, jaeger_http_port: null,
  jaeger_udp_compact_port: null, jaeger_udp_binary_port: null, zipkin_port: null}
storage: {path: data}
slo: {defaults: false, interval: 200ms}
"""
OPENSLO = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: shop, displayName: Shop works}
spec:
  service: shop
  indicator:
    metadata: {name: shop-sli}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: homeostat, spec: {signal: good_requests}}}
        total: {metricSource: {type: homeostat, spec: {signal: requests}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.99}]
"""
DEADLINE_S = 30.0
REQUESTS, FAILED = 50, 20


NOTIFICATION_TARGET = """\
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: pager}
spec: {target: email}
"""


@contextmanager
def up(folder: Path) -> Iterator[dict[str, str]]:
    """A real Homeostat over the folder."""
    ready_file = folder / "data" / "ready.json"
    command = [*COMMAND, "up", "--config", str(folder / "homeostat.yaml")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            until(lambda: ready_file.exists() or process.poll() is not None)
            assert process.poll() is None, "homeostat ended before it was ready"
            yield json.loads(ready_file.read_text())
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_S) == 0


def until(condition: Callable[[], Any]) -> Any:
    """What the condition answers once it is true; fails after a while."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come to be in time"
        time.sleep(0.05)
    return found


def serve(otlp_http: str) -> None:
    """Requests of ``shop``, some of which fail."""
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{otlp_http}/v1/traces")))
    for number in range(REQUESTS):
        with provider.get_tracer("test").start_as_current_span("GET /", kind=SpanKind.SERVER) as span:
            if number < FAILED:
                span.set_status(Status(StatusCode.ERROR))
    provider.shutdown()


def homeostat(url: str, *arguments: str, text: str | None = None) -> str:
    """A command's standard output."""
    done = subprocess.run(
        [*COMMAND, "slo", *arguments, "--url", url],
        input=text,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_burning_budget_is_told_and_survives_a_restart(tmp_path: Path) -> None:
    (tmp_path / "homeostat.yaml").write_text(CONFIG)
    with up(tmp_path) as ready:
        url = ready["url"]
        assert "made" in homeostat(url, "import", "-", text=OPENSLO)
        slo_id = json.loads(homeostat(url, "list", "--json"))[0]["id"]
        assert "unknown" in homeostat(url, "show", slo_id)
        serve(ready["otlp_http"])
        found = until(lambda: _counted(url, slo_id))
        assert found["state"] == "breached"
        assert found["current_percentage"] == pytest.approx(60)
        assert found["budget"]["remaining"] == pytest.approx(1 - 0.4 / 0.01)
        assert found["forecast"]["text"] == "spent"
        firing = {alert["name"]: alert["since"] for alert in found["alerts"] if alert["firing"]}
        assert "page 14.4x 1h/5m" in firing
        alerts = until(lambda: events if len(events := _events(url)) == len(firing) else None)
        assert {event["source"] for event in alerts} == {f"slo:{slo_id}"}
        shown = homeostat(url, "show", slo_id)
        assert "Budget left: -3,900.0 %; spent" in shown
        compatible = httpx2.get(f"{url}/api/observability/slo/{slo_id}", timeout=30.0).json()
        assert (compatible["status"], compatible["current_percentage"]) == ("breached", pytest.approx(60))
        assert 'service_name="shop"' in homeostat(url, "rules", slo_id)
    with up(tmp_path) as ready:
        url = ready["url"]
        again = until(lambda: _counted(url, slo_id))
        assert again["current_percentage"] == pytest.approx(60)
        assert {alert["name"]: alert["since"] for alert in again["alerts"] if alert["firing"]} == firing
        assert len(_events(url)) == len(alerts)
        text = homeostat(url, "delete", slo_id)
        assert json.loads(homeostat(url, "list", "--json")) == []
        until(lambda: all(event["ended_at"] for event in _events(url)))
        assert "made" in homeostat(url, "import", "-", text=text)
        told = homeostat(url, "import", "-", "--dry-run", text=text + NOTIFICATION_TARGET)
        assert "Note: body:" in told
        assert "'pager' is not used: alerts go where alerting" in told
        assert json.loads(homeostat(url, "list", "--json"))[0]["id"] == slo_id


def test_what_the_rules_ask_prometheus_for_is_what_homeostat_shows_it(tmp_path: Path) -> None:
    (tmp_path / "homeostat.yaml").write_text(CONFIG)
    quick = {"kind": "latency", "threshold_ms": 333.0}
    slo = {"name": "Quick", "service": "shop", "target_percentage": 99, "sli": quick}
    with up(tmp_path) as ready:
        url = ready["url"]
        homeostat(url, "import", "-", text=OPENSLO)
        assert httpx2.post(f"{url}/api/slos", json=slo, timeout=30.0).status_code == 201
        serve(ready["otlp_http"])
        for one in json.loads(homeostat(url, "list", "--json")):
            until(lambda slo_id=one["id"]: _counted(url, slo_id))
        shown = httpx2.get(f"{url}/metrics", timeout=30.0).text.splitlines()
        asked = set(re.findall(r"increase\((\w+)\{(.*?)\}\[", homeostat(url, "rules")))
        assert len(asked) == 4
        for metric, matchers in asked:
            wanted = matchers.split(",")
            found = [line for line in shown if line.startswith(f"{metric}{{") and all(one in line for one in wanted)]
            assert found, f"{metric}{{{matchers}}} is not shown"


def test_a_bad_openslo_file_is_named_before_anything_is_started(tmp_path: Path) -> None:
    (tmp_path / "slo.yaml").write_text(OPENSLO.replace("target: 0.99", "target: 99"))
    (tmp_path / "homeostat.yaml").write_text(CONFIG.replace("defaults: false", "files: [slo.yaml]"))
    for command in ("check", "up"):
        arguments = [str(tmp_path / "homeostat.yaml")]
        done = subprocess.run(
            [*COMMAND, command, *(["--config", *arguments] if command == "up" else arguments)],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == 2
        assert "slo.yaml:15: spec.objectives.0.target: 99 is not between" in done.stderr
        assert not (tmp_path / "data").exists()


def _counted(url: str, slo_id: str) -> dict[str, Any] | None:
    """The objective, once every request has been counted."""
    found = httpx2.get(f"{url}/api/slos/{slo_id}", timeout=30.0).json()["slo"]
    return found if found["total"] == REQUESTS else None


def _events(url: str) -> list[dict[str, Any]]:
    answer = httpx2.get(f"{url}/api/events", params={"type": "alert"}, timeout=30.0).json()
    events = [one["event"] for one in answer["events"]]
    return [event for event in events if event["source"].startswith("slo:")]
