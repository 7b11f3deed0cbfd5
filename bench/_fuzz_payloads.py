"""Good payloads of every protocol, for ``bench.fuzz`` to spoil, each with a trace id of its own where it has one."""

import json
import time
from pathlib import Path
from typing import Final

from jaeger_client.thrift_gen.agent import Agent
from jaeger_client.thrift_gen.jaeger import ttypes
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TCompactProtocol import TCompactProtocol
from thrift.Thrift import TMessageType
from thrift.transport.TTransport import TMemoryBuffer

from bench._fuzz_mutations import field
from homeostat.observe.receivers.prometheus_proto import SERIES_1, SERIES_2

RECORDED: Final = Path(__file__).parent.parent / "tests" / "unit" / "observe" / "receivers" / "recorded"
RECORDED_TRACE: Final = bytes.fromhex("0102030405060708090a0b0c0d0e0f10")


def _put(pairs: "list[KeyValue]", **values: str | bool | int | float | bytes) -> None:
    for key, value in values.items():
        pair = KeyValue(key=key)
        match value:
            case bool():
                pair.value.bool_value = value
            case str():
                pair.value.string_value = value
            case int():
                pair.value.int_value = value
            case float():
                pair.value.double_value = value
            case bytes():
                pair.value.bytes_value = value
        pairs.append(pair)


def otlp_traces(trace_id: bytes) -> bytes:
    """Every field of a span, every type of attribute."""
    request, now = ExportTraceServiceRequest(), time.time_ns()
    resource = request.resource_spans.add()
    _put(resource.resource.attributes, **{"service.name": "fuzz", "n": 5})
    scope = resource.scope_spans.add()
    scope.scope.name, scope.scope.version = "lib", "1"
    for number in (1, 2):
        span = scope.spans.add(
            trace_id=trace_id,
            span_id=number.to_bytes(8, "big"),
            parent_span_id=b"" if number == 1 else (1).to_bytes(8, "big"),
            name="GET /",
            kind=2,
            start_time_unix_nano=now - 10**9,
            end_time_unix_nano=now,
            trace_state="a=b",
            flags=1,
        )
        _put(span.attributes, s="x", b=True, i=-1, f=0.5, y=b"\xff")
        nested = span.attributes.add(key="list").value.array_value.values.add().kvlist_value.values.add(key="k")
        nested.value.int_value = 1
        span.status.code, span.status.message = 2, "no"
        _put(span.events.add(time_unix_nano=now, name="e").attributes, n=1)
        _put(span.links.add(trace_id=trace_id, span_id=bytes(7) + b"\x09").attributes, why="retry")
    return request.SerializeToString()


def otlp_metrics() -> bytes:
    """A metric of each of the five types."""
    request, now = ExportMetricsServiceRequest(), time.time_ns()
    resource = request.resource_metrics.add()
    _put(resource.resource.attributes, **{"service.name": "fuzz"})
    metrics = resource.scope_metrics.add().metrics
    times = {"start_time_unix_nano": now - 10**9, "time_unix_nano": now}
    point = metrics.add(name="gauge", unit="1").gauge.data_points.add(as_double=0.5, **times)
    _put(point.attributes, host="a")
    total = metrics.add(name="sum", unit="1").sum
    total.aggregation_temporality, total.is_monotonic = 2, True
    counted = total.data_points.add(as_int=7, **times)
    counted.exemplars.add(as_int=1, time_unix_nano=now, trace_id=bytes(15) + b"\x01", span_id=bytes(7) + b"\x01")
    histogram = metrics.add(name="histogram", unit="s").histogram
    histogram.aggregation_temporality = 2
    histogram.data_points.add(count=3, sum=1.5, bucket_counts=[1, 1, 1], explicit_bounds=[0.1, 1], **times)
    exponential = metrics.add(name="exponential", unit="s").exponential_histogram
    exponential.aggregation_temporality = 1
    buckets = exponential.data_points.add(count=3, sum=1.5, scale=3, zero_count=1, **times)
    buckets.positive.offset = 2
    buckets.positive.bucket_counts.extend([1, 1])
    summary = metrics.add(name="summary", unit="s").summary.data_points.add(count=3, sum=1.5, **times)
    summary.quantile_values.add(quantile=0.5, value=0.4)
    return request.SerializeToString()


