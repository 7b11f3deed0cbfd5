"""The compiled walk over spans and the library's decoder tell the same of a request, or the walk leaves it alone."""

import random
import shutil
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from homeostat.observe.decode import serialized, traces
from homeostat.observe.decode.serialized import is_serialized, whole_table
from homeostat.store.telemetry.schema import column

needs_walk = pytest.mark.skipif(
    traces.Walk is None and shutil.which("cc") is None, reason="there is no C compiler here, so nothing was compiled"
)


def _values(depth: int = 0) -> list[AnyValue]:
    plain = [
        AnyValue(string_value="grün"),
        AnyValue(string_value=""),
        AnyValue(int_value=-(2**63)),
        AnyValue(bool_value=True),
        AnyValue(double_value=0.5),
        AnyValue(bytes_value=b"\xff\x00"),
        AnyValue(),
    ]
    if depth == 2:
        return plain
    inner = _values(depth + 1)
    return [
        *plain,
        AnyValue(array_value=ArrayValue(values=inner)),
        AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="in", value=value) for value in inner])),
    ]


def _pairs(prefix: str) -> list[KeyValue]:
    return [KeyValue(key=f"{prefix}.{number}", value=value) for number, value in enumerate(_values())]


def _full() -> bytes:
    """Every field of every message."""
    request = ExportTraceServiceRequest()
    for number in range(2):
        of_resource = request.resource_spans.add(schema_url="https://example.org/1")
        of_resource.resource.attributes.extend([KeyValue(key="service.name", value=AnyValue(string_value="shop"))])
        of_resource.resource.attributes.extend(_pairs("resource"))
        of_resource.resource.dropped_attributes_count = 3
        of_scope = of_resource.scope_spans.add(schema_url="https://example.org/2")
        of_scope.scope.name, of_scope.scope.version = "tracer", "1.2"
        of_scope.scope.attributes.extend(_pairs("scope"))
        for place in range(3):
            span = of_scope.spans.add(
                trace_id=bytes([number + 1] * 16),
                span_id=bytes([place + 1] * 8),
                parent_span_id=bytes(8) if place else b"",
                trace_state="a=b",
                name=f"GET /{place}",
                kind=place + 3,
                start_time_unix_nano=2**64 - 1 if place else 10,
                end_time_unix_nano=25,
                dropped_attributes_count=1,
                dropped_events_count=2,
                dropped_links_count=2**32 - 1,
                flags=257,
            )
            span.attributes.extend(_pairs("span"))
            span.status.message = "no"
            span.status.code = (Status.STATUS_CODE_UNSET, Status.STATUS_CODE_OK, Status.STATUS_CODE_ERROR)[place]
            for _ in range(place):
                span.events.add(time_unix_nano=7, name="e", dropped_attributes_count=4).attributes.extend(_pairs("e"))
                span.links.add(
                    trace_id=b"t" * 16, span_id=b"s" * 8, trace_state="x=y", flags=9, dropped_attributes_count=5
                ).attributes.extend(_pairs("l"))
    return request.SerializeToString()


def _told(decoded: traces.Decoded) -> tuple[list[str], Sequence[traces.Outcome]]:
    return sorted(map(repr, whole_table(decoded.table.to_batches()).to_pylist())), decoded.outcomes


