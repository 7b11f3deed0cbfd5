"""Zipkin v2 spans -> a serialized OTLP ExportTraceServiceRequest. Called by ``zipkin_http``.

The rules are those of the OpenTelemetry Collector's Zipkin translator, but for two. The tag ``error`` says by its
presence that there was one, as Zipkin has it, and its text is the status message. And a *shared* span, the server's
half of an RPC under the client's id, gets an id of its own with the client's half as its parent: one id for two spans
would make one of them a duplicate. What hangs below it in the same request and the same service is moved with it.
"""

import json
from collections.abc import Sequence
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from homeostat.observe.receivers.jaeger_translate import SPAN_KINDS, STATUS_CODES, nanoseconds, put
from homeostat.observe.receivers.translated import Translated
from homeostat.observe.receivers.zipkin_model import Annotation, Endpoint, Span

_RESOURCE_PREFIXES: Final = (
    "cloud.",
    "container.",
    "deployment.",
    "host.",
    "k8s.",
    "os.",
    "process.",
    "service.",
    "telemetry.",
)
"""Tags that OpenTelemetry's exporters to Zipkin make of resource attributes."""

_SHARED_MASK: Final = bytes.fromhex("5a5a5a5a5a5a5a5a")  # any that is not zero: the same id for the same span, always
_NO_ID: Final = bytes(8)

Resource = tuple[str, tuple[tuple[str, str], ...]]
Shared = set[tuple[bytes, bytes, str]]
"""Trace, span and service of the shared spans of a request."""


def to_otlp(spans: Sequence[Span]) -> Translated:
    """The serialized request."""
    request = ExportTraceServiceRequest()
    shared: Shared = {(span.trace_id, span.span_id, span.local.service) for span in spans if _is_shared(span)}
    by_resource: dict[Resource, dict[tuple[str, str], list[tuple[Span, dict[str, str]]]]] = {}
    without_time = 0
    for span in spans:
        if not _start_us(span):
            without_time += 1
            continue
        tags = dict(span.tags)
        scopes = by_resource.setdefault(_resource(span, tags), {})
        scopes.setdefault(_scope(tags), []).append((span, tags))
    for (service, attributes), scopes in by_resource.items():
        resource_spans = request.resource_spans.add()
        if service:
            put(resource_spans.resource.attributes.add(), "service.name", service)
        for key, value in attributes:
            put(resource_spans.resource.attributes.add(), key, value)
        for (name, version), members in scopes.items():
            scope_spans = resource_spans.scope_spans.add()
            scope_spans.scope.name, scope_spans.scope.version = name, version
            for span, tags in members:
                _add_span(scope_spans.spans.add(), span, tags, shared)
    return Translated(request.SerializeToString(), without_time)


def _is_shared(span: Span) -> bool:
    return span.shared and span.kind != "CLIENT" and len(span.span_id) == len(_SHARED_MASK)


def _own_id(span_id: bytes) -> bytes:
    """The server half's id; never zero."""
    own = bytes(a ^ b for a, b in zip(span_id, _SHARED_MASK, strict=True))
    return own if own != _NO_ID else _SHARED_MASK


def _start_us(span: Span) -> int:
    """When it began; if that was lost, when something was first noted."""
    return span.time_us or min((each.time_us for each in span.annotations if each.time_us), default=0)


def _resource(span: Span, tags: dict[str, str]) -> Resource:
    service = tags.pop("service.name", "")
    keys = sorted(key for key in tags if key.startswith(_RESOURCE_PREFIXES))
    return span.local.service or service, tuple((key, tags.pop(key)) for key in keys)


def _scope(tags: dict[str, str]) -> tuple[str, str]:
    name = tags.pop("otel.library.name", "")
    version = tags.pop("otel.library.version", "")
    return tags.pop("otel.scope.name", name), tags.pop("otel.scope.version", version)


def _add_span(built: OtlpSpan, span: Span, tags: dict[str, str], shared: Shared) -> None:
    built.trace_id, built.name = span.trace_id, span.name
    if _is_shared(span):
        built.span_id, built.parent_span_id = _own_id(span.span_id), span.span_id
        put(built.attributes.add(), "zipkin.shared", True)
    else:
        parent = span.parent_id if span.parent_id != span.span_id else b""
        below_shared = (span.trace_id, parent, span.local.service) in shared
        built.span_id, built.parent_span_id = span.span_id, _own_id(parent) if below_shared else parent
    start_us = _start_us(span)
    built.start_time_unix_nano = nanoseconds(start_us * 1000)
    built.end_time_unix_nano = nanoseconds((start_us + span.duration_us) * 1000)
    kind = tags.pop("span.kind", "")
    built.kind = SPAN_KINDS.get((span.kind or kind).lower(), OtlpSpan.SPAN_KIND_UNSPECIFIED)
    built.trace_state = tags.pop("w3c.tracestate", "")
    _set_status(built, tags)
    _add_endpoints(built, span.local, span.remote)
    for key, value in tags.items():
        put(built.attributes.add(), key, value)
    for annotation in span.annotations:
        _add_event(built.events.add(), annotation)


def _set_status(built: OtlpSpan, tags: dict[str, str]) -> None:
    code = tags.pop("otel.status_code", "")
    description = tags.pop("otel.status_description", "")
    error = tags.pop("error", "false")
    if error.lower() != "false":
        built.status.code = Status.STATUS_CODE_ERROR
        built.status.message = description or (error if error.lower() != "true" else "")
    elif code:
        built.status.code = STATUS_CODES.get(code.upper(), Status.STATUS_CODE_UNSET)
        built.status.message = description


def _add_endpoints(built: OtlpSpan, local: Endpoint, remote: Endpoint) -> None:
    given = {
        "net.host.ip": local.ipv4 or local.ipv6,
        "net.host.port": local.port,
        "peer.service": remote.service,
        "net.peer.ip": remote.ipv4 or remote.ipv6,
        "net.peer.port": remote.port,
    }
    for key, value in given.items():
        if value:
            put(built.attributes.add(), key, value)


def _add_event(built: OtlpSpan.Event, annotation: Annotation) -> None:
    built.time_unix_nano = nanoseconds(annotation.time_us * 1000)
    built.name = annotation.value
    if not annotation.value.startswith("{"):
        return
    try:
        document = json.loads(annotation.value)  # OpenTelemetry's exporters write {"name": {attributes}}
    except (ValueError, RecursionError):
        return
    if not isinstance(document, dict) or len(document) != 1:
        return
    ((name, attributes),) = document.items()
    if isinstance(name, str) and isinstance(attributes, dict):
        built.name = _sound(name)
        for key, value in attributes.items():
            _put_json(built.attributes.add(), _sound(str(key)), value)


def _put_json(pair: KeyValue, key: str, value: object) -> None:
    if isinstance(value, bool | int | float):
        put(pair, key, value)
    else:
        put(pair, key, _sound(value) if isinstance(value, str) else json.dumps(value))


def _sound(text: str) -> str:
    """Without lone surrogates, which JSON can write and protobuf can't."""
    return text.encode("utf-8", "replace").decode("utf-8")
