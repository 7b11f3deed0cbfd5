"""Zipkin's v2 protobuf: ``zipkin.proto3.ListOfSpans``. Called by ``zipkin_http``.

Field numbers are those of openzipkin/zipkin-api, zipkin.proto.
"""

from ipaddress import ip_address
from typing import Any, Final

from google.protobuf.message import DecodeError

from homeostat.core.errors import TelemetryRejectedError
from homeostat.observe.receivers.protobuf import Field, Fields, message_class, padded, submessages
from homeostat.observe.receivers.zipkin_model import Annotation, Endpoint, Span

SPANS_MAX: Final = 200_000
"""In one request. In memory each is some hundred bytes, on the wire it may be two."""

SPAN_BYTES_MAX: Final = 1 << 20
"""A span that is larger is refused with its request."""

_MESSAGES: Final[dict[str, Fields]] = {
    "Endpoint": [
        ("service_name", 1, Field.TYPE_STRING),
        ("ipv4", 2, Field.TYPE_BYTES),
        ("ipv6", 3, Field.TYPE_BYTES),
        ("port", 4, Field.TYPE_INT32),
    ],
    "Annotation": [("timestamp", 1, Field.TYPE_FIXED64), ("value", 2, Field.TYPE_STRING)],
    "Tag": [("key", 1, Field.TYPE_STRING), ("value", 2, Field.TYPE_STRING)],  # an entry of the map
    "Span": [
        ("trace_id", 1, Field.TYPE_BYTES),
        ("parent_id", 2, Field.TYPE_BYTES),
        ("id", 3, Field.TYPE_BYTES),
        ("kind", 4, Field.TYPE_INT32),
        ("name", 5, Field.TYPE_STRING),
        ("timestamp", 6, Field.TYPE_FIXED64),
        ("duration", 7, Field.TYPE_UINT64),
        ("local_endpoint", 8, "Endpoint"),
        ("remote_endpoint", 9, "Endpoint"),
        ("annotations", 10, "Annotation*"),
        ("tags", 11, "Tag*"),
        ("shared", 13, Field.TYPE_BOOL),
    ],
}
_SPAN: Final = message_class("homeostat_zipkin", _MESSAGES, "Span")
_KINDS: Final = ("", "CLIENT", "SERVER", "PRODUCER", "CONSUMER")
_SPANS: Final = 1  # field number of ListOfSpans.spans
_TRACE_ID_BYTES, _SPAN_ID_BYTES = 16, 8

Parsed = Any
"""A message of the table above: what may be asked of it stands there."""


def spans_of(body: bytes) -> list[Span]:
    """The spans of a request. Raises TelemetryRejectedError."""
    spans: list[Span] = []
    try:
        for number, part in submessages(body):
            if len(part) > SPAN_BYTES_MAX:
                raise TelemetryRejectedError(f"A span has more than {SPAN_BYTES_MAX >> 20} MiB.")
            if number == _SPANS:
                spans.append(_span(_SPAN.FromString(bytes(part))))
            if len(spans) > SPANS_MAX:
                raise TelemetryRejectedError(f"More than {SPANS_MAX} spans. Send smaller batches.")
    except (DecodeError, UnicodeDecodeError) as error:
        raise TelemetryRejectedError(f"The body is not a zipkin.proto3.ListOfSpans: {error}") from error
    return spans


def _span(span: Parsed) -> Span:
    kind: int = span.kind
    return Span(
        trace_id=padded(span.trace_id, _TRACE_ID_BYTES),
        span_id=padded(span.id, _SPAN_ID_BYTES),
        parent_id=padded(span.parent_id, _SPAN_ID_BYTES),
        kind=_KINDS[kind] if 0 <= kind < len(_KINDS) else "",
        name=span.name,
        time_us=span.timestamp,
        duration_us=span.duration,
        local=_endpoint(span.local_endpoint),
        remote=_endpoint(span.remote_endpoint),
        annotations=[Annotation(each.timestamp, each.value) for each in span.annotations],
        tags={tag.key: tag.value for tag in span.tags},
        shared=span.shared,
    )


def _endpoint(endpoint: Parsed) -> Endpoint:
    return Endpoint(endpoint.service_name, _address(endpoint.ipv4), _address(endpoint.ipv6), endpoint.port)


def _address(packed: bytes) -> str:
    try:
        return str(ip_address(packed)) if packed else ""
    except ValueError:
        return ""
