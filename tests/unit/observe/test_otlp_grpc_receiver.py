"""OTLP over gRPC: the official exporter gets through, and what it must not retry is told apart from what it may."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from anyio.from_thread import start_blocking_portal
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from homeostat.core.config import ReceiverConfig, StorageConfig
from homeostat.observe.pipeline import Pipeline, running
from support.spans import HandClock, S, body, request, trace_hex

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    receivers = ReceiverConfig.only(otlp_grpc_port=0, max_request_mib=1)
    path = running(receivers, StorageConfig(path=tmp_path, min_free_mib=1), HandClock())
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(path) as running_pipeline:
        yield running_pipeline


def _channel(pipeline: Pipeline) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(f"127.0.0.1:{pipeline.grpc_port}")


async def _raw(pipeline: Pipeline, content: bytes) -> bytes:
    async with _channel(pipeline) as channel:
        return await channel.unary_unary(METHOD)(content)


def _details(error: grpc.aio.AioRpcError) -> Status:
    metadata = dict(error.trailing_metadata() or ())
    return Status.FromString(metadata["grpc-status-details-bin"])


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_an_export_is_acknowledged_and_can_be_found(pipeline: Pipeline, compression: grpc.Compression) -> None:
    async with _channel(pipeline) as channel:
        response = await TraceServiceStub(channel).Export(request([S(1, 1)]), compression=compression)
    assert response == ExportTraceServiceResponse()
    assert await pipeline.store.trace(trace_hex(1)) is not None


async def test_spans_that_can_not_be_are_told_and_the_rest_is_kept(pipeline: Pipeline) -> None:
    built = request([S(1, 1)])
    built.resource_spans[0].scope_spans[0].spans.add(trace_id=b"short", span_id=b"s" * 8)
    async with _channel(pipeline) as channel:
        response = await TraceServiceStub(channel).Export(built)
    assert response.partial_success.rejected_spans == 1
    assert pipeline.counters.spans_received == 1


async def test_a_malformed_request_must_not_be_sent_again(pipeline: Pipeline) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await _raw(pipeline, body([S()])[:-2])
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not _details(raised.value).details, "RetryInfo would ask for a retry"
    assert pipeline.counters.refused == {"malformed": 1}
    await _raw(pipeline, body([S()]))


async def test_a_request_beyond_the_bound_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await _raw(pipeline, bytes((1 << 20) + 1))
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await _raw(pipeline, body([S()]))


async def test_a_full_disk_asks_for_a_retry_and_says_when(tmp_path: Path) -> None:
    receivers = ReceiverConfig.only(otlp_grpc_port=0)
    async with running(receivers, StorageConfig(path=tmp_path, min_free_mib=1 << 40), HandClock()) as pipeline:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await _raw(pipeline, body([S()]))
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        (detail,) = _details(raised.value).details
        info = RetryInfo()
        assert detail.Unpack(info)
        assert info.retry_delay.seconds > 0


async def test_other_services_are_not_implemented(pipeline: Pipeline) -> None:
    async with _channel(pipeline) as channel:
        call = channel.unary_unary("/opentelemetry.proto.collector.profiles.v1.ProfilesService/Export")
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(b"")
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
