"""Traces in the JSON of Jaeger's query service, as its web interface and Grafana's Jaeger data source read it.

The shape is that of Jaeger's ``model/json`` package; how OpenTelemetry's fields become tags is said in its
specification "OpenTelemetry to Jaeger Transformation". The store keeps attribute values as text: a tag is typed by
how its text is written.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypedDict

from homeostat.core.models import Span, SpanEvent, Trace

_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,15})")
_FLOAT: Final = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+(e[+-]?[0-9]+)?")
_EXACT_MAX: Final = 2**53  # beyond, a browser would show another number
_NS_PER_MS: Final = 1e6
_NS_PER_US: Final = 1000

TagType = Literal["string", "bool", "int64", "float64"]


class Tag(TypedDict):
    """A key with a typed value."""

    key: str
    type: TagType
    value: str | bool | int | float


class Reference(TypedDict):
    """From a span to its parent, or to a span that it follows from."""

    refType: Literal["CHILD_OF", "FOLLOWS_FROM"]
    traceID: str
    spanID: str


class Log(TypedDict):
    """An event; ``timestamp`` in microseconds."""

    timestamp: int
    fields: list[Tag]


class JaegerSpan(TypedDict):
    """A span; times in microseconds."""

    traceID: str
    spanID: str
    operationName: str
    references: list[Reference]
    startTime: int
    duration: int
    tags: list[Tag]
    logs: list[Log]
    processID: str
    warnings: list[str] | None


class Process(TypedDict):
    """Who sent spans."""

    serviceName: str
    tags: list[Tag]


class JaegerTrace(TypedDict):
    """A trace; ``processes`` by the ids that its spans name."""

    traceID: str
    spans: list[JaegerSpan]
    processes: dict[str, Process]
    warnings: list[str] | None


def trace_json(trace: Trace) -> JaegerTrace:
    """A trace as Jaeger answers it."""
    ids: dict[tuple[str, tuple[tuple[str, str], ...]], str] = {}
    processes: dict[str, Process] = {}
    spans: list[JaegerSpan] = []
    for span in trace.spans:
        who = span.service, tuple(span.resource.items())
        if who not in ids:
            ids[who] = f"p{len(ids) + 1}"
            processes[ids[who]] = _process(span)
        spans.append(_span(span, ids[who]))
    return JaegerTrace(traceID=trace.trace_id, spans=spans, processes=processes, warnings=None)


def _process(span: Span) -> Process:
    resource = {key: value for key, value in span.resource.items() if key != "service.name"}
    return Process(serviceName=span.service, tags=_tags(resource))


def _span(span: Span, process: str) -> JaegerSpan:
    return JaegerSpan(
        traceID=span.trace_id,
        spanID=span.span_id,
        operationName=span.name,
        references=list(_references(span)),
        startTime=span.start_unix_nano // _NS_PER_US,
        duration=round(span.duration_ms * _NS_PER_MS) // _NS_PER_US,
        tags=[*_tags(span.attributes), *_own_tags(span)],
        logs=list(map(_log, span.events)),
        processID=process,
        warnings=None,
    )


def _references(span: Span) -> Iterable[Reference]:
    if span.parent_span_id is not None:
        yield Reference(refType="CHILD_OF", traceID=span.trace_id, spanID=span.parent_span_id)
    for link in span.links:
        yield Reference(refType="FOLLOWS_FROM", traceID=link.trace_id, spanID=link.span_id)


def _own_tags(span: Span) -> Iterable[Tag]:
    """What is a field in OpenTelemetry and a tag in Jaeger."""
    if span.scope:
        yield Tag(key="otel.scope.name", type="string", value=span.scope)
    if span.kind != "unspecified":
        yield Tag(key="span.kind", type="string", value=span.kind)
    if span.status != "unset":
        yield Tag(key="otel.status_code", type="string", value=span.status.upper())
    if span.status == "error":
        yield Tag(key="error", type="bool", value=True)
    if span.status_message:
        yield Tag(key="otel.status_description", type="string", value=span.status_message)


def _log(event: SpanEvent) -> Log:
    name = Tag(key="event", type="string", value=event.name)
    return Log(timestamp=round(event.time.timestamp() * 1_000_000), fields=[name, *_tags(event.attributes)])


def _tags(attributes: Mapping[str, str]) -> list[Tag]:
    return [typed(key, value) for key, value in attributes.items()]


def typed(key: str, text: str) -> Tag:
    """A tag with the type that its text shows; one that would not be written the same again stays a string."""
    if text in {"true", "false"}:
        return Tag(key=key, type="bool", value=text == "true")
    if _INTEGER.fullmatch(text) and text != "-0" and abs(int(text)) <= _EXACT_MAX:
        return Tag(key=key, type="int64", value=int(text))
    if _FLOAT.fullmatch(text) and repr(float(text)) == text:
        return Tag(key=key, type="float64", value=float(text))
    return Tag(key=key, type="string", value=text)
