"""OTLP over HTTP answers as the specification asks: a real server, real sockets, every encoding."""

import gzip
import json
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import anyio
import cramjam
import httpx2
import pytest
from anyio.from_thread import start_blocking_portal
from backports import zstd
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from homeostat.core.config import ReceiverConfig, StorageConfig
from homeostat.core.models import TraceQuery
from homeostat.observe.pipeline import Pipeline, running
from support.spans import NOON, HandClock, S, body, request, trace_hex

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    receivers = ReceiverConfig.only(otlp_http_port=0, max_request_mib=1)
    path = running(receivers, StorageConfig(path=tmp_path, min_free_mib=1), HandClock())
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(path) as running_pipeline:
        yield running_pipeline


async def _post(
    pipeline: Pipeline, content: bytes, headers: Mapping[str, str], path: str = "/v1/traces"
) -> httpx2.Response:
    async with httpx2.AsyncClient() as client:
        return await client.post(
            f"http://127.0.0.1:{pipeline.http_port}{path}", content=content, headers=dict(headers)
        )


def _json_body(spans: list[dict[str, object]]) -> bytes:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}).encode()


JSON_SPAN: dict[str, object] = {
    "traceId": "5B8EFFF798038103D269B633813FC60C",
    "spanId": "EEE19B7EC3C1B174",
    "name": "GET /",
    "kind": 2,
    "startTimeUnixNano": "1544712660000000000",
    "endTimeUnixNano": "1544712661000000000",
    "attributes": [
        {"key": "n", "value": {"intValue": "9007199254740993"}},
        {"key": "l", "value": {"arrayValue": {"values": [{"boolValue": True}]}}},
    ],
    "links": [{"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174"}],
    "somethingNew": 1,
}


@pytest.mark.parametrize("compress", [False, True])
async def test_protobuf_is_acknowledged_with_an_empty_response_and_can_be_found(
    pipeline: Pipeline, compress: bool
) -> None:
    content = body([S(1, 1), S(1, 2, parent=1)])
    headers = PROTOBUF | ({"content-encoding": "gzip"} if compress else {})
    response = await _post(pipeline, gzip.compress(content) if compress else content, headers)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-protobuf"
    assert ExportTraceServiceResponse.FromString(response.content) == ExportTraceServiceResponse()
    trace = await pipeline.store.trace(trace_hex(1))
    assert trace is not None
    assert len(trace.spans) == 2
    assert pipeline.counters.spans_received == 2


async def test_json_is_read_by_the_mapping_of_the_specification(pipeline: Pipeline) -> None:
    response = await _post(pipeline, _json_body([JSON_SPAN]), {"content-type": "application/json; charset=utf-8"})
    assert (response.status_code, response.json()) == (200, {})
    trace = await pipeline.store.trace("5b8efff798038103d269b633813fc60c")
    assert trace is not None
    (span,) = trace.spans
    assert (span.span_id, span.kind, span.duration_ms) == ("eee19b7ec3c1b174", "server", 1000.0)
    assert span.attributes == {"n": "9007199254740993", "l": "[true]"}
    assert span.links[0].trace_id == "5b8efff798038103d269b633813fc60c"
    assert span.service == "shop"


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
async def test_spans_that_can_not_be_are_told_and_the_rest_is_kept(pipeline: Pipeline, encoding: str) -> None:
    if encoding == "json":
        spans = [JSON_SPAN, {**JSON_SPAN, "traceId": "00" * 16}, {**JSON_SPAN, "spanId": "ab"}]
        response = await _post(pipeline, _json_body(spans), JSON)
        partial = response.json()["partialSuccess"]
        assert partial["rejectedSpans"] == "2"
        message = partial["errorMessage"]
    else:
        built = request([S(1, 1)])
        for _ in range(2):
            built.resource_spans[0].scope_spans[0].spans.add(trace_id=b"short", span_id=b"s" * 8)
        response = await _post(pipeline, built.SerializeToString(), PROTOBUF)
        partial = ExportTraceServiceResponse.FromString(response.content).partial_success
        assert partial.rejected_spans == 2
        message = partial.error_message
    assert response.status_code == 200
    assert "2 of 3 spans" in message
    assert pipeline.counters.spans_received == 1
    assert pipeline.counters.refused == ({"zero_id": 1, "id_length": 1} if encoding == "json" else {"id_length": 2})


