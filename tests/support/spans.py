"""Spans for tests: built with the official protobuf classes, decoded by the real decoder."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from homeostat.observe.decode.traces import decode

SERVER, CLIENT, INTERNAL = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_INTERNAL
PRODUCER, CONSUMER = Span.SPAN_KIND_PRODUCER, Span.SPAN_KIND_CONSUMER

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOON_S = int(NOON.timestamp())


@dataclass
class HandClock:
    """A clock that stands where one puts it."""

    time: datetime = NOON
    seconds: float = 1_000.0

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
        self.seconds += seconds


@dataclass(frozen=True)
class S:
    """A span in few words. ``at`` is the start in seconds from noon, ``ms`` the duration."""

    trace: int = 1
    span: int = 1
    parent: int = 0
    service: str = "shop"
    name: str = "GET /"
    kind: int = SERVER
    at: float = 0.0
    ms: float = 10.0
    error: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)
    message: str = ""  # of the status
    scope: str = ""
    events: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # attributes by name, all at the start


def trace_hex(trace: int) -> str:
    """The id that ``S(trace=...)`` gets, as text."""
    return f"{trace:032x}"


def request(spans: Iterable[S]) -> ExportTraceServiceRequest:
    """One request, one ResourceSpans for each service."""
    built = ExportTraceServiceRequest()
    by_service: dict[str, list[S]] = {}
    for span in spans:
        by_service.setdefault(span.service, []).append(span)
    for service, members in by_service.items():
        resource_spans = built.resource_spans.add()
        pair = resource_spans.resource.attributes.add()
        pair.key, pair.value.string_value = "service.name", service
        for scope in dict.fromkeys(span.scope for span in members):
            scope_spans = resource_spans.scope_spans.add()
            scope_spans.scope.name = scope
            for span in members:
                if span.scope == scope:
                    _add(scope_spans.spans.add(), span)
    return built


def _add(built: Span, span: S) -> None:
    start_ns = NOON_S * 10**9 + round(span.at * 1e9)
    built.trace_id = span.trace.to_bytes(16, "big")
    built.span_id = span.span.to_bytes(8, "big")
    built.parent_span_id = span.parent.to_bytes(8, "big") if span.parent else b""
    built.name, built.kind = span.name, span.kind  # pyright: ignore[reportAttributeAccessIssue]
    built.start_time_unix_nano = start_ns
    built.end_time_unix_nano = start_ns + round(span.ms * 1e6)
    built.status.code = 2 if span.error else 0  # pyright: ignore[reportAttributeAccessIssue]
    built.status.message = span.message
    for key, value in span.attributes.items():
        pair = built.attributes.add()
        pair.key, pair.value.string_value = key, value
    for name, attributes in span.events.items():
        event = built.events.add(name=name, time_unix_nano=start_ns)
        for key, value in attributes.items():
            pair = event.attributes.add()
            pair.key, pair.value.string_value = key, value


def body(spans: Iterable[S]) -> bytes:
    """The serialized request."""
    return request(spans).SerializeToString()


def table(spans: Sequence[S]) -> pa.Table:
    """The decoded columns."""
    return decode([body(spans)]).spans
