"""Zipkin's clients are heard: py_zipkin in both encodings, OpenTelemetry's exporter, and what others may send."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import anyio.to_thread
import httpx2
import pytest
from opentelemetry.exporter.zipkin.json import ZipkinExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from py_zipkin import Encoding, Kind
from py_zipkin.request_helpers import create_http_headers
from py_zipkin.transport import SimpleHTTPTransport
from py_zipkin.zipkin import zipkin_client_span, zipkin_server_span

from homeostat.core.errors import StoreFullError
from homeostat.observe.intake import Receipt
from homeostat.observe.pipeline import Pipeline
from homeostat.observe.receivers.zipkin_http import ZipkinHttp
from support.foreign import RECORDED, RECORDED_TRACE, listening, refused, trace
from support.spans import NOON_S

JSON = {"content-type": "application/json"}
PROTOBUF = {"content-type": "application/x-protobuf"}
SPAN: dict[str, object] = {
    "traceId": "00000000000000000000000000000007",
    "id": "0000000000000001",
    "name": "get /",
    "timestamp": NOON_S * 10**6,
    "duration": 1500,
    "localEndpoint": {"serviceName": "shop"},
}


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    with listening(tmp_path) as running:
        yield running


async def _post(
    pipeline: Pipeline, content: bytes, headers: dict[str, str], path: str = "/api/v2/spans"
) -> httpx2.Response:
    async with httpx2.AsyncClient() as client:
        url = f"http://127.0.0.1:{pipeline.foreign.zipkin}{path}"
        return await client.post(url, content=content, headers=headers)


@pytest.mark.parametrize("encoding", [Encoding.V2_JSON, Encoding.V2_PROTO3])
async def test_py_zipkin_is_heard(pipeline: Pipeline, encoding: Encoding) -> None:
    transport = SimpleHTTPTransport("127.0.0.1", pipeline.foreign.zipkin or 0)

    def emit() -> str:
        with zipkin_server_span(
            "shop", "POST /pay", transport_handler=transport, sample_rate=100, port=8080, encoding=encoding
        ) as server:
            server.update_binary_annotations({"tenant": "acme"})
            with zipkin_client_span("shop", "charge") as client:
                client.add_sa_binary_annotation(9000, "bank", "10.0.0.5")
                client.add_annotation("retry", float(NOON_S))
            return create_http_headers()["X-B3-TraceId"] or ""

    found = await trace(pipeline, (await anyio.to_thread.run_sync(emit)).rjust(32, "0"), spans=2)
    server, client = sorted(found.spans, key=lambda span: span.name == "charge")
    assert (server.service, server.kind, server.parent_span_id) == ("shop", "server", None)
    assert (server.attributes["tenant"], server.attributes["net.host.port"]) == ("acme", "8080")
    assert (client.kind, client.parent_span_id) == ("client", server.span_id)
    assert client.attributes["peer.service"] == "bank"
    assert client.attributes["net.peer.ip"] == "10.0.0.5"
    assert [event.name for event in client.events] == ["retry"]
    assert Kind.SERVER.value.lower() == server.kind


async def test_opentelemetrys_exporter_is_heard(pipeline: Pipeline) -> None:
    def emit() -> str:
        provider = TracerProvider(resource=Resource.create({"service.name": "checkout", "host.name": "web-1"}))
        exporter = ZipkinExporter(endpoint=f"http://127.0.0.1:{pipeline.foreign.zipkin}/api/v2/spans")
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        with provider.get_tracer("lib", "1").start_as_current_span("GET /", kind=SpanKind.SERVER) as span:
            span.set_status(StatusCode.ERROR, "boom")
            span.add_event("tried", {"n": 2})
        provider.shutdown()
        return f"{span.get_span_context().trace_id:032x}"

    (span,) = (await trace(pipeline, await anyio.to_thread.run_sync(emit))).spans
    assert (span.service, span.resource["host.name"], span.scope) == ("checkout", "web-1", "lib")
    assert (span.status, span.status_message, span.kind) == ("error", "boom", "server")
    assert [(event.name, event.attributes) for event in span.events] == [("tried", {"n": "2"})]


@pytest.mark.parametrize(("name", "headers"), [("zipkin-json.http", JSON), ("zipkin-proto.http", PROTOBUF)])
async def test_older_exporters_were_understood(pipeline: Pipeline, name: str, headers: dict[str, str]) -> None:
    body = gzip.compress((RECORDED / name).read_bytes())
    response = await _post(pipeline, body, {**headers, "content-encoding": "gzip"})
    assert (response.status_code, response.content) == (202, b"")
    root, child = sorted((await trace(pipeline, RECORDED_TRACE, spans=2)).spans, key=lambda span: span.name)
    assert (root.name, root.kind, root.status, root.service) == ("POST /pay", "server", "ok", "checkout")
    assert (child.status, child.status_message, child.parent_span_id) == ("error", "card declined", root.span_id)
    assert child.events[0].name == "exception"


async def test_what_has_no_type_is_json_as_zipkin_has_it(pipeline: Pipeline) -> None:
    assert (await _post(pipeline, json.dumps([SPAN]).encode(), {"content-type": ""})).status_code == 202
    await trace(pipeline, str(SPAN["traceId"]))


async def test_it_says_that_it_is_up(pipeline: Pipeline) -> None:
    async with httpx2.AsyncClient() as client:
        response = await client.get(f"http://127.0.0.1:{pipeline.foreign.zipkin}/health")
    assert response.json() == {"status": "UP"}


@pytest.mark.parametrize(
    ("content", "headers", "path", "status", "reason", "says"),
    [
        (b"{}", JSON, "/api/v2/spans", 400, "malformed", "list"),
        (b"[{}]", JSON, "/api/v2/spans", 400, "malformed", "0.traceId"),
        (b"[", JSON, "/api/v2/spans", 400, "malformed", "EOF"),
        (json.dumps([SPAN | {"id": "xyz"}]).encode(), JSON, "/api/v2/spans", 400, "malformed", "'xyz'"),
        (json.dumps([SPAN | {"traceId": "1" * 33}]).encode(), JSON, "/api/v2/spans", 400, "malformed", "32"),
        (json.dumps([SPAN | {"timestamp": -1}]).encode(), JSON, "/api/v2/spans", 400, "malformed", "timestamp"),
        (json.dumps([SPAN | {"name": "\ud800"}]).encode(), JSON, "/api/v2/spans", 400, "malformed", "hex escape"),
        (b"[" * 100_000, JSON, "/api/v2/spans", 400, "malformed", ""),
        (b"[" + b"{}," * 250_000 + b"{}]", JSON, "/api/v2/spans", 400, "malformed", "200000"),
        (b"\x0a\xff", PROTOBUF, "/api/v2/spans", 400, "malformed", ""),
        (b"[]", {"content-type": "text/plain"}, "/api/v2/spans", 415, "content_type", "application/json"),
        (b"[]", JSON, "/api/v1/spans", 404, "unknown_path", "/api/v2/spans"),
        (bytes((1 << 20) + 1), JSON, "/api/v2/spans", 413, "too_large", "max_request_mib"),
    ],
)
async def test_what_can_not_be_taken_is_refused_with_a_reason(
    pipeline: Pipeline, content: bytes, headers: dict[str, str], path: str, status: int, reason: str, says: str
) -> None:
    response = await _post(pipeline, content, headers, path)
    assert response.status_code == status
    assert says in response.text
    assert pipeline.counters.refused == {reason: 1}


async def test_spans_that_never_were_are_counted_each_and_once_although_the_request_comes_again() -> None:
    never = [SPAN | {"id": f"{number + 2:x}", "timestamp": None, "duration": None} for number in range(1000)]
    body = json.dumps([SPAN, *never]).encode()
    counted: list[tuple[str, int]] = []
    answers: list[Exception] = [StoreFullError("No room. Retry later.")]

    async def submit(payload: bytes) -> Receipt:
        if answers:
            raise answers.pop()
        return Receipt(1, 0)

    app = ZipkinHttp(submit, lambda reason, count=1, /: counted.append((reason, count)), max_request_bytes=1 << 20)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://here") as client:
        first = await client.post("/api/v2/spans", content=body, headers=JSON)
        second = await client.post("/api/v2/spans", content=body, headers=JSON)
    assert (first.status_code, second.status_code) == (503, 202)
    assert counted == [("full", 1), ("span_without_time", 1000)]


async def test_a_span_that_was_never_is_counted_and_its_neighbours_are_kept(pipeline: Pipeline) -> None:
    body = json.dumps([SPAN, SPAN | {"id": "2", "timestamp": None, "duration": None}]).encode()
    assert (await _post(pipeline, body, JSON)).status_code == 202
    assert await refused(pipeline, "span_without_time") == 1
    assert len((await trace(pipeline, str(SPAN["traceId"]))).spans) == 1