def _bomb() -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(squeeze.compress(bytes(1 << 20)) for _ in range(64)), squeeze.flush()])


GZIP = {"content-encoding": "gzip"}


@pytest.mark.parametrize(
    ("content", "headers", "status", "says"),
    [
        (b"\xff\xff\xff", PROTOBUF, 400, "not an ExportTraceServiceRequest"),
        (body([S()])[:-2], PROTOBUF, 400, "not an ExportTraceServiceRequest"),
        (b"{}", {"content-type": "text/plain"}, 415, "Content-Type"),
        (b"{}", {}, 415, "Content-Type"),
        (body([S()]), PROTOBUF | {"content-encoding": "br"}, 415, "gzip"),
        (b"not gzip", PROTOBUF | GZIP, 400, "not gzip"),
        (gzip.compress(body([S()]))[:-9], PROTOBUF | GZIP, 400, "too early"),
        (_bomb(), PROTOBUF | GZIP, 413, "1 MiB"),
        (bytes((1 << 20) + 1), PROTOBUF, 413, "1 MiB"),
        (b"{", JSON, 400, "not OTLP/JSON"),
        (b"[]", JSON, 400, "not a JSON object"),
        (b"[" * 100_000, JSON, 400, "not OTLP/JSON"),
        (b'{"resourceSpans": 3}', JSON, 400, "not OTLP/JSON"),
        (_json_body([{**JSON_SPAN, "name": 3}]), JSON, 400, "not OTLP/JSON"),
        (b"\xff\xfe{", JSON, 400, "not OTLP/JSON"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else type(value).__name__,
)
async def test_what_can_not_be_accepted_is_refused_in_the_encoding_of_the_request(
    pipeline: Pipeline, content: bytes, headers: dict[str, str], status: int, says: str
) -> None:
    response = await _post(pipeline, content, headers)
    assert response.status_code == status
    if headers.get("content-type") == "application/x-protobuf":
        message = Status.FromString(response.content)
        assert message.code > 0
        assert says in message.message
    else:
        assert response.json()["code"] > 0
        assert says in response.json()["message"]
    assert sum(pipeline.counters.refused.values()) == 1
    good = await _post(pipeline, body([S()]), PROTOBUF)
    assert good.status_code == 200, "nothing else is lost"


async def test_a_body_without_a_length_is_bounded_as_well(pipeline: Pipeline) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield bytes(64 << 10)

    async with httpx2.AsyncClient() as client:
        url = f"http://127.0.0.1:{pipeline.http_port}/v1/traces"
        try:
            response = await client.post(url, content=endless(), headers=PROTOBUF)
            assert response.status_code == 413
        except httpx2.TransportError:
            pass  # the connection was closed while we were still sending: as good
    assert pipeline.counters.refused == {"too_large": 1}


@pytest.mark.parametrize("path", ["/v1/profiles", "/", "/v1/traces/"])
async def test_other_paths_say_what_is_accepted(pipeline: Pipeline, path: str) -> None:
    response = await _post(pipeline, b"", PROTOBUF, path)
    assert response.status_code == 404
    assert "/v1/traces" in Status.FromString(response.content).message


async def test_only_post_is_allowed(pipeline: Pipeline) -> None:
    async with httpx2.AsyncClient() as client:
        response = await client.get(f"http://127.0.0.1:{pipeline.http_port}/v1/traces")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


async def test_an_empty_request_is_a_success(pipeline: Pipeline) -> None:
    assert (await _post(pipeline, b"", PROTOBUF)).status_code == 200
    assert (await _post(pipeline, b"{}", JSON)).status_code == 200


async def test_a_full_disk_is_told_as_a_retryable_error_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    receivers = ReceiverConfig.only(otlp_http_port=0)
    async with running(receivers, StorageConfig(path=tmp_path, min_free_mib=1), HandClock()) as pipeline:
        assert (await _post(pipeline, body([S(1, 1)]), PROTOBUF)).status_code == 200
    full = StorageConfig(path=tmp_path, min_free_mib=1 << 40)
    async with running(receivers, full, HandClock()) as pipeline:
        response = await _post(pipeline, body([S(2, 2)]), PROTOBUF)
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) > 0
        assert Status.FromString(response.content).code == 14
        assert pipeline.storage_status().state == "full"
        assert pipeline.counters.refused == {"full": 1}
        assert await pipeline.store.trace(trace_hex(1)) is not None
    async with running(receivers, StorageConfig(path=tmp_path, min_free_mib=1), HandClock()) as pipeline:
        assert pipeline.storage_status().state == "ok"
        assert (await _post(pipeline, body([S(2, 2)]), PROTOBUF)).status_code == 200
        for trace in (1, 2):
            assert await pipeline.store.trace(trace_hex(trace)) is not None


async def test_many_senders_at_once_are_all_answered_and_a_bad_one_disturbs_none(pipeline: Pipeline) -> None:
    statuses: list[int] = []

    async def send(client: httpx2.AsyncClient, number: int) -> None:
        content = b"\xff\xff" if number % 10 == 9 else body([S(number + 1, 1)])
        response = await client.post(
            f"http://127.0.0.1:{pipeline.http_port}/v1/traces", content=content, headers=PROTOBUF
        )
        statuses.append(response.status_code)

    async with httpx2.AsyncClient() as client, anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(send, client, number)
    assert sorted(statuses) == [200] * 90 + [400] * 10
    found = await pipeline.store.search(TraceQuery(start=NOON.replace(hour=0), end=NOON.replace(hour=23), limit=500))
    assert len(found.traces) == 90


def _deflate(data: bytes) -> bytes:
    return zlib.compress(data)


def _raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKERS = {
    "gzip": gzip.compress,
    "zstd": zstd.compress,
    "deflate": _deflate,
    "deflate without header": _raw_deflate,
    "snappy": lambda data: bytes(cramjam.snappy.compress_raw(data)),
}


@pytest.mark.parametrize("packing", PACKERS)
async def test_every_packing_is_taken_and_bounded_and_what_is_broken_is_refused(
    pipeline: Pipeline, packing: str
) -> None:
    headers = PROTOBUF | {"content-encoding": packing.split(maxsplit=1)[0]}
    pack = PACKERS[packing]
    assert (await _post(pipeline, pack(body([S(1, 1)])), headers)).status_code == 200
    assert await pipeline.store.trace(trace_hex(1)) is not None
    bomb = await _post(pipeline, pack(bytes(30 << 20)), headers)
    assert bomb.status_code == 413
    broken = await _post(pipeline, b"\x28\xb5" + b"\xff" * 40, headers)
    assert broken.status_code in {400, 413}, broken.text
    cut = await _post(pipeline, pack(body([S(2, 1)]))[:-3], headers)
    assert cut.status_code == 400


LOOPBACK_PAGE = "http://localhost:5173"


async def test_a_page_of_this_machine_may_send_and_is_told_so_beforehand(pipeline: Pipeline) -> None:
    async with httpx2.AsyncClient() as client:
        url = f"http://127.0.0.1:{pipeline.http_port}/v1/traces"
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type,x-y"}
        preflight = await client.options(url, headers={"origin": LOOPBACK_PAGE, **asked})
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == LOOPBACK_PAGE
        assert preflight.headers["access-control-allow-headers"] == "content-type,x-y"
    sent = await _post(pipeline, body([S()]), PROTOBUF | {"origin": LOOPBACK_PAGE})
    assert (sent.status_code, sent.headers["access-control-allow-origin"]) == (200, LOOPBACK_PAGE)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://localhost.evil.example", "null", "http://[", "ftp://localhost"]
)
async def test_a_page_from_anywhere_else_is_not_told_that_it_may(pipeline: Pipeline, origin: str) -> None:
    async with httpx2.AsyncClient() as client:
        url = f"http://127.0.0.1:{pipeline.http_port}/v1/traces"
        answer = await client.options(url, headers={"origin": origin, "access-control-request-method": "POST"})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
