"""Jaeger's protobuf messages: ``jaeger.api_v2.PostSpansRequest`` -> batches. Called by ``jaeger_grpc``.

Field numbers are those of jaegertracing/jaeger-idl, proto/api_v2/model.proto and collector.proto.
"""

from typing import Any, Final

from google.protobuf.message import DecodeError

from homeostat.core.errors import TelemetryRejectedError
from homeostat.observe.receivers.jaeger_model import Batch, Log, Process, Reference, Span, Tag, Value
from homeostat.observe.receivers.protobuf import Field, Fields, message_class, padded, submessages

SPANS_MAX: Final = 200_000
"""In one request. In memory each is some hundred bytes, on the wire it may be two."""

BATCHES_MAX: Final = 64
"""In one request. There is one; protobuf allows it to come in pieces."""

SPAN_BYTES_MAX: Final = 1 << 20
"""A span, or a process, that is larger is refused with its request."""

_MESSAGES: Final[dict[str, Fields]] = {
    "Time": [("seconds", 1, Field.TYPE_INT64), ("nanos", 2, Field.TYPE_INT32)],  # also a Duration
    "KeyValue": [
        ("key", 1, Field.TYPE_STRING),
        ("v_type", 2, Field.TYPE_INT32),
        ("v_str", 3, Field.TYPE_STRING),
        ("v_bool", 4, Field.TYPE_BOOL),
        ("v_int64", 5, Field.TYPE_INT64),
        ("v_float64", 6, Field.TYPE_DOUBLE),
        ("v_binary", 7, Field.TYPE_BYTES),
    ],
    "Log": [("timestamp", 1, "Time"), ("fields", 2, "KeyValue*")],
    "SpanRef": [
        ("trace_id", 1, Field.TYPE_BYTES),
        ("span_id", 2, Field.TYPE_BYTES),
        ("ref_type", 3, Field.TYPE_INT32),
    ],
    "Process": [("service_name", 1, Field.TYPE_STRING), ("tags", 2, "KeyValue*")],
    "Span": [
        ("trace_id", 1, Field.TYPE_BYTES),
        ("span_id", 2, Field.TYPE_BYTES),
        ("operation_name", 3, Field.TYPE_STRING),
        ("references", 4, "SpanRef*"),
        ("flags", 5, Field.TYPE_UINT32),
        ("start_time", 6, "Time"),
        ("duration", 7, "Time"),
        ("tags", 8, "KeyValue*"),
        ("logs", 9, "Log*"),
        ("process", 10, "Process"),
    ],
}
_SPAN: Final = message_class("homeostat_jaeger", _MESSAGES, "Span")
_PROCESS: Final = message_class("homeostat_jaeger_process", _MESSAGES, "Process")
_VALUES: Final = ("v_str", "v_bool", "v_int64", "v_float64", "v_binary")  # by v_type
_FOLLOWS_FROM: Final = 1
_BATCH, _SPANS, _PROCESSES = 1, 1, 2  # field numbers of PostSpansRequest.batch, Batch.spans, Batch.process
_TRACE_ID_BYTES, _SPAN_ID_BYTES = 16, 8

Parsed = Any
"""A message of the table above: what may be asked of it stands there."""


def batches_of(request: bytes) -> list[Batch]:
    """The batches of a PostSpansRequest. Raises TelemetryRejectedError."""
    try:
        batches = [part for number, part in submessages(request) if number == _BATCH]
        if len(batches) > BATCHES_MAX:
            raise TelemetryRejectedError(f"More than {BATCHES_MAX} batches in a request that has one.")
        return [_batch(bytes(part)) for part in batches]
    except (DecodeError, UnicodeDecodeError) as error:
        raise TelemetryRejectedError(f"The body is not a jaeger.api_v2.PostSpansRequest: {error}") from error


def _batch(batch: bytes) -> Batch:
    process: Process | None = None
    spans: list[Span] = []
    for count, (number, part) in enumerate(submessages(batch)):
        if count > SPANS_MAX:
            raise TelemetryRejectedError(f"More than {SPANS_MAX} spans. Send smaller batches.")
        if len(part) > SPAN_BYTES_MAX:
            raise TelemetryRejectedError(
                f"A span or process of more than {SPAN_BYTES_MAX >> 20} MiB. Send less in one."
            )
        if number == _SPANS:
            spans.append(_span(_SPAN.FromString(bytes(part))))
        elif number == _PROCESSES:
            process = _process(_PROCESS.FromString(bytes(part)))
    return Batch(process, spans)


def _span(span: Parsed) -> Span:
    return Span(
        trace_id=padded(span.trace_id, _TRACE_ID_BYTES),
        span_id=padded(span.span_id, _SPAN_ID_BYTES),
        parent_id=b"",
        name=span.operation_name,
        start_ns=_nanoseconds(span.start_time),
        duration_ns=_nanoseconds(span.duration),
        flags=span.flags,
        references=[
            Reference(
                padded(reference.trace_id, _TRACE_ID_BYTES),
                padded(reference.span_id, _SPAN_ID_BYTES),
                reference.ref_type == _FOLLOWS_FROM,
            )
            for reference in span.references
        ],
        tags=_tags(span.tags),
        logs=[Log(_nanoseconds(log.timestamp), _tags(log.fields)) for log in span.logs],
        process=_process(span.process) if span.HasField("process") else None,
    )


def _process(process: Parsed) -> Process:
    return Process(process.service_name, _tags(process.tags))


def _tags(tags: Parsed) -> list[Tag]:
    return [Tag(tag.key, _value(tag)) for tag in tags]


def _value(tag: Parsed) -> Value:
    kind: int = tag.v_type
    value: Value = getattr(tag, _VALUES[kind]) if 0 <= kind < len(_VALUES) else ""
    return value


def _nanoseconds(time: Parsed) -> int:
    nanoseconds: int = time.seconds * 10**9 + time.nanos
    return nanoseconds