def _read(requests: Sequence[bytes]) -> tuple[list[str], Sequence[traces.Outcome]]:
    """The same, told by the library alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(traces, "Walk", None)
        patch.setattr(serialized, "pair_walk", None)
        return _told(traces.decode(requests))


def _walked(request: bytes) -> bool:
    assert traces.Walk is not None
    return traces.Walk().add(request) is not None


@needs_walk
def test_where_there_is_a_compiler_the_walk_was_built() -> None:
    assert traces.Walk is not None


@needs_walk
def test_every_field_is_read_as_the_library_reads_it() -> None:
    request = _full()
    assert _walked(request)
    assert _told(traces.decode_for_sampling([request, request])) == _told(
        traces.decode_by_library([request, request])
    )


@needs_walk
def test_what_the_walk_takes_of_mutated_requests_the_library_reads_alike() -> None:
    chance = random.Random(11)
    request = _full()
    taken = 0
    for _ in range(1_500):
        mutated = bytearray(request)
        for _ in range(chance.randrange(1, 4)):
            mutated[chance.randrange(len(mutated))] = chance.randrange(256)
        if _walked(bytes(mutated)):
            taken += 1
            assert _told(traces.decode_for_sampling([bytes(mutated)])) == _read([bytes(mutated)])
    assert taken > 100


@needs_walk
def test_a_request_that_is_cut_off_anywhere_is_left_as_if_it_had_not_been_seen() -> None:
    assert traces.Walk is not None
    request = _full()
    walk = traces.Walk()
    assert walk.add(request) is not None
    taken = sum(walk.add(request[:length]) is not None for length in range(1, len(request)))
    whole = 1 + taken  # cut between its two messages it is a request, too
    assert taken == 1
    assert len(walk.columns()["kind"]) == 3 * whole + 3


@needs_walk
@pytest.mark.parametrize(
    "key_value",
    [
        KeyValue(value=AnyValue(int_value=1)).SerializeToString(),  # no key
        KeyValue(key="k" * 128, value=AnyValue(int_value=1)).SerializeToString(),
        b"\x12\x02\x18\x01\x0a\x01a",  # the value first
        b"\x0a\x01a\x12\x02\x18\x01\x12\x02\x18\x02",  # two values
    ],
)
def test_an_unusual_attribute_is_read_by_the_library_and_spoils_nobody_elses_spans(key_value: bytes) -> None:
    span = Span(trace_id=bytes([1] * 16), span_id=bytes([2] * 8)).SerializeToString()
    span += b"\x4a" + _varint(len(key_value)) + key_value
    scope = b"\x12" + _varint(len(span)) + span
    resource = b"\x12" + _varint(len(scope)) + scope
    unusual = b"\x0a" + _varint(len(resource)) + resource
    assert not _walked(unusual)
    usual = _full()
    requests = [usual, unusual, usual]
    assert _told(traces.decode_for_sampling(requests)) == _told(traces.decode(requests)) == _read(requests)


@needs_walk
def test_arrays_that_are_nested_too_deeply_are_left_to_the_library() -> None:
    value = AnyValue(int_value=1)
    for _ in range(40):
        value = AnyValue(array_value=ArrayValue(values=[value]))
    assert not _walked(_of(KeyValue(key="deep", value=value)))
    assert _walked(_of(KeyValue(key="flat", value=AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1)])))))


def _of(*pairs: KeyValue) -> bytes:
    span = Span(trace_id=bytes([1] * 16), span_id=bytes([2] * 8), attributes=pairs)
    return ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[span])])]
    ).SerializeToString()


@needs_walk
def test_too_many_spans_in_one_request_are_left_to_the_library_which_refuses_them() -> None:
    scope = b"\x12\x00" * 300_001
    many = b"\x0a" + _varint(len(scope) + 1 + len(_varint(len(scope)))) + b"\x12" + _varint(len(scope)) + scope
    assert not _walked(many)
    assert traces.decode_for_sampling([many]).outcomes[0].error is not None


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


@needs_walk
def test_attributes_stay_serialized_and_are_the_bytes_that_came() -> None:
    pair = KeyValue(key="order", value=AnyValue(string_value="o-1"))
    attributes = column(traces.decode_for_sampling([_of(pair)]).table, "attributes")
    assert is_serialized(attributes)
    assert isinstance(attributes, pa.ListArray)
    assert attributes.to_pylist() == [[pair.SerializeToString()]]


@needs_walk
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x0a",
        b"\x0a\x05a",
        b"\x12\x02\x18\x01",
        b"\x0a\x01a\x1a\x00",
        b"\x0a\x01a\x12\x01\x18",
        b"\x0a\x01a\x12\x09",
    ],
)
def test_pairs_of_another_form_are_left_to_the_library(content: bytes) -> None:
    assert serialized.pair_walk is not None
    texts, places = np.empty(9, np.uint8), np.empty(2, np.int32)
    offsets, data = np.array([0, len(content)], np.int32), np.frombuffer(content, np.uint8)
    assert serialized.pair_walk.read(offsets, data, texts, places, texts.copy(), places.copy(), places.copy()) is None


@needs_walk
@pytest.mark.parametrize(("keys", "values", "places"), [(2, 9, 2), (9, 2, 2), (9, 9, 1)])
def test_pairs_that_do_not_fit_the_room_are_not_written_behind_it(keys: int, values: int, places: int) -> None:
    assert serialized.pair_walk is not None
    content = KeyValue(key="key", value=AnyValue(string_value="value")).SerializeToString()
    room = np.empty(keys, np.uint8), np.empty(places, np.int32), np.empty(values, np.uint8), np.empty(2, np.int32)
    offsets, data = np.array([0, len(content)], np.int32), np.frombuffer(content, np.uint8)
    assert serialized.pair_walk.read(offsets, data, *room, np.empty(1, np.int32)) is None


def test_without_the_walk_the_library_does_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "Walk", None)
    request = _full()
    assert _told(traces.decode_for_sampling([request])) == _read([request])
