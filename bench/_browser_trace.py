"""A trace of many spans as a shop would make it, over OTLP. Used by ``browser``."""

import random
import time

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

SERVICES = ("gateway", "checkout", "payment", "bank", "catalog", "stock", "mail", "prices", "search", "users", "cart")
METHODS = ("GET", "POST", "SELECT", "INSERT", "PUBLISH")
CHILDREN = 6
SELDOM_FAILS = 0.01


def trace_request(trace_id: bytes, spans: int, seed: int) -> bytes:
    """An export request with one trace: a tree of so many spans over eleven services, nine attributes on each."""
    chance = random.Random(seed)
    request = ExportTraceServiceRequest()
    resources = [_resource(request, name) for name in SERVICES]
    start = time.time_ns() - 20_000_000_000
    times: list[tuple[int, int]] = []
    for number in range(spans):
        if number == 0:
            begin, end = start, start + 12_000_000_000
        else:
            low, high = times[(number - 1) // CHILDREN]
            begin = low + int((high - low) * chance.random() * 0.7)
            end = begin + max(1_000, int((high - begin) * chance.uniform(0.05, 0.95)))
        times.append((begin, end))
        service = number % len(SERVICES)
        span = (
            resources[service]
            .scope_spans[0]
            .spans.add(
                trace_id=trace_id, span_id=_span_id(seed, number), start_time_unix_nano=begin, end_time_unix_nano=end
            )
        )
        if number:
            span.parent_span_id = _span_id(seed, (number - 1) // CHILDREN)
        _fill(span, number, service, chance)
    return request.SerializeToString()


def _span_id(seed: int, number: int) -> bytes:
    return random.Random(f"{seed} {number}").randbytes(8)


def _resource(request: ExportTraceServiceRequest, service: str) -> ResourceSpans:
    of = request.resource_spans.add()
    for key, value in (("service.name", service), ("service.version", "2.4.1"), ("host.name", f"{service}-7f9c")):
        _text(of.resource.attributes.add(), key, value)
    of.scope_spans.add().scope.name = "bench"
    return of


def _fill(span: Span, number: int, service: int, chance: random.Random) -> None:
    method = METHODS[number % len(METHODS)]
    span.name = f"{method} /{SERVICES[service]}/{number % 13}"
    span.kind = Span.SPAN_KIND_SERVER if number % 3 else Span.SPAN_KIND_CLIENT
    pairs = {
        "http.request.method": method,
        "url.path": f"/{SERVICES[service]}/{number % 13}/{chance.getrandbits(24)}",
        "http.response.status_code": "200",
        "server.address": f"{SERVICES[service]}.example.org",
        "user.id": f"u-{chance.randrange(50_000)}",
        "order.id": f"o-{chance.getrandbits(40):x}",
        "cloud.region": ("eu-1", "us-2")[number % 2],
        "thread.name": f"worker-{number % 16}",
        "net.peer.port": str(30_000 + chance.randrange(20_000)),
    }
    for key, value in pairs.items():
        _text(span.attributes.add(), key, value)
    if chance.random() < SELDOM_FAILS:
        span.status.code, span.status.message = Status.STATUS_CODE_ERROR, "timed out"
        span.events.add(time_unix_nano=span.end_time_unix_nano, name="exception")


def _text(pair: KeyValue, key: str, value: str) -> None:
    pair.key, pair.value.string_value = key, value
