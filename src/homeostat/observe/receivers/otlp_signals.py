"""What differs between OTLP's three signals: paths, services, messages, words. Used by both OTLP transports."""

from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from homeostat.observe.intake import Receipt
from homeostat.observe.receivers import Submit
from homeostat.observe.receivers.submit import Submitters

Steps = tuple[str, ...]
"""A way through a JSON document, by protobuf's names; each step is an object or a list of them."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One of the three."""

    name: str
    path: str  # over HTTP
    service: str  # over gRPC; its method is Export
    request: type[Message]
    response: type[Message]
    rejected_field: str  # of partial_success
    rejected_why: str  # follows "3 of 7"
    id_holders: tuple[Steps, ...]  # objects whose ids are hexadecimal in JSON

    def submit_of(self, submitters: Submitters) -> Submit:
        """The way in for this signal."""
        return getattr(submitters, self.name)

    def response_to(self, receipt: Receipt) -> Message:
        """The answer to an accepted request; empty when all of it was taken."""
        response = self.response()
        if receipt.rejected:
            partial = getattr(response, "partial_success")  # noqa: B009 (Message does not know its fields)
            setattr(partial, self.rejected_field, receipt.rejected)
            partial.error_message = (
                f"{receipt.rejected} of {receipt.accepted + receipt.rejected} {self.rejected_why}; "
                "the others were kept."
            )
        return response


TRACES: Final = Signal(
    name="traces",
    path="/v1/traces",
    service="opentelemetry.proto.collector.trace.v1.TraceService",
    request=ExportTraceServiceRequest,
    response=ExportTraceServiceResponse,
    rejected_field="rejected_spans",
    rejected_why=(
        "spans have an id of the wrong length or of zeros (trace_id 16 bytes, span_id 8, parent_span_id 8 or none)"
    ),
    id_holders=(
        ("resource_spans", "scope_spans", "spans"),
        ("resource_spans", "scope_spans", "spans", "links"),
    ),
)

_POINTS: Final = ("resource_metrics", "scope_metrics", "metrics")

METRICS: Final = Signal(
    name="metrics",
    path="/v1/metrics",
    service="opentelemetry.proto.collector.metrics.v1.MetricsService",
    request=ExportMetricsServiceRequest,
    response=ExportMetricsServiceResponse,
    rejected_field="rejected_data_points",
    rejected_why="data points have no name, or a histogram whose buckets contradict its bounds",
    id_holders=tuple(
        (*_POINTS, kind, "data_points", "exemplars")
        for kind in ("gauge", "sum", "histogram", "exponential_histogram")
    ),
)

LOGS: Final = Signal(
    name="logs",
    path="/v1/logs",
    service="opentelemetry.proto.collector.logs.v1.LogsService",
    request=ExportLogsServiceRequest,
    response=ExportLogsServiceResponse,
    rejected_field="rejected_log_records",
    rejected_why="log records can't be",
    id_holders=(("resource_logs", "scope_logs", "log_records"),),
)

SIGNALS: Final = (TRACES, METRICS, LOGS)
