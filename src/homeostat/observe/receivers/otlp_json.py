"""OTLP/JSON -> protobuf bytes, so that everything behind the receiver knows one encoding.

The mapping is protobuf's own JSON mapping with the exceptions of the OTLP specification ("JSON Protobuf Encoding"):
ids are hexadecimal, not base64, and unknown fields are ignored.
"""

import base64
import json
from collections.abc import Iterator

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from homeostat.core.errors import TelemetryRejectedError

_ID_KEYS = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")

Object = dict[str, object]


def to_protobuf(body: bytes) -> bytes:
    """The serialized ExportTraceServiceRequest. Raises TelemetryRejectedError when the body isn't one."""
    try:
        document = json.loads(body)
        if not isinstance(document, dict):
            raise TelemetryRejectedError("The body is not a JSON object. Send an ExportTraceServiceRequest.")
        for span in _spans(document):
            _hex_to_base64(span)
            for link in _list(span, "links"):
                _hex_to_base64(link)
        request = json_format.ParseDict(document, ExportTraceServiceRequest(), ignore_unknown_fields=True)
    except (ValueError, RecursionError, json_format.ParseError) as error:
        raise TelemetryRejectedError(f"The body is not OTLP/JSON: {error}") from error
    return request.SerializeToString()


def _list(parent: Object, *names: str) -> Iterator[Object]:
    for name in names:
        items = parent.get(name)
        if isinstance(items, list):
            yield from (item for item in items if isinstance(item, dict))


def _spans(document: Object) -> Iterator[Object]:
    for resource in _list(document, "resourceSpans", "resource_spans"):
        for scope in _list(resource, "scopeSpans", "scope_spans"):
            yield from _list(scope, "spans")


def _hex_to_base64(holder: Object) -> None:
    for key in _ID_KEYS:
        value = holder.get(key)
        if isinstance(value, str):
            holder[key] = base64.b64encode(bytes.fromhex(value)).decode("ascii")