def otlp_logs() -> bytes:
    """Records with texts, trees and ids."""
    request, now = ExportLogsServiceRequest(), time.time_ns()
    resource = request.resource_logs.add()
    _put(resource.resource.attributes, **{"service.name": "fuzz"})
    scope = resource.scope_logs.add()
    for number in range(3):
        record = scope.log_records.add(
            time_unix_nano=now if number else 0,
            observed_time_unix_nano=now,
            severity_number=9,
            severity_text="INFO",
            trace_id=bytes(15) + b"\x01",
            span_id=bytes(7) + b"\x01",
        )
        record.body.string_value = "payment of 12.50 EUR declined"
        if number == 2:
            record.body.kvlist_value.values.add(key="k").value.double_value = 1.0
        _put(record.attributes, customer="c-1")
    return request.SerializeToString()


def otlp_traces_json(trace_id: bytes) -> bytes:
    """OTLP's JSON: hexadecimal ids, numbers of 64 bits as text."""
    now = time.time_ns()
    span = {
        "traceId": trace_id.hex(),
        "spanId": "00000000000000a1",
        "parentSpanId": "",
        "name": "GET /",
        "kind": 2,
        "startTimeUnixNano": str(now - 10**9),
        "endTimeUnixNano": str(now),
        "attributes": [
            {"key": "n", "value": {"intValue": "5"}},
            {"key": "l", "value": {"arrayValue": {"values": [{"boolValue": True}, {"bytesValue": "AQI="}]}}},
        ],
        "events": [{"timeUnixNano": str(now), "name": "e"}],
        "links": [{"traceId": trace_id.hex(), "spanId": "00000000000000a2"}],
        "status": {"code": 2, "message": "no"},
    }
    return _json("resourceSpans", "scopeSpans", {"spans": [span]})


def otlp_metrics_json() -> bytes:
    """A sum and a histogram."""
    now = str(time.time_ns())
    total = {"dataPoints": [{"asInt": "7", "timeUnixNano": now}], "aggregationTemporality": 2, "isMonotonic": True}
    point = {"count": "2", "sum": 1.5, "bucketCounts": ["1", "1"], "explicitBounds": [0.5], "timeUnixNano": now}
    histogram = {"dataPoints": [point], "aggregationTemporality": 2}
    metrics = [{"name": "sum", "sum": total}, {"name": "histogram", "unit": "s", "histogram": histogram}]
    return _json("resourceMetrics", "scopeMetrics", {"metrics": metrics})


def otlp_logs_json() -> bytes:
    """A record."""
    record = {
        "timeUnixNano": str(time.time_ns()),
        "severityNumber": 9,
        "severityText": "INFO",
        "body": {"stringValue": "hello"},
        "traceId": "0" * 31 + "1",
        "spanId": "0" * 15 + "1",
        "attributes": [{"key": "k", "value": {"kvlistValue": {"values": []}}}],
    }
    return _json("resourceLogs", "scopeLogs", {"logRecords": [record]})


def _json(outer: str, middle: str, scope: dict[str, object]) -> bytes:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "fuzz"}}]}
    return json.dumps({outer: [{"resource": resource, middle: [{"scope": {"name": "lib"}, **scope}]}]}).encode()


def jaeger_proto(trace_id: bytes) -> bytes:
    """What OpenTelemetry's exporter sent."""
    return (RECORDED / "jaeger-proto.grpc").read_bytes().replace(RECORDED_TRACE, trace_id)


