"""Telemetry to Homeostat over OTLP/HTTP, patiently: while it is away it waits in a bounded backlog.

The SDK's own exporter drops a batch after its deadline. The world has to outlive a Homeostat that is being killed
and started again, and tell it afterwards what happened in between. Runs in the threads of the SDK's processors, never
in the thread that serves requests.
"""

import http.client
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

log = logging.getLogger(__name__)

BACKLOG_BYTES_MAX = 8 << 20
"""About 15,000 spans: several minutes of one service."""

SEND_TIMEOUT_S = 3.0
RETRYABLE = frozenset({429, 502, 503, 504})
"""Statuses after which OTLP allows sending the same again."""


class Sender:
    """Sends batches in order; keeps what could not be delivered, oldest dropped first when there is too much.

    ``signal`` is what they hold, as OTLP's paths call it: ``traces``, ``logs`` or ``metrics``.
    """

    def __init__(self, endpoint: str, signal: str, monotonic: Callable[[], float]) -> None:
        parts = urlsplit(endpoint)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 4318
        self._path = f"{parts.path.rstrip('/')}/v1/{signal}"
        self._monotonic = monotonic
        self._backlog: deque[bytes] = deque()
        self._backlog_bytes = 0
        self._connection: http.client.HTTPConnection | None = None
        self._not_before = 0.0
        self._away = False
        self.dropped_batches = 0

    def send(self, batch: bytes) -> bool:
        """Queue this batch behind what waits and send as much as will go; whether that was all."""
        self._keep(batch)
        return self.drain()

    def close(self) -> None:
        """Deliver what can be delivered, then hang up."""
        self._not_before = 0.0
        self.drain()
        self._hang_up()

    def _keep(self, batch: bytes) -> None:
        self._backlog.append(batch)
        self._backlog_bytes += len(batch)
        while self._backlog_bytes > BACKLOG_BYTES_MAX:
            self._backlog_bytes -= len(self._backlog.popleft())
            self.dropped_batches += 1

    def drain(self) -> bool:
        """Deliver what can be delivered; True when nothing is left."""
        if self._monotonic() < self._not_before:
            return not self._backlog
        while self._backlog:
            if not self._delivered(self._backlog[0]):
                return False
            self._backlog_bytes -= len(self._backlog.popleft())
        return True

    def _delivered(self, batch: bytes) -> bool:
        """Whether this batch is off our hands: accepted, or refused for good."""
        try:
            status, retry_after = self._post(batch)
        except (OSError, http.client.HTTPException) as error:
            self._hang_up()
            if not self._away:
                log.warning("Telemetry waits: %s:%d is not reachable (%s)", self._host, self._port, error)
            self._away = True
            return False
        if status in RETRYABLE:
            self._not_before = self._monotonic() + retry_after
            return False
        if self._away:
            log.info("Telemetry goes out again, %d batches had waited", len(self._backlog))
        self._away = False
        if status >= 300:
            log.warning("A batch was refused by %s with status %d and is dropped", self._path, status)
            self.dropped_batches += 1
        return True

    def _post(self, batch: bytes) -> tuple[int, float]:
        if self._connection is not None:
            try:
                return self._post_over(self._connection, batch)
            except (ConnectionError, http.client.RemoteDisconnected):
                self._hang_up()  # the other side had closed an idle connection; that is no news
        self._connection = http.client.HTTPConnection(self._host, self._port, timeout=SEND_TIMEOUT_S)
        return self._post_over(self._connection, batch)

    def _post_over(self, connection: http.client.HTTPConnection, batch: bytes) -> tuple[int, float]:
        connection.request("POST", self._path, batch, {"Content-Type": "application/x-protobuf"})
        response = connection.getresponse()
        response.read()
        text = response.headers.get("Retry-After", "")
        return response.status, min(30.0, float(text)) if text.isdigit() else 1.0

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Patient:
    """What the exporters of the three signals have in common."""

    _sender: Sender

    def force_flush(self, timeout_millis: float = 30_000) -> bool:
        """Try once more to deliver what waits."""
        return self._sender.drain()

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Deliver what can be delivered."""
        self._sender.close()


class PatientExporter(_Patient, SpanExporter):
    """Spans."""

    def __init__(self, endpoint: str, monotonic: Callable[[], float]) -> None:
        self._sender = Sender(endpoint, "traces", monotonic)

    @property
    def dropped_batches(self) -> int:
        """Refused, or too old when there was too much."""
        return self._sender.dropped_batches

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch, or keep it until it can be sent."""
        done = self._sender.send(encode_spans(spans).SerializeToString())
        return SpanExportResult.SUCCESS if done else SpanExportResult.FAILURE


class PatientLogExporter(_Patient, LogRecordExporter):
    """Log records."""

    def __init__(self, endpoint: str, monotonic: Callable[[], float]) -> None:
        self._sender = Sender(endpoint, "logs", monotonic)

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Send a batch, or keep it until it can be sent."""
        done = self._sender.send(encode_logs(batch).SerializeToString())
        return LogRecordExportResult.SUCCESS if done else LogRecordExportResult.FAILURE


class PatientMetricExporter(_Patient, MetricExporter):
    """Metric points."""

    def __init__(self, endpoint: str, monotonic: Callable[[], float]) -> None:
        MetricExporter.__init__(self)
        self._sender = Sender(endpoint, "metrics", monotonic)

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Send a reading, or keep it until it can be sent."""
        done = self._sender.send(encode_metrics(metrics_data).SerializeToString())
        return MetricExportResult.SUCCESS if done else MetricExportResult.FAILURE
