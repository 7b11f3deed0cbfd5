"""The metric points and log records that ``bench.ingest`` sends beside spans, as an SDK would.

For each hundred thousand spans: five thousand points (counters, gauges and histograms with explicit bounds of five
services, in some hundred series) and ten thousand log records, half of them within a trace.
"""

import random
from collections.abc import Iterator

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from bench._payload import SERVICES

POINTS_PER_ROUND = 5_000
LOGS_PER_ROUND = 10_000
_PER_REQUEST = 500
_ROUTES = ("/api/v1/orders", "/api/v1/cart", "/api/v1/pay", "/api/v1/stock")
_BOUNDS = (5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)
_MESSAGES = (
    "order {} accepted from tenant t{}",
    "payment of order {} authorised after {} ms",
    "stock reserved for order {} in warehouse {}",
    "cache miss for order {}, {} rows read",
)


def _pair(pairs: list[KeyValue], key: str, value: str) -> None:
    pairs.append(KeyValue(key=key))
    pairs[-1].value.string_value = value


def _resource(service: str) -> list[KeyValue]:
    pairs: list[KeyValue] = []
    for key, value in (("service.name", service), ("host.name", "bench")):
        _pair(pairs, key, value)
    return pairs


def metrics(round_number: int, now_ns: int) -> Iterator[bytes]:
    """Requests with ``POINTS_PER_ROUND`` points in all."""
    chance = random.Random(round_number)
    started_ns = now_ns - 3600 * 10**9
    for number in range(POINTS_PER_ROUND // _PER_REQUEST):
        request = ExportMetricsServiceRequest()
        held = request.resource_metrics.add()
        held.resource.attributes.extend(_resource(SERVICES[number % len(SERVICES)]))
        scope = held.scope_metrics.add()
        counter = scope.metrics.add(name="http.server.requests", unit="1")
        counter.sum.is_monotonic = True
        counter.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        gauge = scope.metrics.add(name="process.memory.usage", unit="By")
        durations = scope.metrics.add(name="http.server.duration", unit="ms")
        durations.histogram.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        for place in range(_PER_REQUEST):
            at_ns = now_ns + (number * _PER_REQUEST + place) * 1_000_000
            times = {"start_time_unix_nano": started_ns, "time_unix_nano": at_ns}
            if place % 3 == 0:
                point = counter.sum.data_points.add(**times, as_int=round_number * 1000 + place)
            elif place % 3 == 1:
                point = gauge.gauge.data_points.add(**times, as_double=chance.random() * 1e9)
            else:
                counts = [chance.randrange(100) for _ in range(len(_BOUNDS) + 1)]
                point = durations.histogram.data_points.add(
                    **times,
                    count=sum(counts),
                    sum=chance.random() * 1e5,
                    bucket_counts=counts,
                    explicit_bounds=_BOUNDS,
                )
            pairs: list[KeyValue] = []
            _pair(pairs, "http.route", _ROUTES[place % len(_ROUTES)])
            _pair(pairs, "http.response.status_code", "500" if place % 50 == 0 else "200")
            point.attributes.extend(pairs)
        yield request.SerializeToString()


def logs(round_number: int, now_ns: int) -> Iterator[bytes]:
    """Requests with ``LOGS_PER_ROUND`` records in all."""
    chance = random.Random(round_number)
    for number in range(LOGS_PER_ROUND // _PER_REQUEST):
        request = ExportLogsServiceRequest()
        held = request.resource_logs.add()
        held.resource.attributes.extend(_resource(SERVICES[number % len(SERVICES)]))
        scope = held.scope_logs.add()
        for place in range(_PER_REQUEST):
            record = scope.log_records.add(
                time_unix_nano=now_ns + place * 1_000_000,
                observed_time_unix_nano=now_ns + place * 1_000_000,
                severity_number=SeverityNumber.SEVERITY_NUMBER_ERROR if place % 50 == 0 else 9,
                severity_text="ERROR" if place % 50 == 0 else "INFO",
            )
            message = chance.choice(_MESSAGES)
            record.body.string_value = message.format(f"o-{chance.getrandbits(40):010x}", chance.randrange(50))
            if place % 2:
                record.trace_id, record.span_id = chance.randbytes(16), chance.randbytes(8)
            pairs: list[KeyValue] = []
            _pair(pairs, "logger", "shop.orders")
            _pair(pairs, "thread", f"worker-{chance.randrange(16)}")
            record.attributes.extend(pairs)
        yield request.SerializeToString()
