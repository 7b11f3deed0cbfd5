"""Spans sent by OpenTelemetry's own exporter, asked for on the command line and through Jaeger's interface."""

import json
import subprocess
import time
from pathlib import Path

import httpx2
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, format_trace_id

from e2e.test_up import COMMAND, DEADLINE_S, FREE_PORTS, _up, _write

pytestmark = pytest.mark.e2e

ORDERS = 12


def _send(otlp_http: str) -> list[str]:
    """Orders of which every third takes another road; their trace ids."""
    provider = TracerProvider(resource=Resource.create({"service.name": "orders"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{otlp_http}/v1/traces")))
    tracer = provider.get_tracer("test")
    ids: list[str] = []
    for number in range(ORDERS):
        with tracer.start_as_current_span("POST /order", kind=SpanKind.SERVER, attributes={"n": number}) as span:
            if number % 3 == 0:
                with tracer.start_as_current_span("look-up", attributes={"cache": "miss"}) as inner:
                    inner.add_event("Cache was COLD")
            ids.append(format_trace_id(span.get_span_context().trace_id))
    provider.shutdown()
    return ids


def _asked(url: str, *arguments: str) -> str:
    done = subprocess.run(
        [*COMMAND, "traces", *arguments, "--url", url],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _wait_for(url: str, count: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    asked = {"service": "orders", "limit": 100}
    while len(httpx2.get(f"{url}/api/traces", params=asked, timeout=30.0).json()["traces"]) < count:
        assert time.monotonic() < deadline, "the traces have not arrived"
        time.sleep(0.05)


def test_traces_are_searched_compared_and_explained(tmp_path: Path) -> None:
    ports = FREE_PORTS.replace("jaeger_query_port: null", "jaeger_query_port: 0")
    with _up(_write(tmp_path, ports + "sampling: {enabled: false}\n")) as ready:
        ids = _send(ready["otlp_http"])
        url = ready["url"]
        _wait_for(url, ORDERS)

        page = json.loads(_asked(url, "search", "--service", "orders", "--limit", "5", "--json"))
        rest = json.loads(_asked(url, "search", "--limit", "50", "--cursor", page["next_cursor"], "--json"))
        assert [trace["trace_id"] for trace in page["traces"] + rest["traces"]] == ids[::-1]
        assert _asked(url, "search", "--text", "was cold").count("POST /order") == ORDERS // 3
        assert _asked(url, "search", "--attribute", "n=7").count("POST /order") == 1
        assert "look-up" in _asked(url, "show", ids[0])
        assert "1 added" in _asked(url, "compare", ids[1], ids[3])
        assert "SELF MS" in _asked(url, "bottlenecks")
        why = _asked(url, "why-slow", "--service", "orders", "--threshold-ms", "0")
        assert f"{ORDERS} traces in question" in why
        assert "nothing to compare" in why

        jaeger = ready["jaeger_query"]
        assert httpx2.get(f"{jaeger}/api/services", timeout=30.0).json()["data"] == ["orders"]
        found = httpx2.get(
            f"{jaeger}/api/traces", params={"service": "orders", "tags": '{"cache":"miss"}'}, timeout=30.0
        ).json()
        assert [trace["traceID"] for trace in found["data"]] == ids[::3][::-1]
