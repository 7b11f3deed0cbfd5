"""Jaeger's span means the same after it has become OpenTelemetry's."""

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from homeostat.core.errors import TelemetryRejectedError
from homeostat.observe.receivers import jaeger_proto
from homeostat.observe.receivers.jaeger_model import Batch, Log, Process, Reference, Span, Tag, Value
from homeostat.observe.receivers.jaeger_proto import batches_of
from homeostat.observe.receivers.jaeger_translate import to_otlp

TRACE, OTHER_TRACE = bytes(15) + b"\x01", bytes(15) + b"\x02"
UNSET, OK, ERROR = 0, 1, 2


def _id(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _span(*tags: Tag, parent: bytes = b"", references: list[Reference] | None = None, **given: object) -> Span:
    fields: dict[str, object] = {"name": "GET /", "start_ns": 5_000, "duration_ns": 2_000, "tags": list(tags)}
    fields |= {"references": references or [], **given}
    return Span(trace_id=TRACE, span_id=_id(9), parent_id=parent, **fields)  # pyright: ignore[reportArgumentType]


def _resources(*batches: Batch) -> list[ResourceSpans]:
    return list(ExportTraceServiceRequest.FromString(to_otlp(batches)).resource_spans)


def _translated(span: Span) -> OtlpSpan:
    (resource,) = _resources(Batch(Process("shop"), [span]))
    return resource.scope_spans[0].spans[0]


def _attributes(holder: OtlpSpan | OtlpSpan.Event | OtlpSpan.Link) -> dict[str, Value]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "") for pair in holder.attributes}


def test_the_five_types_stay_what_they_are() -> None:
    tags = {"s": "x", "b": True, "i": -(2**63), "f": 0.5, "y": b"\xff"}
    assert _attributes(_translated(_span(*(Tag(key, value) for key, value in tags.items())))) == tags


@pytest.mark.parametrize(
    ("tag", "kind"), [("client", 3), ("SERVER", 2), ("producer", 4), ("consumer", 5), ("internal", 1), ("other", 0)]
)
def test_the_tag_span_kind_becomes_the_kind(tag: str, kind: int) -> None:
    span = _translated(_span(Tag("span.kind", tag)))
    assert (span.kind, len(span.attributes)) == (kind, 0)


@pytest.mark.parametrize(
    ("tags", "code", "message", "left"),
    [
        ({"error": True}, ERROR, "", set()),
        ({"error": "true", "otel.status_description": "boom"}, ERROR, "boom", set()),
        ({"error": False}, UNSET, "", {"error"}),
        ({"error": True, "otel.status_code": "OK"}, ERROR, "", set()),
        ({"otel.status_code": "ok", "http.status_code": 500}, OK, "", {"http.status_code"}),
        ({"otel.status_code": "ERROR", "otel.status_description": "no"}, ERROR, "no", set()),
        ({"otel.status_code": "FUTURE"}, UNSET, "", set()),
        (
            {"http.status_code": 503, "http.status_message": "busy"},
            ERROR,
            "busy",
            {"http.status_code", "http.status_message"},
        ),
        ({"http.status_code": "404"}, ERROR, "", {"http.status_code"}),
        ({"http.status_code": 404, "span.kind": "server"}, UNSET, "", {"http.status_code"}),
        ({"http.status_code": "9" * 5000}, UNSET, "", {"http.status_code"}),
        ({"http.status_code": 200}, UNSET, "", {"http.status_code"}),
    ],
)
def test_the_status_follows_from_the_tags(tags: dict[str, Value], code: int, message: str, left: set[str]) -> None:
    span = _translated(_span(*(Tag(key, value) for key, value in tags.items())))
    assert (span.status.code, span.status.message) == (code, message)
    assert set(_attributes(span)) == left


def test_the_named_parent_wins_over_references() -> None:
    references = [Reference(TRACE, _id(3), follows=False), Reference(TRACE, _id(4), follows=False)]
    span = _translated(_span(parent=_id(4), references=references))
    assert span.parent_span_id == _id(4)
    assert [link.span_id for link in span.links] == [_id(3)]
    assert _attributes(span.links[0]) == {"opentracing.ref_type": "child_of"}


