"""The compiled walk over spans and the library's decoder tell the same of a request, or the walk leaves it alone."""

import random
import shutil
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from homeostat.observe.decode import serialized, span_columns, traces
from homeostat.observe.decode.counting import FIELDS_MAX, ROWS_MAX
from homeostat.observe.decode.serialized import is_serialized, whole_table
from homeostat.observe.decode.span_parts import ATTRIBUTES_MAX
from homeostat.store.telemetry.schema import column

HAS_COMPILER = shutil.which("cc") is not None and (Path(sysconfig.get_path("include")) / "Python.h").is_file()

needs_walk = pytest.mark.skipif(
    traces.Walk is None and not HAS_COMPILER, reason="there is no C compiler here, so nothing was compiled"
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


def _headers(message: bytes, base: int, names: Sequence[int]) -> Iterator[int]:
    """Where the tags and lengths of a message lie, and of those that its fields ``names[0]`` hold, and so on."""
    at = 0
    while at < len(message):
        tag = message[at]
        yield base + at
        at += 1
        if tag & 7 != 2:
            at += {0: 1, 1: 8, 5: 4}[tag & 7]
            continue
        size, begin = _read_varint(message, at)
        yield base + at
        if names and tag >> 3 == names[0]:
            yield from _headers(message[begin : begin + size], base + begin, names[1:])
        at = begin + size


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


@needs_walk
@pytest.mark.parametrize("length", [2, 5, 6, 10])
@pytest.mark.parametrize("of", ["span", "event", "resource", "scope"])
def test_a_tag_or_a_length_that_is_written_too_long_is_judged_by_the_library(of: str, length: int) -> None:
    nested = AnyValue(
        array_value=ArrayValue(values=[AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="k")]))])
    )
    pair = KeyValue(key="a", value=nested).SerializeToString()
    good = _holding(pair, of)
    assert _walked(good)
    # a pair: tag length key tag length [AnyValue: tag length [ArrayValue: tag length [AnyValue: tag length [...]]]]
    for place in _headers(pair, 0, [2, 5, 1, 6, 1]):
        low = pair[place]
        padded = bytes([low | 0x80, *[0x80] * (length - 2), 0])
        bad = _holding(_grown(pair, place, padded), of)
        assert not _walked(bad)
        for decode in (traces.decode_for_sampling, traces.decode):
            walked, read = decode([good, bad, good]), _read([good, bad, good])
            assert _told(walked) == read


def _grown(message: bytes, place: int, header: bytes) -> bytes:
    """The message with another header at a place, and the lengths around it that fit."""
    return _rebuilt(message, place, header, [2, 5, 1, 6, 1])


def _rebuilt(message: bytes, place: int, header: bytes, names: Sequence[int]) -> bytes:
    out, at = b"", 0
    while at < len(message):
        tag, tag_at = message[at], at
        at += 1
        head = header if tag_at == place else bytes([tag])
        if tag & 7 != 2:
            out += head + message[at : at + 1]
            at += 1
            continue
        size, begin = _read_varint(message, at)
        content = message[begin : begin + size]
        if names and tag >> 3 == names[0] and begin <= place < begin + size:
            content = _rebuilt(content, place - begin, header, names[1:])
        out += head + (header if at == place else _varint(len(content))) + content
        at = begin + size
    return out


def _holding(pair: bytes, of: str) -> bytes:
    """A request with one span, and one attribute of it, of an event of it, of its resource or its scope."""
    span = Span(trace_id=bytes([1] * 16), span_id=bytes([2] * 8)).SerializeToString()
    if of == "span":
        span += _field(9, pair)
    if of == "event":
        span += _field(11, _field(3, pair))
    scope = (_field(1, _field(3, pair)) if of == "scope" else b"") + _field(2, span)
    return _field(1, (_field(1, _field(1, pair)) if of == "resource" else b"") + _field(2, scope))


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


@needs_walk
@pytest.mark.parametrize("name", ["table_of", "whole_table"])
def test_what_raises_after_the_walk_is_judged_request_by_request(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def unreadable(_: object) -> pa.Table:
        raise ValueError("two parsers differ")

    monkeypatch.setattr(traces, name, unreadable)
    good, bad = _full(), b"\xff"
    decoded = traces.decode([good, bad, good])
    assert [outcome.error is None for outcome in decoded.outcomes] == [True, False, True]
    assert decoded.outcomes[0].accepted == 6


def test_an_acknowledged_attribute_that_can_not_be_read_is_left_out_and_holds_up_nothing() -> None:
    fine = KeyValue(key="a", value=AnyValue(string_value="b")).SerializeToString()
    column_type = serialized.SERIALIZED_SCHEMA.field("attributes").type
    table = traces.decode_for_sampling([_of(), _of(), _of()]).table
    attributes = pa.array([[fine, b"\x0a\x05a"], [], [fine]], column_type)
    spans = table.set_column(table.schema.get_field_index("attributes"), table.schema.field("attributes"), attributes)
    with pytest.raises(ValueError, match=r"\w"):
        serialized.whole_table(spans.to_batches())
    for rows in (spans, spans.slice(0, 1), spans.slice(1)):
        read = serialized.acknowledged_table(rows.to_batches()).column("attributes").to_pylist()
        assert read == [[("a", "b")], [], [("a", "b")]][: len(read)] or read == [[], [("a", "b")]]


@needs_walk
def test_the_walk_has_the_bounds_of_the_library_path() -> None:
    from homeostat.observe.decode import span_walk

    assert span_walk.LIMITS == (ATTRIBUTES_MAX, ROWS_MAX, FIELDS_MAX)
    unknown = b"\x0a\x00" + b"\x18\x01" * FIELDS_MAX  # a field of no known number of a request
    assert not _walked(unknown)
    assert _walked(unknown[:-4])


@needs_walk
def test_large_resources_are_not_remembered_and_many_small_ones_within_a_bound() -> None:
    texts = span_columns._Texts(lambda messages: [(message.as_py().hex(),) for message in messages])  # pyright: ignore[reportPrivateUsage]
    for number in range(300):
        texts.of(pa.array([bytes([number % 256]) * 40_000, f"{number}".encode()], pa.binary()))
    remembered = texts._known  # pyright: ignore[reportPrivateUsage]
    assert remembered.keys() == {f"{number}".encode() for number in range(300)}
    for number in range(3_000):
        texts.of(pa.array([f"{number:05}".encode() * 100], pa.binary()))
    assert sum(len(message) + len(text[0]) for message, text in remembered.items()) <= 4 << 20


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
