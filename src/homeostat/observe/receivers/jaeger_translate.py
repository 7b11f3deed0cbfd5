"""Jaeger batches -> a serialized OTLP ExportTraceServiceRequest, so that there is one road behind every receiver.

The rules are those of the OpenTelemetry specification ("OpenTelemetry to Jaeger Transformation", read backwards) and
of the OpenTelemetry Collector's Jaeger translator. Called by ``jaeger_grpc``, ``jaeger_http`` and ``jaeger_udp``.
"""

from collections.abc import Iterable
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from homeostat.observe.receivers.jaeger_model import Batch, Log, Process, Reference, Span, Tag, Value

SPAN_KINDS: Final = {
    "client": OtlpSpan.SPAN_KIND_CLIENT,
    "server": OtlpSpan.SPAN_KIND_SERVER,
    "producer": OtlpSpan.SPAN_KIND_PRODUCER,
    "consumer": OtlpSpan.SPAN_KIND_CONSUMER,
    "internal": OtlpSpan.SPAN_KIND_INTERNAL,
}
"""The tag span.kind, for Zipkin too."""

STATUS_CODES: Final = {"OK": Status.STATUS_CODE_OK, "ERROR": Status.STATUS_CODE_ERROR}
"""The tag otel.status_code."""

TIME_MAX: Final = (1 << 63) - 1  # ns: the year 2262
_INT_MAX: Final = 1 << 63
_RENAMED: Final = {"hostname": "host.name"}  # of a process
_NO_SERVICE: Final = "OTLPResourceNoServiceName"  # what the Collector's exporter writes where there was none
_SCOPE_NAMES: Final = ("otel.scope.name", "otel.library.name")
_SCOPE_VERSIONS: Final = ("otel.scope.version", "otel.library.version")

Tags = dict[str, Value]


def to_otlp(batches: Iterable[Batch]) -> bytes:
    """The serialized request. A span's own process wins over its batch's."""
    request = ExportTraceServiceRequest()
    for batch in batches:
        by_process: dict[tuple[str, tuple[Tag, ...]] | None, tuple[Process | None, list[Span]]] = {}
        for span in batch.spans:
            own = span.process
            key = None if own is None else (own.service, tuple(own.tags))
            by_process.setdefault(key, (own or batch.process, []))[1].append(span)
        for process, spans in by_process.values():
            _add_resource(request.resource_spans.add(), process, spans)
    return request.SerializeToString()


def put(pair: KeyValue, key: str, value: Value) -> None:
    """Write an attribute."""
    pair.key = key
    if isinstance(value, str):
        pair.value.string_value = value
    elif isinstance(value, bool):
        pair.value.bool_value = value
    elif isinstance(value, int):
        pair.value.int_value = max(-_INT_MAX, min(value, _INT_MAX - 1))
    elif isinstance(value, float):
        pair.value.double_value = value
    else:
        pair.value.bytes_value = value


def nanoseconds(time_ns: int) -> int:
    """A time that OTLP can hold: not before 1970, not after 2262."""
    return max(0, min(time_ns, TIME_MAX))


def _add_resource(built: ResourceSpans, process: Process | None, spans: list[Span]) -> None:
    if process is not None:
        if process.service and process.service != _NO_SERVICE:
            put(built.resource.attributes.add(), "service.name", process.service)
        tags = _tags(process.tags)
        tags.pop("service.name", None)
        for key, value in tags.items():
            renamed = _RENAMED.get(key, key)
            put(built.resource.attributes.add(), key if renamed in tags else renamed, value)
    by_scope: dict[tuple[str, str], list[tuple[Span, Tags]]] = {}
    for span in spans:
        tags = _tags(span.tags)
        scope = (_pop_text(tags, _SCOPE_NAMES), _pop_text(tags, _SCOPE_VERSIONS))
        by_scope.setdefault(scope, []).append((span, tags))
    for (name, version), members in by_scope.items():
        scope_spans = built.scope_spans.add()
        scope_spans.scope.name, scope_spans.scope.version = name, version
        for span, tags in members:
            _add_span(scope_spans.spans.add(), span, tags)


