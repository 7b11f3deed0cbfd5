"""A server that takes the connection and says nothing more does not hold its reader for ever."""

import anyio
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from homeostat.drivers import telemetry
from homeostat.drivers.telemetry import Metrics, Spans, Telemetry
from homeostat.runtime import SystemClock


class Hanging:
    """Never answers."""

    name = "hanging"
    resource = {"service.name": "hanging"}  # noqa: RUF012 - as the protocol has it
    interval_s = 1.0
    closed = 0

    async def read(self, metrics: Metrics, spans: Spans) -> None:
        await anyio.sleep_forever()

    async def close(self) -> None:
        self.closed += 1


class Taken:
    """Figures that were submitted."""

    def __init__(self) -> None:
        self.up: list[float] = []

    async def metrics(self, body: bytes) -> object:
        metric = ExportMetricsServiceRequest.FromString(body).resource_metrics[0].scope_metrics[0].metrics[0]
        self.up.append(metric.gauge.data_points[0].as_double)
        return None

    async def traces(self, body: bytes) -> object:
        raise AssertionError(body)


async def test_a_look_without_an_answer_ends_as_down_and_lets_go_of_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(telemetry, "READ_WITHIN_S", 0.02)
    reader, taken = Hanging(), Taken()
    with anyio.fail_after(10):
        await Telemetry([reader], taken, SystemClock()).look(reader)
    assert (taken.up, reader.closed) == ([0.0], 1)
