"""The Thrift reader reads what Apache's own library writes, and refuses everything else without trusting a length."""

import struct
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jaeger_client.thrift_gen.agent import Agent
from jaeger_client.thrift_gen.jaeger import ttypes
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TCompactProtocol import TCompactProtocol
from thrift.Thrift import TMessageType
from thrift.transport.TTransport import TMemoryBuffer

from homeostat.observe.receivers.jaeger_model import Batch, Log, Process, Reference, Span, Tag
from homeostat.observe.receivers.jaeger_thrift import batch_of, emitted_batch
from homeostat.observe.receivers.thrift import BinaryReader, CompactReader, Kind, Reader, ThriftError

PROTOCOLS = {"binary": (TBinaryProtocol, BinaryReader), "compact": (TCompactProtocol, CompactReader)}
BOTH = pytest.mark.parametrize("name", list(PROTOCOLS))
I64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.one_of(TEXT, st.booleans(), I64, st.floats(allow_nan=False), TEXT.map(str.encode))
TAGS = st.lists(st.tuples(TEXT, VALUES), max_size=17)


def _tag(key: str, value: str | bool | int | float | bytes) -> ttypes.Tag:
    kind = ttypes.TagType
    match value:
        case bool():
            return ttypes.Tag(key=key, vType=kind.BOOL, vBool=value)
        case str():
            return ttypes.Tag(key=key, vType=kind.STRING, vStr=value)
        case int():
            return ttypes.Tag(key=key, vType=kind.LONG, vLong=value)
        case float():
            return ttypes.Tag(key=key, vType=kind.DOUBLE, vDouble=value)
        case bytes():
            return ttypes.Tag(key=key, vType=kind.BINARY, vBinary=value.decode())  # the generated writer wants text


@st.composite
def _spans(draw: st.DrawFn) -> tuple[ttypes.Span, Span]:
    """A span as Apache's classes have it, and as ours should read it."""
    low, high, span_id, parent = (draw(I64) for _ in range(4))
    start, duration = draw(st.integers(0, 2**50)), draw(st.integers(0, 2**40))
    name, tags, logs = draw(TEXT), draw(TAGS), draw(st.lists(st.tuples(st.integers(0, 2**50), TAGS), max_size=3))
    refs = draw(st.lists(st.tuples(st.integers(0, 1), I64, I64, I64), max_size=16))

    def word(number: int) -> bytes:
        return (number % 2**64).to_bytes(8, "big")

    theirs = ttypes.Span(
        traceIdLow=low,
        traceIdHigh=high,
        spanId=span_id,
        parentSpanId=parent,
        operationName=name,
        references=[ttypes.SpanRef(kind, a, b, c) for kind, a, b, c in refs],
        flags=1,
        startTime=start,
        duration=duration,
        tags=[_tag(*tag) for tag in tags],
        logs=[ttypes.Log(time, [_tag(*tag) for tag in fields]) for time, fields in logs],
    )
    ours = Span(
        trace_id=word(high) + word(low),
        span_id=word(span_id),
        parent_id=word(parent) if parent else b"",
        name=name,
        start_ns=start * 1000,
        duration_ns=duration * 1000,
        flags=1,
        references=[Reference(word(b) + word(a), word(c), kind == 1) for kind, a, b, c in refs],
        tags=[Tag(*tag) for tag in tags],
        logs=[Log(time * 1000, [Tag(*tag) for tag in fields]) for time, fields in logs],
    )
    return theirs, ours


def _written(theirs: ttypes.Batch, protocol: Callable[[TMemoryBuffer], TBinaryProtocol]) -> bytes:
    buffer = TMemoryBuffer()
    theirs.write(protocol(buffer))
    return buffer.getvalue()


def _emitted(theirs: ttypes.Batch, protocol: Callable[[TMemoryBuffer], TBinaryProtocol]) -> bytes:
    buffer = TMemoryBuffer()
    out = protocol(buffer)
    out.writeMessageBegin("emitBatch", TMessageType.ONEWAY, 7)
    Agent.emitBatch_args(batch=theirs).write(out)
    out.writeMessageEnd()
    return buffer.getvalue()


@BOTH
@given(spans=st.lists(_spans(), max_size=17), service=TEXT, tags=TAGS)
@settings(max_examples=25, deadline=None)
def test_what_apache_writes_is_read_field_by_field(
    name: str, spans: list[tuple[ttypes.Span, Span]], service: str, tags: list[tuple[str, str]]
) -> None:
    protocol, reader = PROTOCOLS[name]
    process = ttypes.Process(serviceName=service, tags=[_tag(*tag) for tag in tags])
    theirs = ttypes.Batch(process=process, spans=[span for span, _ in spans])
    ours = Batch(Process(service, [Tag(*tag) for tag in tags]), [span for _, span in spans])
    assert batch_of(_written(theirs, protocol)) == ours
    assert emitted_batch(reader(_emitted(theirs, protocol))) == ours


BATCH = ttypes.Batch(
    process=ttypes.Process(serviceName="shop", tags=[_tag("a", True)]),
    spans=[ttypes.Span(1, 2, 3, 0, "GET /", [], 1, 5, 6, [_tag("k", "v")], [ttypes.Log(7, [_tag("d", 1.5)])])],
)


@BOTH
def test_every_cut_is_refused(name: str) -> None:
    body = _written(BATCH, PROTOCOLS[name][0])
    for end in range(len(body)):
        with pytest.raises(ThriftError):
            batch_of(body[:end])
    with pytest.raises(ThriftError, match="1 bytes follow"):
        batch_of(body + b"\0")