def _tags(tags: list[Tag]) -> Tags:
    """Of a key that is repeated, the last value."""
    return {tag.key: tag.value for tag in tags}


def _pop_text(tags: Tags, names: tuple[str, ...]) -> str:
    found = [str(tags.pop(name)) for name in names if name in tags]
    return found[0] if found else ""


def _add_span(built: OtlpSpan, span: Span, tags: Tags) -> None:
    parent = _parent(span)
    built.trace_id, built.span_id, built.parent_span_id = span.trace_id, span.span_id, parent
    built.name = span.name
    built.flags = span.flags & 1  # sampled; Jaeger's others mean something else
    built.start_time_unix_nano = nanoseconds(span.start_ns)
    built.end_time_unix_nano = nanoseconds(span.start_ns + max(0, span.duration_ns))
    kind = tags.pop("span.kind", None)
    if isinstance(kind, str):
        built.kind = SPAN_KINDS.get(kind.lower(), OtlpSpan.SPAN_KIND_UNSPECIFIED)
    state = tags.pop("w3c.tracestate", None)
    if isinstance(state, str):
        built.trace_state = state
    _set_status(built, tags)
    for key, value in tags.items():
        put(built.attributes.add(), key, value)
    for log in span.logs:
        _add_event(built.events.add(), log)
    for reference in span.references:
        if reference.follows or reference.span_id != parent or reference.trace_id != span.trace_id:
            _add_link(built.links.add(), reference)


def _parent(span: Span) -> bytes:
    """The parent that is named; else the first CHILD_OF, else the first FOLLOWS_FROM, within the trace."""
    if any(span.parent_id):
        return span.parent_id
    within = [reference for reference in span.references if reference.trace_id == span.trace_id]
    candidates = [r for r in within if not r.follows] or within
    return candidates[0].span_id if candidates else b""


def _is_true(value: Value | None) -> bool:
    """Whether a tag says yes: older tracers write a text."""
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _set_status(built: OtlpSpan, tags: Tags) -> None:
    """The tag error decides; then otel.status_code; then what the HTTP status means for this kind of span."""
    code = tags.pop("otel.status_code", None)
    description = tags.pop("otel.status_description", None)
    if _is_true(tags.get("error")):
        del tags["error"]
        built.status.code = Status.STATUS_CODE_ERROR
    elif isinstance(code, str):
        built.status.code = STATUS_CODES.get(code.upper(), Status.STATUS_CODE_UNSET)
    elif _is_http_error(tags.get("http.status_code"), built.kind):
        built.status.code = Status.STATUS_CODE_ERROR
    if built.status.code == Status.STATUS_CODE_ERROR:
        message = description if description is not None else tags.get("http.status_message")
        built.status.message = message if isinstance(message, str) else ""


def _is_http_error(status: Value | None, kind: OtlpSpan.SpanKind.ValueType) -> bool:
    """Semantic conventions, HTTP: 5xx is an error for all, 4xx for everybody but the server that answers it."""
    try:
        number = int(status) if isinstance(status, str | int) else 0
    except ValueError:
        return False
    return 500 <= number < 600 or (400 <= number < 500 and kind != OtlpSpan.SPAN_KIND_SERVER)


def _add_event(built: OtlpSpan.Event, log: Log) -> None:
    built.time_unix_nano = nanoseconds(log.time_ns)
    fields = _tags(log.fields)
    for key in ("event", "message"):  # OpenTracing's names for what a log line is about
        if isinstance(fields.get(key), str):
            built.name = str(fields.pop(key))
            break
    for key, value in fields.items():
        put(built.attributes.add(), key, value)


def _add_link(built: OtlpSpan.Link, reference: Reference) -> None:
    built.trace_id, built.span_id = reference.trace_id, reference.span_id
    kind = "follows_from" if reference.follows else "child_of"
    put(built.attributes.add(), "opentracing.ref_type", kind)
