"""Jaeger's clients are heard on all of Jaeger's ports: real ones where they can be installed, recorded ones else."""

import gzip
import socket
from collections.abc import Iterator
from pathlib import Path

import anyio.to_thread
import grpc
import grpc.aio
import httpx2
import jaeger_client
import pytest
from jaeger_client.thrift_gen.agent import Agent
from jaeger_client.thrift_gen.jaeger import ttypes
from opentracing.ext import tags as ot_tags
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TCompactProtocol import TCompactProtocol
from thrift.Thrift import TMessageType
from thrift.transport.THttpClient import THttpClient
from thrift.transport.TTransport import TMemoryBuffer

from homeostat.core.errors import PortTakenError
from homeostat.core.models import Trace
from homeostat.net import bind, bind_udp, bound_port
from homeostat.observe.pipeline import Pipeline
from homeostat.observe.receivers.jaeger_http import JaegerHttp
from support.foreign import RECORDED, RECORDED_TRACE, listening, refused, trace
from support.spans import NOON_S

POST_SPANS = "/jaeger.api_v2.CollectorService/PostSpans"
THRIFT = {"content-type": "application/x-thrift"}


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    with listening(tmp_path) as running:
        yield running


def _batch(low: int = 7, high: int = 0) -> ttypes.Batch:
    string = ttypes.TagType.STRING
    span = ttypes.Span(
        traceIdLow=low,
        traceIdHigh=high,
        spanId=3,
        parentSpanId=0,
        operationName="GET /",
        flags=1,
        startTime=NOON_S * 10**6,
        duration=1500,
        tags=[ttypes.Tag("span.kind", string, "server")],
    )
    return ttypes.Batch(ttypes.Process("shop", [ttypes.Tag("hostname", string, "web-1")]), [span])


def _written(batch: ttypes.Batch, protocol: type[TBinaryProtocol] | type[TCompactProtocol]) -> bytes:
    buffer = TMemoryBuffer()
    batch.write(protocol(buffer))
    return buffer.getvalue()


def _emitted(batch: ttypes.Batch, protocol: type[TBinaryProtocol] | type[TCompactProtocol]) -> bytes:
    buffer = TMemoryBuffer()
    out = protocol(buffer)
    out.writeMessageBegin("emitBatch", TMessageType.ONEWAY, 0)
    Agent.emitBatch_args(batch=batch).write(out)
    out.writeMessageEnd()
    return buffer.getvalue()


def _datagram(port: int | None, data: bytes) -> None:
    assert port is not None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(data, ("127.0.0.1", port))


async def _post(
    pipeline: Pipeline, content: bytes, headers: dict[str, str] = THRIFT, path: str = "/api/traces"
) -> httpx2.Response:
    async with httpx2.AsyncClient() as client:
        url = f"http://127.0.0.1:{pipeline.foreign.jaeger_http}{path}"
        return await client.post(url, content=content, headers=headers)


async def _post_spans(pipeline: Pipeline, content: bytes) -> bytes:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{pipeline.foreign.jaeger_grpc}") as channel:
        return await channel.unary_unary(POST_SPANS)(content)


async def test_jaegers_own_client_is_heard_over_udp(pipeline: Pipeline) -> None:
    settings = {
        "sampler": {"type": "const", "param": 1},
        "local_agent": {"reporting_host": "127.0.0.1", "reporting_port": pipeline.foreign.jaeger_udp_compact},
        "generate_128bit_trace_id": True,
        "tags": {"zone": "north"},
    }

    tracer = jaeger_client.Config(config=settings, service_name="shop", validate=True).new_tracer()
    with tracer.start_span("parent", tags={ot_tags.SPAN_KIND: ot_tags.SPAN_KIND_RPC_SERVER, "n": 5}) as parent:
        with tracer.start_span("child", child_of=parent) as child:
            child.set_tag("error", True)
            child.log_kv({"event": "retry", "attempt": 2})
        trace_id = f"{parent.trace_id:032x}"
    tracer.close()  # its own thread sends what there is

    found = await trace(pipeline, trace_id, spans=2)
    parent, child = sorted(found.spans, key=lambda span: span.name == "child")
    assert (parent.service, parent.kind, parent.attributes["n"]) == ("shop", "server", "5")
    assert parent.resource["zone"] == "north"
    assert "host.name" in parent.resource
    assert (child.parent_span_id, child.status) == (parent.span_id, "error")
    assert [(event.name, event.attributes) for event in child.events] == [("retry", {"attempt": "2"})]