@BOTH
@given(noise=st.binary(max_size=60), at=st.integers(0, 200), byte=st.integers(0, 255))
@example(noise=b"", at=0, byte=0)
def test_a_changed_byte_is_read_or_refused_and_nothing_else(name: str, noise: bytes, at: int, byte: int) -> None:
    body = bytearray(_written(BATCH, PROTOCOLS[name][0]))
    body[at % len(body)] = byte
    for data in (bytes(body), noise, bytes(body[: at % len(body)]) + noise):
        with suppress(ThriftError):
            batch_of(data)
        for reader in (BinaryReader, CompactReader):
            with suppress(ThriftError):
                emitted_batch(reader(data))


def _skipped(reader: Reader) -> int:
    count = 0
    for _, kind in reader.fields():
        reader.skip(kind)
        count += 1
    return count


def test_fields_that_nobody_knows_are_passed_over() -> None:
    fields = (
        b"\x02\x00\x01\x01"  # bool
        b"\x03\x00\x02\x7f"  # byte
        b"\x04\x00\x03" + struct.pack(">d", 1.0) + b"\x06\x00\x04\x00\x01"  # double, i16
        b"\x0b\x00\x05\x00\x00\x00\x02hi"  # text
        b"\x0c\x00\x06\x02\x00\x01\x01\x00"  # struct with a bool
        b"\x0d\x00\x07\x0b\x08\x00\x00\x00\x01\x00\x00\x00\x01k\x00\x00\x00\x09"  # map text -> i32
        b"\x0d\x00\x08\x00\x00\x00\x00\x00\x00"  # an empty map names no types
        b"\x0e\x00\x09\x02\x00\x00\x00\x03\x01\x00\x01"  # set of bool
        b"\x0f\x00\x0a\x00\x00\x00\x00\x00"  # an empty list
        b"\x10\x00\x0b" + bytes(16) + b"\x00"  # uuid
    )
    assert _skipped(BinaryReader(fields)) == 11


def test_a_compact_field_that_nobody_knows_is_passed_over() -> None:
    fields = (
        b"\x11\x12"  # two bools: no bytes of their own
        b"\x19\x31\x01\x02\x01"  # list of three bools
        b"\x1b\x00"  # an empty map
        b"\x1b\x01\x85\x01k\x02"  # map text -> i32
        b"\x17" + bytes(8) + b"\x1c\x11\x00"  # double, struct with a bool
        b"\x05\x64\x04"  # i32 with an id of its own (50)
        b"\x00"
    )
    assert _skipped(CompactReader(fields)) == 8


@pytest.mark.parametrize(
    ("reader", "body"),
    [
        (BinaryReader, b"\x0f\x00\x09\x0c\x7f\xff\xff\xff"),  # two thousand million structs
        (BinaryReader, b"\x0f\x00\x09\x02\xff\xff\xff\xff"),  # minus one
        (BinaryReader, b"\x0b\x00\x09\x7f\xff\xff\xffhi"),
        (BinaryReader, b"\x0b\x00\x09\xff\xff\xff\xffhi"),
        (BinaryReader, b"\x0d\x00\x09\x0b\x0b\x7f\xff\xff\xff"),
        (BinaryReader, b"\x63\x00\x09"),
        (CompactReader, b"\x19\xfc\xff\xff\xff\xff\x07"),
        (CompactReader, b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01hi"),
        (CompactReader, b"\x16" + b"\xff" * 20),
        (CompactReader, b"\x1e"),
        (CompactReader, b"\x1b\xff\xff\xff\xff\x07\x88"),
    ],
)
def test_a_length_that_can_not_be_is_refused_before_anything_is_made_of_it(
    reader: Callable[[bytes], Reader], body: bytes
) -> None:
    with pytest.raises(ThriftError):
        _skipped(reader(body))


@pytest.mark.parametrize(
    "body", [b"\x0c\x00\x01" * 100_000, b"\x0f\x00\x01\x0f\x00\x00\x00\x01" + b"\x0f\x00\x00\x00\x01" * 100_000]
)
def test_endless_nesting_is_refused(body: bytes) -> None:
    with pytest.raises(ThriftError, match="levels deep"):
        _skipped(BinaryReader(body))


def test_more_items_than_the_bound_are_refused() -> None:
    with pytest.raises(ThriftError, match="Too many"):
        _skipped(CompactReader(b"\x11" * 1001 + b"\0", items_max=1000))
    with pytest.raises(ThriftError, match="Too many"):
        _skipped(CompactReader(b"\x19\xf3\xe9\x07" + bytes(1001) + b"\0", items_max=1000))
    assert _skipped(CompactReader(b"\x11" * 1000 + b"\0", items_max=1000)) == 1000


def test_an_old_message_header_is_read_and_a_wrong_version_refused() -> None:
    name, kind = BinaryReader(b"\x00\x00\x00\x09emitBatch\x04\x00\x00\x00\x01").message()
    assert (name, kind) == ("emitBatch", 4)
    with pytest.raises(ThriftError, match="Version"):
        BinaryReader(b"\x80\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00").message()
    with pytest.raises(ThriftError, match="not the beginning"):
        CompactReader(b"\x80\x21\x00\x00").message()


@pytest.mark.parametrize("kind", [Kind.I16, Kind.I32, Kind.I64])
def test_numbers_keep_their_sign(kind: Kind) -> None:
    width = {Kind.I16: 2, Kind.I32: 4, Kind.I64: 8}[kind]
    assert BinaryReader((-2).to_bytes(width, "big", signed=True)).integer(kind) == -2
    assert CompactReader(b"\x03").integer(kind) == -2
