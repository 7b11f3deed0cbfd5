"""A running Homeostat: submitted telemetry becomes events, alerts reach a real Alertmanager, restarts keep them."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

from homeostat.api.app import create_api
from homeostat.app import Homeostat, running
from homeostat.core.config import Config, ReceiverConfig
from homeostat.runtime import SystemClock
from homeostat.server import api_parts
from support.alertmanager import needs_alertmanager, real_alertmanager

BOTH = pytest.mark.parametrize("prefix", ["/api/v3/observability", "/api/observability"])
WITHIN_S = 40.0


def a_config(folder: Path, **more: object) -> Config:
    given = {
        "server": {"port": 0},
        "receivers": ReceiverConfig.only(otlp_http_port=0),
        "storage": {"path": folder / "data"},
        "sampling": {"enabled": False},
    }
    return Config.model_validate(given | more)


@asynccontextmanager
async def homeostat(config: Config) -> AsyncGenerator[tuple[Homeostat, httpx2.AsyncClient]]:
    async with running(config, SystemClock()) as found:
        api = create_api(api_parts(found))
        transport = httpx2.ASGITransport(api)
        async with (
            api.router.lifespan_context(api),
            httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:4000", timeout=20) as client,
        ):
            yield found, client


async def until(question: Callable[[], Awaitable[Any]], within_s: float = WITHIN_S) -> Any:
    """The first answer that is something."""
    with anyio.fail_after(within_s):
        while True:
            answer = await question()
            if answer:
                return answer
            await anyio.sleep(0.1)


@BOTH
async def test_the_compatible_interface_answers_with_what_was_told_and_nothing_else(
    tmp_path: Path, prefix: str
) -> None:
    async with homeostat(a_config(tmp_path)) as (_, client):
        await until(lambda: _is_active(client, f"{prefix}/"))
        assert (await client.get(prefix)).status_code == 200
        assert (await client.get(f"{prefix}/health")).json()["status"] == "healthy"
        unknown = (await client.get(f"{prefix}/service/shop/health")).json()
        assert (unknown["status"], unknown["availability"], unknown["active_alerts"]) == ("unknown", None, 0)

        query = {"service_name": "shop", "operation": "GET /"}
        one = (await client.post(f"{prefix}/trace", params=query)).json()
        assert (one["span_count"], one["service_count"], one["error_count"]) == (1, 1, 0)
        body = {"service_name": "shop", "operation": "POST /", "duration_ms": 40.0, "error": "no"}
        other = (await client.post(f"{prefix}/trace", json=body)).json()
        assert (await client.get(f"{prefix}/trace/{one['trace_id']}")).json() == one
        assert (await client.get(f"{prefix}/trace/{other['trace_id'].upper()}")).json() == other
        listed = (await client.get(f"{prefix}/traces", params={"service": "shop"})).json()
        assert {trace["trace_id"] for trace in listed} == {one["trace_id"], other["trace_id"]}
        assert (await client.get(f"{prefix}/traces", params={"service": ""})).json() == listed
        assert (await client.get(f"{prefix}/traces", params={"service": "other"})).json() == []
        for wrong in ("ab" * 16, "nonsense"):
            answer = await client.get(f"{prefix}/trace/{wrong}")
            assert (answer.status_code, answer.json()["detail"]) == (404, "Trace not found")
        shop = await until(lambda: _known(client, f"{prefix}/service/shop/health"))
        assert (shop["status"], shop["availability"], shop["error_rate"]) == ("down", 50.0, 50.0)
        assert shop["request_rate"] == pytest.approx(2 / 300)

        query = {"name": "queue_length", "value": 7, "unit": "1"}
        told = (await client.post(f"{prefix}/metric", params=query)).json()
        assert (told["type"], told["value"]) == ("gauge", 7.0)
        for kind in ("counter", "histogram", "summary"):
            body = {"name": f"a_{kind}", "value": 3.5, "type": kind, "labels": {"service": "shop"}}
            assert (await client.post(f"{prefix}/metric", json=body)).status_code == 200
        listed = (await client.get(f"{prefix}/metrics")).json()
        assert {one["name"]: (one["type"], round(one["value"], 9)) for one in listed} == {
            "queue_length": ("gauge", 7.0),
            "a_counter": ("counter", 3.5),
            "a_histogram": ("histogram", 3.5),
            "a_summary": ("summary", 3.5),
        }
        (only,) = (await client.get(f"{prefix}/metrics", params={"name": "a_counter"})).json()
        assert only["labels"]["service"] == "shop"

        await client.post("/api/events", json={"title": "shop 2", "services": ["shop"]})
        found = (await client.get(f"{prefix}/correlate", params={"time_window": 5})).json()
        assert (found["time_window_minutes"], found["events_found"]) == (5, 1)
        assert found["events"][0]["event_type"] == "deployment"
        board = (await client.get(f"{prefix}/dashboard")).json()
        assert board["total_metrics"] == 4
        assert board["total_traces"] == 2
        assert [one["service_name"] for one in board["services_health"]] == ["shop"]
        assert board["services_health"][0]["last_deployment"] is not None
        assert {one["status"] for one in board["slos"]} <= {"unknown", "breached", "healthy"}
        for path, json in (("trace", {"operation": "x"}), ("metric", {"name": "x"}), ("metric", {"value": 1})):
            assert (await client.post(f"{prefix}/{path}", json=json)).status_code == 422


async def _is_active(client: httpx2.AsyncClient, path: str) -> bool:
    return (await client.get(path)).json()["status"] == "active"


async def _known(client: httpx2.AsyncClient, path: str) -> dict[str, Any] | None:
    found = (await client.get(path)).json()
    return found if found["status"] != "unknown" else None


def _send(url: str, version: str, failing: int) -> None:
    """Thirty requests to ``payment``, by OpenTelemetry's own SDK."""
    provider = TracerProvider(resource=Resource({"service.name": "payment", "service.version": version}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces")))
    tracer = provider.get_tracer("test")
    for number in range(30):
        with tracer.start_as_current_span("POST /pay", kind=SpanKind.SERVER) as span:
            if number < failing:
                span.set_status(StatusCode.ERROR, "declined")
    provider.shutdown()


async def test_a_submitted_error_rate_above_the_limit_is_an_alert(tmp_path: Path) -> None:
    async with homeostat(a_config(tmp_path)) as (_, client):
        body = {"name": "error_rate", "value": 7.5, "labels": {"service": "shop"}}
        await client.post("/api/observability/metric", json=body)
        (event,) = await until(lambda: _events_found(client))
        assert (event["title"], event["severity"]) == ("Elevated Error Rate", "critical")
        assert (event["affected_services"], event["related_metrics"]) == (["shop"], ["error_rate"])


async def _events_found(client: httpx2.AsyncClient) -> list[dict[str, Any]]:
    return (await client.get("/api/observability/correlate")).json()["events"]


@needs_alertmanager
async def test_a_release_that_fails_is_found_blamed_and_told_to_the_alertmanager(tmp_path: Path) -> None:
    async with real_alertmanager(tmp_path) as there:
        config = a_config(tmp_path, alerting={"alertmanager_url": there.url, "interval": "1s"})
        async with homeostat(config) as (found, client):
            url = found.otlp_http_url
            assert url is not None
            await anyio.to_thread.run_sync(_send, url, "1.0", 0)
            await anyio.to_thread.run_sync(_send, url, "1.1", 15)
            message = await there.hook.until("firing", "ElevatedErrorRate", WITHIN_S)
            alert = message["alerts"][0]
            assert (alert["labels"]["service"], alert["labels"]["severity"]) == ("payment", "critical")

            listed = (await client.get("/api/events", params={"type": "alert"})).json()["events"]
            event = next(one["event"] for one in listed if one["event"]["title"] == "Elevated Error Rate")
            example = await client.get(f"/api/traces/{event['traces'][0]}")
            assert example.json()["spans"][0]["status"] == "error"
            changes = (await client.get("/api/changes", params={"service": "payment"})).json()
            assert changes[0]["event"]["title"] == "payment runs 1.1"

            window = {"minutes": 5, "services": ["payment"], "reason": "rolled back", "who": "ann"}
            await client.post("/api/maintenance", json=window)
            await there.hook.until("resolved", "ElevatedErrorRate", WITHIN_S)
            status = (await client.get("/api/alertmanager/status")).json()
            assert (status["problem"], status["muted"] > 0) == (None, True)

            own = await client.post("/api/alertmanager/webhook", json=message)
            assert own.json()["recorded"] == 0
        async with homeostat(config) as (_, client):  # what lasted at the stop is taken up again
            (window,) = (await client.get("/api/maintenance")).json()
            assert window["reason"] == "rolled back"
            events = (await client.get("/api/events")).json()["events"]
            assert [one["event"]["id"] for one in events].count(event["id"]) == 1
            assert datetime.fromisoformat(event["time"]) < datetime.now(UTC)