async def test_apaches_http_client_is_answered(pipeline: Pipeline) -> None:
    def submit() -> int:
        client = THttpClient(f"http://127.0.0.1:{pipeline.foreign.jaeger_http}/api/traces?format=jaeger.thrift")
        _batch(low=8, high=9).write(TBinaryProtocol(client))
        client.flush()
        return int(client.code)

    assert await anyio.to_thread.run_sync(submit) == 202
    (span,) = (await trace(pipeline, "00000000000000090000000000000008")).spans
    assert (span.service, span.name, span.kind, span.duration_ms) == ("shop", "GET /", "server", 1.5)
    assert span.resource["host.name"] == "web-1"


@pytest.mark.parametrize("kind", ["application/vnd.apache.thrift.binary", "application/vnd.apache.thrift.compact"])
async def test_both_protocols_are_read_over_http_whatever_the_type_says(pipeline: Pipeline, kind: str) -> None:
    for low, protocol in ((1, TBinaryProtocol), (2, TCompactProtocol)):
        response = await _post(pipeline, _written(_batch(low), protocol), {"content-type": kind})
        assert (response.status_code, response.content) == (202, b"")
        await trace(pipeline, f"{low:032x}")


async def test_a_batch_may_be_gzipped(pipeline: Pipeline) -> None:
    body = gzip.compress(_written(_batch(), TBinaryProtocol))
    assert (await _post(pipeline, body, {**THRIFT, "content-encoding": "gzip"})).status_code == 202
    await trace(pipeline, f"{7:032x}")


async def test_the_binary_port_takes_the_binary_protocol_and_counts_the_other(pipeline: Pipeline) -> None:
    _datagram(pipeline.foreign.jaeger_udp_binary, _emitted(_batch(), TBinaryProtocol))
    await trace(pipeline, f"{7:032x}")
    _datagram(pipeline.foreign.jaeger_udp_binary, _emitted(_batch(), TCompactProtocol))
    _datagram(pipeline.foreign.jaeger_udp_compact, b"")
    assert await refused(pipeline, "malformed") >= 1


def _assert_recorded(found: Trace) -> None:
    """What the README beside the recordings says."""
    root, child = sorted(found.spans, key=lambda span: span.name)
    assert (root.name, root.kind, root.status, root.service) == ("POST /pay", "server", "ok", "checkout")
    assert (child.name, child.kind, child.status, child.status_message) == (
        "charge",
        "client",
        "error",
        "card declined",
    )
    assert child.parent_span_id == root.span_id
    assert {root.attributes["http.status_code"], root.attributes["ok"].lower()} == {"500", "false"}
    assert root.scope == "shop.checkout"
    assert root.links[0].span_id == f"{0xDEF:016x}"
    (event,) = child.events
    assert (event.name, event.attributes) == ("exception", {"exception.message": "declined"})
    assert round(root.duration_ms) == 9


async def test_opentelemetrys_grpc_exporter_was_understood(pipeline: Pipeline) -> None:
    assert await _post_spans(pipeline, (RECORDED / "jaeger-proto.grpc").read_bytes()) == b""
    _assert_recorded(await trace(pipeline, RECORDED_TRACE, spans=2))


async def test_opentelemetrys_thrift_exporter_was_understood_over_http(pipeline: Pipeline) -> None:
    assert (await _post(pipeline, (RECORDED / "jaeger-thrift-binary.http").read_bytes())).status_code == 202
    _assert_recorded(await trace(pipeline, RECORDED_TRACE, spans=2))


async def test_opentelemetrys_thrift_exporter_was_understood_over_udp(pipeline: Pipeline) -> None:
    _datagram(pipeline.foreign.jaeger_udp_compact, (RECORDED / "jaeger-thrift-compact.udp").read_bytes())
    _assert_recorded(await trace(pipeline, RECORDED_TRACE, spans=2))


