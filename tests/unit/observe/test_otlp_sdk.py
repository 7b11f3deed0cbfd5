"""The OpenTelemetry SDK's own exporters get traces, metrics and logs through, over HTTP and gRPC, packed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import grpc
import pytest
from anyio.from_thread import start_blocking_portal
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from homeostat.core.config import ReceiverConfig, StorageConfig
from homeostat.core.logs import LogQuery
from homeostat.core.metrics import MetricQuery
from homeostat.core.models import TraceQuery
from homeostat.observe.pipeline import Pipeline, running
from homeostat.runtime import SystemClock

RESOURCE = Resource.create({"service.name": "shop", "host.name": "h1"})


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    receivers = ReceiverConfig.only(otlp_http_port=0, otlp_grpc_port=0)
    path = running(receivers, StorageConfig(path=tmp_path, min_free_mib=1), SystemClock())
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(path) as running_pipeline:
        yield running_pipeline


def _exporters(pipeline: Pipeline, transport: str, packed: bool) -> tuple[Any, Any, Any]:
    if transport == "grpc":
        compression = grpc.Compression.Gzip if packed else grpc.Compression.NoCompression
        given = {"endpoint": f"http://127.0.0.1:{pipeline.grpc_port}", "insecure": True, "compression": compression}
        return GrpcSpans(**given), GrpcMetrics(**given), GrpcLogs(**given)
    compression = Compression.Gzip if packed else Compression.NoCompression
    base = f"http://127.0.0.1:{pipeline.http_port}/v1"
    return (
        HttpSpans(f"{base}/traces", compression=compression),
        HttpMetrics(f"{base}/metrics", compression=compression),
        HttpLogs(f"{base}/logs", compression=compression),
    )


def _work(spans: Any, metrics: Any, logs: Any) -> None:
    """What an instrumented program does once."""
    tracing = TracerProvider(resource=RESOURCE)
    tracing.add_span_processor(SimpleSpanProcessor(spans))
    reader = PeriodicExportingMetricReader(metrics, export_interval_millis=3_600_000)
    view = View(instrument_name="fine", aggregation=ExponentialBucketHistogramAggregation())
    metering = MeterProvider([reader], resource=RESOURCE, views=[view])
    logging_provider = LoggerProvider(resource=RESOURCE)
    logging_provider.add_log_record_processor(SimpleLogRecordProcessor(logs))
    logger = logging_provider.get_logger("shop.logs")
    meter = metering.get_meter("shop.meter")
    with tracing.get_tracer("shop.tracer").start_as_current_span("checkout"):
        meter.create_counter("orders", unit="1").add(3, {"kind": "web"})
        meter.create_histogram("latency", unit="ms").record(12.5)
        meter.create_histogram("fine", unit="ms").record(12.5)
        meter.create_up_down_counter("open").add(2)
        logger.emit(severity_number=SeverityNumber.WARN, body="order 17 is late", attributes={"order": 17})
    metering.force_flush()
    for provider in (tracing, metering, logging_provider):
        provider.shutdown()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("transport", ["http", "grpc"])
async def test_the_sdk_exports_all_three_signals_and_they_can_be_found(
    pipeline: Pipeline, transport: str, packed: bool
) -> None:
    await anyio.to_thread.run_sync(_work, *_exporters(pipeline, transport, packed))
    now = datetime.now(UTC)
    start, end = now - timedelta(minutes=5), now + timedelta(minutes=5)
    assert pipeline.counters.refused == {}
    (summary,) = (await pipeline.store.search(TraceQuery(start=start, end=end))).traces
    assert summary.root_operation == "checkout"
    metrics = {info.name: info for info in await pipeline.metrics.metrics(start)}
    assert {name: info.type.value for name, info in metrics.items()} == {
        "orders": "sum",
        "latency": "histogram",
        "fine": "exponential_histogram",
        "open": "sum",
    }
    assert metrics["orders"].services == ("shop",)
    assert (metrics["orders"].monotonic, metrics["open"].monotonic) == (True, False)
    (exemplar,) = await pipeline.metrics.exemplars(MetricQuery(name="latency", start=start, end=end))
    assert (exemplar.trace_id, exemplar.value) == (summary.trace_id, 12.5)
    (record,) = (
        await pipeline.logs.logs(LogQuery(start=start, end=end, text="late", trace_id=summary.trace_id))
    ).records
    assert (record.body, record.severity, record.service) == ("order 17 is late", "warn", "shop")
    assert record.attributes["order"] == "17"
