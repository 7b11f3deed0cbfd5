"""A little shop that sends real telemetry: what the dashboard's tests look at. It obeys the flag that breaks it."""

import hashlib
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Self

import httpx2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

FLAG = "errorInjectionEnabled"
JOURNEYS_PER_TICK = 8
TICK_S = 0.2
FAIL_EVERY = 3
"""While the flag is on, every third journey fails."""


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def _id(name: str, size: int) -> bytes:
    return hashlib.sha256(name.encode()).digest()[:size]


def trace_id(name: str) -> str:
    """The id in hex of the trace that ``Batch.add`` was given by this name."""
    return _id(name, 16).hex()


@dataclass
class Batch:
    """Spans on their way, by service."""

    spans: dict[str, list[Span]] = field(default_factory=dict[str, list[Span]])

    def add(
        self,
        service: str,
        name: str,
        *,
        trace: str,
        parent: str | None = None,
        start_ns: int,
        duration_ms: float,
        error: str = "",
        span: str | None = None,
        kind: Span.SpanKind.ValueType = Span.SPAN_KIND_SERVER,
        attributes: Mapping[str, str] = MappingProxyType({"shop.cart": "c-17"}),
    ) -> None:
        """One span; ids are made from the names. ``span`` is its own name where the default is not unique."""
        end_ns = start_ns + int(duration_ms * 1e6)
        self.spans.setdefault(service, []).append(
            Span(
                trace_id=_id(trace, 16),
                span_id=_id(span or trace + service, 8),
                parent_span_id=b"" if parent is None else _id(parent, 8),
                name=name,
                kind=kind,
                start_time_unix_nano=start_ns,
                end_time_unix_nano=end_ns,
                attributes=[_text("http.request.method", "POST"), *(_text(*pair) for pair in attributes.items())],
                events=[Span.Event(time_unix_nano=end_ns, name="exception")] if error else [],
                status=Status(code=Status.STATUS_CODE_ERROR, message=error) if error else Status(),
            )
        )

    def encoded(self) -> bytes:
        """As an OTLP request."""
        return ExportTraceServiceRequest(
            resource_spans=[
                ResourceSpans(
                    resource=Resource(attributes=[_text("service.name", service)]),
                    scope_spans=[ScopeSpans(spans=spans)],
                )
                for service, spans in self.spans.items()
            ]
        ).SerializeToString()


def send(client: httpx2.Client, otlp_url: str, batch: Batch) -> None:
    """One OTLP/HTTP request; raises when it is refused."""
    headers = {"content-type": "application/x-protobuf"}
    client.post(f"{otlp_url}/v1/traces", content=batch.encoded(), headers=headers).raise_for_status()


class Traffic(ABC):
    """Sends a batch five times a second, as the flag says, until it is closed."""

    def __init__(self, api_url: str, otlp_url: str) -> None:
        self._api_url = api_url
        self._otlp_url = otlp_url
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shop")

    def open(self) -> Self:
        """Start the traffic."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop it and wait for the end."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx2.Client(timeout=10) as client:
            while not self._closing.wait(TICK_S):
                try:
                    answer = client.post(f"{self._api_url}/ofrep/v1/evaluate/flags/{FLAG}", json={"context": {}})
                    failing = answer.json().get("value") is True
                    send(client, self._otlp_url, self._batch(failing=failing))
                except httpx2.HTTPError:
                    continue  # Homeostat is stopping or busy; a shop goes on

    @abstractmethod
    def _batch(self, *, failing: bool) -> Batch:
        """What happened since the last one. ``failing``: is the flag on?"""


class Shop(Traffic):
    """Journeys from gateway to checkout to payment."""

    _journeys = 0

    def _batch(self, *, failing: bool) -> Batch:
        batch = Batch()
        for _ in range(JOURNEYS_PER_TICK):
            self._journeys += 1
            trace = f"{self._api_url} {self._journeys}"
            error = "card declined" if failing and self._journeys % FAIL_EVERY == 0 else ""
            start = time.time_ns() - 60_000_000
            batch.add("gateway", "POST /buy", trace=trace, start_ns=start, duration_ms=40, error=error)
            batch.add(
                "checkout",
                "POST /checkout",
                trace=trace,
                parent=f"{trace}gateway",
                start_ns=start + 5_000_000,
                duration_ms=30,
                error=error,
            )
            batch.add(
                "payment",
                "charge card",
                trace=trace,
                parent=f"{trace}checkout",
                start_ns=start + 10_000_000,
                duration_ms=20,
                error=error,
            )
        return batch


SLOW_EVERY = 8
"""Every so manieth purchase of a market meets the shard that is slow."""


def market(name: str, purchases: int, *, from_ns: int, every_ms: float) -> Batch:
    """Purchases in a larger shop, one after the other. Those that meet shard 7 are slow, in the database's own time.

    Every 20th is declined by the bank, and has no call to the mail service then.
    """
    batch = Batch()
    for number in range(purchases):
        trace, start = f"{name} {number}", from_ns + int(number * every_ms * 1e6)
        shard = "7" if number % SLOW_EVERY == 0 else str(number % SLOW_EVERY % 3)
        query_ms = 400.0 + number % 60 if shard == "7" else 6.0 + number % 9
        error = "declined by the bank" if number % 20 == 19 else ""
        at = {"shop.shard": shard, "shop.region": ("eu", "us")[number % 2]}
        calls: list[tuple[str, str, str | None, float, float, str]] = [
            ("gateway", "POST /buy", None, 0, query_ms + 60, error),
            ("catalog", "GET /items", "gateway", 2, 8, ""),
            ("checkout", "POST /checkout", "gateway", 12, query_ms + 44, error),
            ("payment", "charge card", "checkout", 14, query_ms + 18, error),
            ("database", "SELECT accounts", "payment", 16, query_ms, ""),
            ("bank", "POST /charges", "payment", 17 + query_ms, 12, error),
            *([] if error else [("mail", "send receipt", "checkout", 36 + query_ms, 10.0, "")]),
        ]
        for service, operation, parent, after_ms, duration_ms, failure in calls:
            begun, caller = start + int(after_ms * 1e6), f"{trace}{service} caller"
            if parent is not None:  # the caller's own span of the call
                batch.add(
                    parent,
                    operation,
                    trace=trace,
                    span=caller,
                    parent=trace + parent,
                    kind=Span.SPAN_KIND_CLIENT,
                    start_ns=begun,
                    duration_ms=duration_ms,
                    error=failure,
                    attributes=at,
                )
            batch.add(
                service,
                operation,
                trace=trace,
                parent=None if parent is None else caller,
                start_ns=begun + 200_000,
                duration_ms=duration_ms - 0.4,
                error=failure,
                attributes=at,
            )
    return batch


def big_trace(name: str, spans: int) -> tuple[str, Batch]:
    """A trace of so many spans, as a tree with ten children each; with its id in hex."""
    batch, start = Batch(), time.time_ns() - 3_000_000_000
    for number in range(spans):
        parent = None if number == 0 else f"{name} {(number - 1) // 10}"
        batch.add(
            f"worker-{number % 7}",
            f"step {number}",
            trace=name,
            span=f"{name} {number}",
            parent=parent,
            start_ns=start + number * 100_000,
            duration_ms=max(1.0, 1_000 - number / 10),
            error="it broke" if number == spans - 1 else "",
        )
    return _id(name, 16).hex(), batch
