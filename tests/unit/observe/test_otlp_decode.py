"""OTLP bytes become columns: field by field as the official parser reads them, and nothing malformed gets through."""

import json
import random

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from homeostat.observe.decode import traces as decode_module
from homeostat.observe.decode.traces import decode
from support.otlp_values import NANOS, SMALL, assert_same_attributes, key_values
from support.spans import S, body, request


@st.composite
def spans(draw: st.DrawFn) -> Span:
    span = Span(
        trace_id=draw(st.binary(min_size=16, max_size=16).filter(any)),
        span_id=draw(st.binary(min_size=8, max_size=8).filter(any)),
        parent_span_id=draw(st.one_of(st.just(b""), st.just(bytes(8)), st.binary(min_size=8, max_size=8))),
        trace_state=draw(st.sampled_from(["", "a=1"])),
        name=draw(st.text(max_size=8)),
        start_time_unix_nano=draw(NANOS),
        end_time_unix_nano=draw(NANOS),
        attributes=draw(key_values()),
        flags=draw(SMALL),
        dropped_attributes_count=draw(SMALL),
    )
    span.kind = draw(st.integers(0, 7))  # pyright: ignore[reportAttributeAccessIssue]
    if draw(st.booleans()):
        span.status.code = draw(st.integers(0, 4))  # pyright: ignore[reportAttributeAccessIssue]
        span.status.message = draw(st.text(max_size=4))
    for _ in range(draw(st.integers(0, 2))):
        span.events.add(name="e", time_unix_nano=draw(NANOS), attributes=draw(key_values(1)))
        span.links.add(trace_id=b"1" * 16, span_id=b"2" * 8, attributes=draw(key_values(1)))
    return span


@st.composite
def requests(draw: st.DrawFn) -> ExportTraceServiceRequest:
    built = ExportTraceServiceRequest()
    for _ in range(draw(st.integers(0, 3))):
        resource_spans = built.resource_spans.add()
        resource_spans.resource.attributes.extend(draw(key_values()))
        if draw(st.booleans()):
            name = resource_spans.resource.attributes.add(key="service.name")
            name.value.string_value = draw(st.sampled_from(["shop", "bank", ""]))
        for _ in range(draw(st.integers(0, 2))):
            scope_spans = resource_spans.scope_spans.add()
            if draw(st.booleans()):
                scope_spans.scope.name = "lib"
                scope_spans.scope.version = "2"
                scope_spans.scope.attributes.extend(draw(key_values(1)))
            scope_spans.spans.extend(draw(st.lists(spans(), max_size=3)))
    return built


@given(st.lists(requests(), min_size=1, max_size=3))
@settings(max_examples=50, deadline=None)
def test_every_field_is_read_as_the_official_parser_reads_it(built: list[ExportTraceServiceRequest]) -> None:
    decoded = decode([one.SerializeToString() for one in built])
    decoded.spans.validate(full=True)
    rows = decoded.spans.to_pylist()
    latest = 2**63 - 1
    expected = [
        (resource_spans, scope_spans, span)
        for one in built
        for resource_spans in one.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    ]
    assert len(rows) == len(expected)
    assert sum(outcome.accepted for outcome in decoded.outcomes) == len(expected)
    for row, (resource_spans, scope_spans, span) in zip(rows, expected, strict=True):
        start, end = min(span.start_time_unix_nano, latest), min(span.end_time_unix_nano, latest)
        assert row["trace_id"] == span.trace_id
        assert row["span_id"] == span.span_id
        assert row["parent_span_id"] == (span.parent_span_id if any(span.parent_span_id) else None)
        assert row["name"] == span.name
        assert row["trace_state"] == span.trace_state
        assert row["kind"] == (span.kind if span.kind <= 5 else 0)
        assert (row["start_ns"], row["duration_ns"]) == (start, max(0, end - start))
        assert row["status_code"] == (span.status.code if span.status.code <= 2 else 0)
        assert row["status_message"] == span.status.message
        assert row["flags"] == span.flags
        assert row["dropped_attributes"] == span.dropped_attributes_count
        assert (row["scope"], row["scope_version"]) == (scope_spans.scope.name, scope_spans.scope.version)
        assert_same_attributes(row["attributes"], list(span.attributes))
        assert [event["name"] for event in row["events"]] == [event.name for event in span.events]
        for found, event in zip(row["events"], span.events, strict=True):
            assert found["time_ns"] == min(event.time_unix_nano, latest)
            assert_same_attributes(found["attributes"], list(event.attributes))
        for found, link in zip(row["links"], span.links, strict=True):
            assert (found["trace_id"], found["span_id"]) == (link.trace_id, link.span_id)
            assert_same_attributes(found["attributes"], list(link.attributes))
        named = [pair.value for pair in resource_spans.resource.attributes if pair.key == "service.name"]
        assert row["service"] == (named[-1].string_value if named and named[-1].string_value else "unknown_service")
        for pair in resource_spans.resource.attributes:
            assert pair.key in json.loads(row["resource"])