@pytest.mark.parametrize(
    ("content", "headers", "path", "status", "reason"),
    [
        (b"\x0c\x00", THRIFT, "/api/traces", 400, "malformed"),
        (b"", THRIFT, "/api/traces", 400, "malformed"),
        (b"{}", {"content-type": "application/json"}, "/api/traces", 415, "content_type"),
        (b"", THRIFT, "/api/spans", 404, "unknown_path"),
        (bytes((1 << 20) + 1), THRIFT, "/api/traces", 413, "too_large"),
        (gzip.compress(bytes(2 << 20)), {**THRIFT, "content-encoding": "gzip"}, "/api/traces", 413, "too_large"),
        (b"no gzip", {**THRIFT, "content-encoding": "gzip"}, "/api/traces", 400, "gzip"),
    ],
)
async def test_what_can_not_be_taken_over_http_is_refused_with_a_reason(
    pipeline: Pipeline, content: bytes, headers: dict[str, str], path: str, status: int, reason: str
) -> None:
    response = await _post(pipeline, content, headers, path)
    assert response.status_code == status
    assert response.text
    assert pipeline.counters.refused == {reason: 1}
    assert (await _post(pipeline, _written(_batch(), TBinaryProtocol))).status_code == 202


async def test_a_wrong_type_is_told_every_type_that_is_taken(pipeline: Pipeline) -> None:
    told = (await _post(pipeline, b"{}", {"content-type": "application/json"})).text
    for name in JaegerHttp.readers:
        assert name.decode() in told


@pytest.mark.parametrize("content", [b"\xff\xff", b"\x0a\x05\x0a\x03\x0a\x10x", b"\x0a\x04\x0a\x02\x1a\xff"])
async def test_a_malformed_call_must_not_be_sent_again(pipeline: Pipeline, content: bytes) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await _post_spans(pipeline, content)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert pipeline.counters.refused == {"malformed": 1}
    assert await _post_spans(pipeline, b"") == b""


async def test_a_full_disk_is_said_to_whoever_is_answered(tmp_path: Path) -> None:
    with listening(tmp_path, min_free_mib=1 << 40) as pipeline:
        response = await _post(pipeline, _written(_batch(), TBinaryProtocol))
        assert (response.status_code, "retry-after" in response.headers) == (503, True)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await _post_spans(pipeline, (RECORDED / "jaeger-proto.grpc").read_bytes())
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        _datagram(pipeline.foreign.jaeger_udp_compact, _emitted(_batch(), TCompactProtocol))
        assert await refused(pipeline, "full") >= 2


async def test_a_flood_of_datagrams_neither_blocks_nor_stays(pipeline: Pipeline) -> None:
    flood, good = b"\x82" * 60_000, _emitted(_batch(), TCompactProtocol)
    for _ in range(300):
        _datagram(pipeline.foreign.jaeger_udp_compact, flood)
    assert (await _post(pipeline, _written(_batch(low=1), TBinaryProtocol))).status_code == 202
    assert await refused(pipeline, "malformed") >= 1
    with anyio.fail_after(20):
        while await pipeline.store.trace(f"{7:032x}") is None:
            _datagram(pipeline.foreign.jaeger_udp_compact, good)
            await anyio.sleep(0.02)


@pytest.mark.parametrize(
    "which",
    ["jaeger_grpc_port", "jaeger_http_port", "jaeger_udp_compact_port", "jaeger_udp_binary_port", "zipkin_port"],
)
def test_a_taken_port_names_its_holder(tmp_path: Path, which: str) -> None:
    with (bind_udp if "udp" in which else bind)("127.0.0.1", 0) as holder:
        port = bound_port(holder)
        with (
            pytest.raises(PortTakenError, match=rf"127.0.0.1:{port} is taken by process \d+ \("),
            listening(tmp_path, **{which: port}),
        ):
            pytest.fail("it started on a port that is taken")
    with listening(tmp_path, **{which: port}) as pipeline:
        assert getattr(pipeline.foreign, which.removesuffix("_port")) == port
