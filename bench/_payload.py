"""The spans that the benchmarks send and store: 14 attributes, about 360 bytes each on the wire, whole traces.

Every trace is an order that walks through five services (a server span and a client span in each), so that topology,
RED and search have something true to find. Of a hundred traces two fail and one takes longer than a second. Three of
the attributes differ from span to span. Requests are built like an SDK's exporter builds them: one service per
request, many traces in each.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

SERVICES = ("gateway", "orders", "payment", "stock", "mailer")
ATTRIBUTES_PER_SPAN = 14
SLOW_NS = 1_200_000_000
USUAL_NS_MAX = 900_000_000
_METHODS = ("GET", "POST", "PUT")
_REGIONS = ("eu-1", "us-2", "ap-3")


@dataclass(frozen=True)
class Payload:
    """Serialized requests and what is in them."""

    requests: list[bytes]
    spans: int
    wire_bytes: int

    @property
    def bytes_per_span(self) -> float:
        """Measured, resource and scope included."""
        return self.wire_bytes / self.spans


def _text(span: Span, key: str, value: str) -> None:
    pair = span.attributes.add()
    pair.key = key
    pair.value.string_value = value


def _number(span: Span, key: str, value: int) -> None:
    pair = span.attributes.add()
    pair.key = key
    pair.value.int_value = value


def _describe(span: Span, chance: random.Random, failed: bool) -> None:
    _text(span, "http.method", chance.choice(_METHODS))
    _text(span, "http.route", "/api/v1/orders")
    _number(span, "http.status", 500 if failed else 200)
    _text(span, "net.peer", f"10.0.{chance.randrange(4)}.{chance.randrange(250)}")
    _number(span, "net.port", 8080)
    _text(span, "region", chance.choice(_REGIONS))
    _text(span, "tenant", f"t{chance.randrange(50)}")
    _text(span, "order.id", f"o-{chance.getrandbits(40):010x}")
    _text(span, "user.id", f"u{chance.randrange(100_000)}")
    _number(span, "bytes", chance.randrange(1 << 20))
    _text(span, "db.system", "postgres")
    _text(span, "cache", "hit" if chance.random() < 0.7 else "miss")
    _number(span, "attempt", 1)
    _text(span, "version", "1.4.2")


def _fill(span: Span, chance: random.Random, start_ns: int, *, failed: bool, slow: bool) -> None:
    span.start_time_unix_nano = start_ns
    usual_ns = int(chance.lognormvariate(16, 1))  # a median of 9 ms
    span.end_time_unix_nano = start_ns + (usual_ns + SLOW_NS if slow else min(usual_ns, USUAL_NS_MAX))
    _describe(span, chance, failed)
    if failed:
        span.status.code = Status.STATUS_CODE_ERROR


def _request_of(service: str) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    for key, value in (("service.name", service), ("host.name", "bench"), ("telemetry.sdk.language", "python")):
        pair = resource.resource.attributes.add()
        pair.key = key
        pair.value.string_value = value
    resource.scope_spans.add().scope.name = "bench"
    return request


def requests(
    traces: int, *, start_ns: int, length_ns: int, spans_per_request: int = 500, seed: int = 1
) -> Iterator[tuple[bytes, int]]:
    """``(serialized request, spans in it)``, the traces spread evenly over ``[start_ns, start_ns + length_ns)``."""
    chance = random.Random(seed)
    sizes = dict.fromkeys(SERVICES, 0)

    building = {service: _request_of(service) for service in SERVICES}
    for number in range(traces):
        trace_id = chance.getrandbits(128).to_bytes(16, "big")
        started = start_ns + number * length_ns // traces
        failed, slow = chance.random() < 0.02, chance.random() < 0.01
        parent = b""
        for depth, service in enumerate(SERVICES):
            spans = building[service].resource_spans[0].scope_spans[0].spans
            for kind, name in ((Span.SPAN_KIND_SERVER, f"POST /{service}"), (Span.SPAN_KIND_CLIENT, "POST")):
                span_id = chance.getrandbits(64).to_bytes(8, "big")
                span = spans.add(trace_id=trace_id, span_id=span_id, parent_span_id=parent, name=name, kind=kind)
                _fill(span, chance, started + depth * 1_000_000, failed=failed, slow=slow and not parent)
                parent = span_id
            sizes[service] += 2
            if sizes[service] >= spans_per_request:
                yield building[service].SerializeToString(), sizes[service]
                building[service] = _request_of(service)
                sizes[service] = 0
    for service in SERVICES:
        if sizes[service]:
            yield building[service].SerializeToString(), sizes[service]


def payload(traces: int, *, start_ns: int, length_ns: int, seed: int = 1) -> Payload:
    """All requests at once."""
    made = list(requests(traces, start_ns=start_ns, length_ns=length_ns, seed=seed))
    return Payload(
        requests=[body for body, _ in made],
        spans=sum(count for _, count in made),
        wire_bytes=sum(len(body) for body, _ in made),
    )


class Again:
    """The same requests with other ids and orders: making spans anew would cost more than receiving them."""

    def __init__(self, made: Payload) -> None:
        self._bodies = [np.frombuffer(body, dtype=np.uint8) for body in made.requests]
        self._offsets = [_offsets(body) for body in made.requests]

    def round(self, number: int) -> Iterator[bytes]:
        """Every request, the ids changed by the round's number (round 0: as they are)."""
        change = np.frombuffer(number.to_bytes(4, "big"), dtype=np.uint8)
        digits = np.frombuffer(f"{number:04x}".encode(), dtype=np.uint8)
        for body, (ids, orders) in zip(self._bodies, self._offsets, strict=True):
            changed = body.copy()
            for byte in range(4):
                changed[ids + byte] ^= change[byte]
                changed[orders + byte] = digits[byte]
            yield changed.tobytes()


def _offsets(body: bytes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where the low four bytes of each trace id, span id and parent id begin, and four digits of each order id."""
    ids: list[int] = []
    orders: list[int] = []
    position = 0
    for span in ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans:
        for one in filter(None, (span.trace_id, span.span_id, span.parent_span_id)):
            position = body.index(one, position) + len(one)
            ids.append(position - 4)
        orders.append(body.index(b"o-", body.index(b"order.id", position)) + 2)
    return np.array(ids, dtype=np.int64), np.array(orders, dtype=np.int64)