def _official_accepts(data: bytes) -> bool:
    try:
        ExportTraceServiceRequest.FromString(data)
    except DecodeError:
        return False
    return True


def _rich_request() -> bytes:
    built = request([S(trace=n, span=n, attributes={"k": "v" * n}) for n in range(1, 6)])
    for span in built.resource_spans[0].scope_spans[0].spans:
        span.attributes.add(key="n").value.int_value = 7
        span.attributes.add(key="d").value.double_value = 0.5
        span.attributes.add(key="l").value.array_value.values.add().string_value = "x"
        span.events.add(name="exception").attributes.add(key="m").value.string_value = "boom"
        span.links.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    return built.SerializeToString()


def test_mutated_requests_never_crash_and_are_judged_as_the_official_parser_judges_them() -> None:
    """What it refuses and we accept is broken in parts that we do not read: groups, unknown fields."""
    chance = random.Random(3)
    originals = [_rich_request(), body([S()])]
    accepted_wrongly = refused_wrongly = 0
    for _ in range(3000):
        data = bytearray(chance.choice(originals))
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        mutated = bytes(data[: chance.randrange(len(data))] if chance.random() < 0.3 else data)
        accepted = decode([mutated]).outcomes[0].error is None
        accepted_wrongly += accepted and not _official_accepts(mutated)
        refused_wrongly += not accepted and _official_accepts(mutated)
    assert refused_wrongly == 0
    assert accepted_wrongly <= 15, f"{accepted_wrongly} of 3000"


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_random_bytes_never_crash(data: bytes) -> None:
    assert len(decode([data]).outcomes) == 1


def test_one_malformed_request_spoils_none_of_those_it_arrives_with() -> None:
    good = body([S(trace=1, span=1), S(trace=1, span=2)])
    decoded = decode([good, good[:-3], b"", b"\xff\xff", good])
    assert [outcome.accepted for outcome in decoded.outcomes] == [2, 0, 0, 0, 2]
    assert [outcome.error is not None for outcome in decoded.outcomes] == [False, True, False, True, False]
    assert decoded.spans.num_rows == 4


@pytest.mark.parametrize(
    ("trace_id", "span_id", "parent"),
    [
        (b"", b"s" * 8, b""),
        (b"t" * 15, b"s" * 8, b""),
        (bytes(16), b"s" * 8, b""),
        (b"t" * 16, b"", b""),
        (b"t" * 16, b"s" * 9, b""),
        (b"t" * 16, bytes(8), b""),
        (b"t" * 16, b"s" * 8, b"p" * 3),
    ],
)
def test_a_span_with_impossible_ids_is_dropped_and_counted_and_the_rest_is_kept(
    trace_id: bytes, span_id: bytes, parent: bytes
) -> None:
    built = request([S(trace=1, span=1), S(trace=2, span=2)])
    built.resource_spans[0].scope_spans[0].spans.add(trace_id=trace_id, span_id=span_id, parent_span_id=parent)
    decoded = decode([built.SerializeToString(), body([S(trace=3)])])
    assert [(outcome.accepted, outcome.rejected) for outcome in decoded.outcomes] == [(2, 1), (1, 0)]
    assert [row["trace_id"][-1] for row in decoded.spans.to_pylist()] == [1, 2, 3]


def test_a_request_whose_nested_value_is_broken_is_refused() -> None:
    built = request([S()])
    nested = built.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="l").value
    nested.array_value.values.add().string_value = "marker"
    data = built.SerializeToString()
    place = data.index(b"marker") - 1  # the length of the text inside the array
    broken = data[:place] + b"\x7f" + data[place + 1 :]
    assert not _official_accepts(broken)
    assert decode([broken]).outcomes[0].error


def test_many_requests_are_decoded_in_bounded_calls_and_stay_in_order() -> None:
    bodies = [body([S(trace=n, span=n, attributes={"pad": "x" * 4000})]) for n in range(1, 1200)]
    decoded = decode(bodies)
    assert [int.from_bytes(row, "big") for row in decoded.spans["trace_id"].to_pylist()] == list(range(1, 1200))


def test_the_lean_and_the_full_schema_give_the_same_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(5)
    bodies = [body([S(trace=chance.randrange(1, 99), span=n, attributes={"k": str(n)})]) for n in range(1, 20)]
    lean = decode(bodies).spans
    monkeypatch.setattr(decode_module, "LEAN", decode_module.FULL)
    monkeypatch.setattr(decode_module, "_is_enough", lambda _: True)
    assert decode(bodies).spans.to_pylist() == lean.to_pylist()
