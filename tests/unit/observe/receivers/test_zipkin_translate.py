"""Zipkin's span means the same after it has become OpenTelemetry's."""

import json

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from homeostat.observe.receivers import zipkin_json
from homeostat.observe.receivers.zipkin_model import Annotation, Endpoint, Span
from homeostat.observe.receivers.zipkin_translate import to_otlp

TRACE = bytes(15) + b"\x01"


def _span(number: int = 9, *, parent: int = 0, kind: str = "", service: str = "shop", **given: object) -> Span:
    fields: dict[str, object] = {"name": "get", "time_us": 5, "duration_us": 2, "local": Endpoint(service), **given}
    parent_id = parent.to_bytes(8, "big") if parent else b""
    return Span(TRACE, number.to_bytes(8, "big"), parent_id, kind, **fields)  # pyright: ignore[reportArgumentType]


def _translated(*spans: Span) -> list[OtlpSpan]:
    request = ExportTraceServiceRequest.FromString(to_otlp(spans).request)
    return [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]


def _attributes(holder: OtlpSpan | OtlpSpan.Event) -> dict[str, object]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "") for pair in holder.attributes}


def test_the_servers_half_of_a_shared_span_gets_an_id_of_its_own_below_the_clients() -> None:
    client = _span(1, kind="CLIENT", service="web")
    server = _span(1, kind="SERVER", service="shop", shared=True)
    below = _span(2, parent=1, service="shop")
    beside = _span(3, parent=1, service="web")
    spans = {(span.name, index): span for index, span in enumerate(_translated(client, server, below, beside))}
    by_kind = {span.kind: span for span in spans.values() if span.kind}
    half = by_kind[OtlpSpan.SPAN_KIND_SERVER]
    assert half.span_id != client.span_id
    assert half.parent_span_id == client.span_id
    assert _attributes(half)["zipkin.shared"] is True
    parents = {span.span_id: span.parent_span_id for span in spans.values()}
    assert parents[below.span_id] == half.span_id
    assert parents[beside.span_id] == client.span_id
    (again,) = _translated(server)
    assert again.span_id == half.span_id, "whichever request it comes in"


@pytest.mark.parametrize(
    ("tags", "code", "message"),
    [
        ({"error": "timeout"}, 2, "timeout"),
        ({"error": ""}, 2, ""),
        ({"error": "true"}, 2, ""),
        ({"error": "false"}, 0, ""),
        ({"otel.status_code": "OK"}, 1, ""),
        ({"otel.status_code": "ERROR", "otel.status_description": "no"}, 2, "no"),
        ({"otel.status_code": "ERROR", "error": "no"}, 2, "no"),
    ],
)
def test_the_status_follows_from_the_tags(tags: dict[str, str], code: int, message: str) -> None:
    (span,) = _translated(_span(tags=tags))
    assert (span.status.code, span.status.message, len(span.attributes)) == (code, message, 0)


def test_endpoints_become_attributes() -> None:
    local, remote = Endpoint("shop", "10.0.0.1", "", 80), Endpoint("bank", "", "2001:db8::1", 443)
    (span,) = _translated(_span(local=local, remote=remote))
    assert _attributes(span) == {
        "net.host.ip": "10.0.0.1",
        "net.host.port": 80,
        "peer.service": "bank",
        "net.peer.ip": "2001:db8::1",
        "net.peer.port": 443,
    }


@pytest.mark.parametrize(
    ("value", "name", "attributes"),
    [
        ("retry", "retry", {}),
        (
            '{"retry": {"n": 1, "why": "slow", "list": [1], "x": null}}',
            "retry",
            {"n": 1, "why": "slow", "list": "[1]", "x": "null"},
        ),
        ('{"a": 1}', '{"a": 1}', {}),
        ('{"a": {}, "b": {}}', '{"a": {}, "b": {}}', {}),
        ("{not json", "{not json", {}),
        ('{"\\ud800": {"\\ud800": "\\ud800"}}', "?", {"?": "?"}),
        ('{"a": {"n": ' + "9" * 40 + "}}", "a", {"n": 2**63 - 1}),
    ],
)
def test_annotations_become_events(value: str, name: str, attributes: dict[str, object]) -> None:
    (span,) = _translated(_span(annotations=[Annotation(7, value)]))
    (event,) = span.events
    assert (event.time_unix_nano, event.name, _attributes(event)) == (7_000, name, attributes)


def test_a_span_without_a_start_begins_with_its_first_annotation_or_is_left_out() -> None:
    noted = _span(1, time_us=0, annotations=[Annotation(8, "b"), Annotation(7, "a"), Annotation(0, "never")])
    never = _span(2, time_us=0)
    translated = to_otlp([noted, never])
    assert translated.without_time == 1
    (span,) = _translated(noted, never)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (7_000, 9_000)


def test_tags_of_the_resource_go_there_and_differing_ones_stay_apart() -> None:
    one, two = ({"service.name": "x", "host.name": host, "k": "v"} for host in ("a", "b"))
    request = ExportTraceServiceRequest.FromString(to_otlp([_span(1, tags=one), _span(2, tags=two)]).request)
    found = [{p.key: p.value.string_value for p in r.resource.attributes} for r in request.resource_spans]
    assert found == [{"service.name": "shop", "host.name": "a"}, {"service.name": "shop", "host.name": "b"}]


def test_a_span_is_not_its_own_parent() -> None:
    (span,) = _translated(_span(1, parent=1))
    assert span.parent_span_id == b""


def test_json_ids_of_64_bits_are_padded_and_nulls_are_nothing() -> None:
    document = {
        "traceId": "a1",
        "id": "B2",
        "parentId": None,
        "name": None,
        "kind": None,
        "timestamp": 5,
        "localEndpoint": None,
        "remoteEndpoint": {"ipv4": "nonsense", "port": None},
        "annotations": None,
        "tags": {"n": 5, "x": None},
        "shared": None,
        "unknown": [1],
    }
    (span,) = zipkin_json.spans_of(json.dumps([document]).encode())
    assert (span.trace_id, span.span_id, span.parent_id) == (bytes(15) + b"\xa1", bytes(7) + b"\xb2", b"")
    assert (span.remote, span.tags) == (Endpoint(), {"n": "5", "x": ""})
