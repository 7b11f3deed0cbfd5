"""What a service of the world tells of a request: its span, a log record of that span, and how long it took."""

from collections.abc import Iterator

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from homeostat.world.telemetry import Telemetry
from support.homeostat_double import HomeostatDouble
from support.world_clock import HandClock


@pytest.fixture
def homeostat() -> Iterator[HomeostatDouble]:
    double = HomeostatDouble()
    double.start()
    yield double
    double.close()


def test_a_served_request_is_a_span_a_log_record_and_a_measurement_that_know_each_other(
    homeostat: HomeostatDouble,
) -> None:
    telemetry = Telemetry("shop", homeostat.url, 1_000, HandClock())
    span = telemetry.tracer.start_span("POST /process/pay")
    telemetry.served(span, "/process/pay", 500, 0.25, "pay failed")
    span.end()
    telemetry.close()

    (seen,) = homeostat.spans()
    (logs,) = map(ExportLogsServiceRequest.FromString, homeostat.logs)
    (record,) = logs.resource_logs[0].scope_logs[0].log_records
    assert (record.body.string_value, record.severity_text) == ("pay failed", "ERROR")
    assert (record.trace_id.hex(), record.span_id.hex()) == (seen.trace_id, seen.span_id)
    (metrics,) = map(ExportMetricsServiceRequest.FromString, homeostat.metrics)
    metric = next(
        metric
        for metric in metrics.resource_metrics[0].scope_metrics[0].metrics
        if metric.name == "http.server.request.duration"
    )
    (point,) = metric.histogram.data_points
    assert (point.count, point.sum, metric.unit) == (1, 0.25, "s")
    assert [exemplar.trace_id.hex() for exemplar in point.exemplars] == [seen.trace_id]


def test_without_an_address_nothing_is_sent_and_nothing_fails() -> None:
    telemetry = Telemetry("shop", None, 1_000, HandClock())
    span = telemetry.tracer.start_span("POST /process/pay")
    telemetry.served(span, "/process/pay", 200, 0.1, "paid")
    telemetry.close()