def test_a_reference_is_the_parent_when_none_is_named() -> None:
    follows, child = Reference(TRACE, _id(3), follows=True), Reference(TRACE, _id(4), follows=False)
    elsewhere = Reference(OTHER_TRACE, _id(5), follows=False)
    span = _translated(_span(references=[elsewhere, follows, child]))
    assert span.parent_span_id == _id(4)
    assert [(link.trace_id, link.span_id) for link in span.links] == [(OTHER_TRACE, _id(5)), (TRACE, _id(3))]
    only_follows = _translated(_span(references=[follows]))
    assert only_follows.parent_span_id == _id(3)
    assert _attributes(only_follows.links[0]) == {"opentracing.ref_type": "follows_from"}
    assert _translated(_span(references=[elsewhere])).parent_span_id == b""


def test_logs_become_events_with_the_name_that_opentracing_gives() -> None:
    logs = [
        Log(1_000, [Tag("event", "retry"), Tag("n", 2)]),
        Log(2_000, [Tag("message", "hello")]),
        Log(3_000, [Tag("event", 5)]),
    ]
    events = _translated(_span(logs=logs)).events
    assert [(event.time_unix_nano, event.name, _attributes(event)) for event in events] == [
        (1_000, "retry", {"n": 2}),
        (2_000, "hello", {}),
        (3_000, "", {"event": 5}),
    ]


def test_the_process_becomes_the_resource_and_a_spans_own_wins() -> None:
    own = [Process("own", [Tag("hostname", "h"), Tag("service.name", "other")]) for _ in range(2)]
    spans = [_span(process=own[0]), _span(), _span(process=own[1])]
    resources = _resources(Batch(Process("shop", [Tag("hostname", "a"), Tag("host.name", "b")]), spans))
    found = [
        ({p.key: p.value.string_value for p in r.resource.attributes}, len(r.scope_spans[0].spans)) for r in resources
    ]
    assert found == [
        ({"service.name": "own", "host.name": "h"}, 2),
        ({"service.name": "shop", "hostname": "a", "host.name": "b"}, 1),
    ]
    (nameless,) = _resources(Batch(None, [_span()]))
    assert not nameless.resource.attributes


def test_the_scope_the_trace_state_and_the_sampled_flag_are_kept() -> None:
    tags = [Tag("otel.library.name", "lib"), Tag("otel.scope.version", "1"), Tag("w3c.tracestate", "a=b")]
    (resource,) = _resources(Batch(None, [_span(*tags, flags=3)]))
    (scope,) = resource.scope_spans
    assert (scope.scope.name, scope.scope.version) == ("lib", "1")
    (span,) = scope.spans
    assert (span.trace_state, span.flags, len(span.attributes)) == ("a=b", 1, 0)


@pytest.mark.parametrize(
    ("start", "duration", "expected"),
    [(-5, 3, (0, 0)), (2**80, 2**80, (2**63 - 1, 2**63 - 1)), (10, -3, (10, 10))],
)
def test_impossible_times_are_moved_to_possible_ones(start: int, duration: int, expected: tuple[int, int]) -> None:
    span = _translated(_span(start_ns=start, duration_ns=duration))
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == expected


def test_ids_of_64_bits_are_padded_and_impossible_ones_left_for_the_decoder_to_count() -> None:
    span = b"\x0a\x08" + bytes(7) + b"\x05" + b"\x12\x02\x01\x02"
    (batch,) = batches_of(_field(1, _field(1, span)))
    assert (batch.spans[0].trace_id, batch.spans[0].span_id) == (bytes(15) + b"\x05", bytes(6) + b"\x01\x02")
    (batch,) = batches_of(_field(1, _field(1, b"\x0a\x11" + bytes(17))))
    assert (len(batch.spans[0].trace_id), batch.spans[0].span_id) == (17, b"")


def _field(number: int, body: bytes) -> bytes:
    size, head = len(body), bytearray([number << 3 | 2])
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes(head) + bytes([size]) + body


def test_what_is_too_much_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaeger_proto, "SPANS_MAX", 1000)
    for nothing in (b"\x0a\x00", b"\x12\x00", b"\x1a\x00"):
        with pytest.raises(TelemetryRejectedError, match="More than 1000 spans"):
            batches_of(_field(1, nothing * 1002))
    with pytest.raises(TelemetryRejectedError, match="more than 1 MiB"):
        batches_of(_field(1, _field(1, b"\x42\x00" * (1 << 20))))


@pytest.mark.parametrize("body", [b"\x0a", b"\x0a\x7f", b"\x0b", b"\x09\x00", b"\xff" * 11, b"\x08"])
def test_what_is_not_protobuf_is_refused(body: bytes) -> None:
    with pytest.raises(TelemetryRejectedError):
        batches_of(body)