def _batch(trace_id: bytes) -> ttypes.Batch:
    kind = ttypes.TagType
    high, low = (int.from_bytes(part, "big", signed=True) for part in (trace_id[:8], trace_id[8:]))
    tags = [
        ttypes.Tag("s", kind.STRING, vStr="x"),
        ttypes.Tag("f", kind.DOUBLE, vDouble=0.5),
        ttypes.Tag("error", kind.BOOL, vBool=True),
        ttypes.Tag("l", kind.LONG, vLong=-1),
        ttypes.Tag("y", kind.BINARY, vBinary="bytes"),
    ]
    span = ttypes.Span(
        traceIdLow=low,
        traceIdHigh=high,
        spanId=1,
        parentSpanId=0,
        operationName="GET /",
        references=[ttypes.SpanRef(1, low, high, 9)],
        flags=1,
        startTime=time.time_ns() // 1000,
        duration=1500,
        tags=tags,
        logs=[ttypes.Log(time.time_ns() // 1000, tags)],
    )
    return ttypes.Batch(ttypes.Process("fuzz", tags), [span])


def thrift_http(trace_id: bytes) -> bytes:
    """A batch in the binary protocol."""
    buffer = TMemoryBuffer()
    _batch(trace_id).write(TBinaryProtocol(buffer))
    return buffer.getvalue()


def _emitted(trace_id: bytes, protocol: type[TBinaryProtocol] | type[TCompactProtocol]) -> bytes:
    buffer = TMemoryBuffer()
    out = protocol(buffer)
    out.writeMessageBegin("emitBatch", TMessageType.ONEWAY, 0)
    Agent.emitBatch_args(batch=_batch(trace_id)).write(out)
    out.writeMessageEnd()
    return buffer.getvalue()


def thrift_compact(trace_id: bytes) -> bytes:
    """An agent's datagram."""
    return _emitted(trace_id, TCompactProtocol)


def thrift_binary(trace_id: bytes) -> bytes:
    """An agent's datagram in the older protocol."""
    return _emitted(trace_id, TBinaryProtocol)


def zipkin_json(trace_id: bytes) -> bytes:
    """Two spans, one of them shared."""
    span: dict[str, object] = {
        "traceId": trace_id.hex(),
        "id": "00000000000000a1",
        "kind": "CLIENT",
        "name": "get /",
        "timestamp": time.time_ns() // 1000,
        "duration": 1500,
        "localEndpoint": {"serviceName": "fuzz", "ipv4": "10.0.0.1", "port": 80},
        "remoteEndpoint": {"serviceName": "bank", "ipv6": "2001:db8::1"},
        "annotations": [{"timestamp": time.time_ns() // 1000, "value": '{"e": {"n": 1}}'}],
        "tags": {"error": "no", "k": "v"},
    }
    return json.dumps([span, span | {"kind": "SERVER", "shared": True, "parentId": "00000000000000a0"}]).encode()


def zipkin_proto(trace_id: bytes) -> bytes:
    """What OpenTelemetry's exporter sent."""
    return (RECORDED / "zipkin-proto.http").read_bytes().replace(RECORDED_TRACE, trace_id)


def _fields(number: int, *messages: bytes) -> bytes:
    return b"".join(field(number, message) for message in messages)


def remote_write(trace_id: bytes) -> bytes:
    """Version 1: a counter with an exemplar, and a native histogram."""
    now = time.time_ns() // 10**6
    counter = SERIES_1()
    for name, value in (("__name__", "requests_total"), ("job", "fuzz"), ("instance", "a:80")):
        counter.labels.add(name=name, value=value)
    counter.samples.add(value=7, timestamp=now)
    counter.exemplars.add(value=1, timestamp=now).labels.add(name="trace_id", value=trace_id.hex())
    histogram = SERIES_1()
    histogram.labels.add(name="__name__", value="seconds")
    native = histogram.histograms.add(count_int=3, sum=1.5, schema=3, zero_count_int=1, timestamp=now)
    native.positive_spans.add(offset=1, length=2)
    native.positive_deltas.extend([1, 0])
    return _fields(1, counter.SerializeToString(), histogram.SerializeToString())


def remote_write_2(trace_id: bytes) -> bytes:
    """Version 2: texts are numbers of symbols."""
    now = time.time_ns() // 10**6
    symbols = ["", "__name__", "requests_total", "job", "fuzz", "trace_id", trace_id.hex()]
    series = SERIES_2()
    series.labels_refs.extend([1, 2, 3, 4])
    series.samples.add(value=7, timestamp=now)
    series.exemplars.add(value=1, timestamp=now).labels_refs.extend([5, 6])
    return _fields(4, *(symbol.encode() for symbol in symbols)) + _fields(5, series.SerializeToString())


def exposition(trace_id: bytes) -> bytes:
    """OpenMetrics, with everything there is."""
    return (
        b"# HELP a a text\n# TYPE a counter\n"
        b'a_total{l="v",m="\\"\\n"} 1.0 # {trace_id="' + trace_id.hex().encode() + b'"} 1.0\n'
        b"# TYPE g gauge\n# UNIT g seconds\ng 1e-3\n"
        b'# TYPE h histogram\nh_bucket{le="0.1"} 1\nh_bucket{le="+Inf"} 2\nh_sum 1.5\nh_count 2\n'
        b'# TYPE s summary\ns{quantile="0.5"} NaN\ns_sum 1\ns_count 1\n'
        b"# EOF\n"
    )
