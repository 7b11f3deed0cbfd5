"""Jaeger's Thrift messages: the batch of ``POST /api/traces`` and the agent's ``emitBatch``.

Field numbers are those of jaegertracing/jaeger-idl, thrift/jaeger.thrift and agent.thrift. Called by ``jaeger_http``
and ``jaeger_udp``. Every function raises ThriftError for bytes that are no such message.
"""

from typing import Final

from homeostat.observe.receivers.jaeger_model import Batch, Log, Process, Reference, Span, Tag, Value
from homeostat.observe.receivers.thrift import BinaryReader, CompactReader, Kind, Reader, ThriftError

_STRING, _DOUBLE, _BOOL, _LONG, _BINARY = range(5)  # TagType
_FOLLOWS_FROM: Final = 1  # SpanRefType
_COMPACT_STRUCT_FIRST: Final = 0x1C  # a struct as field 1; in the binary protocol the same begins with 0x0c
_CALLS: Final = frozenset({1, 4})  # call, oneway
_WORD: Final = 1 << 64


def batch_of(body: bytes) -> Batch:
    """The Batch that is a whole HTTP body. Its first byte tells the protocol: not every content type does."""
    reader: Reader = CompactReader(body) if body[:1] == bytes([_COMPACT_STRUCT_FIRST]) else BinaryReader(body)
    batch = _batch(reader)
    if reader.left:
        raise ThriftError(f"{reader.left} bytes follow the batch.")
    return batch


def emitted_batch(reader: Reader) -> Batch:
    """The argument of the agent's ``emitBatch``."""
    name, kind = reader.message()
    if name != "emitBatch" or kind not in _CALLS:
        raise ThriftError(f"Message {name[:40]!r} of type {kind} is not a call of emitBatch.")
    batch: Batch | None = None
    for number, field_kind in reader.fields():
        if number == 1 and field_kind is Kind.STRUCT:
            batch = _batch(reader)
        else:
            reader.skip(field_kind)
    if batch is None:
        raise ThriftError("emitBatch was called without a batch.")
    return batch


def _batch(reader: Reader) -> Batch:
    process: Process | None = None
    spans: list[Span] | None = None
    for number, kind in reader.fields():
        if number == 1 and kind is Kind.STRUCT:
            process = _process(reader)
        elif number == 2 and kind is Kind.LIST:
            spans = reader.structs(_span)
        else:
            reader.skip(kind)
    if process is None or spans is None:
        raise ThriftError("A Batch needs a process and spans.")
    return Batch(process, spans)


def _process(reader: Reader) -> Process:
    service: str | None = None
    tags: list[Tag] = []
    for number, kind in reader.fields():
        if number == 1 and kind is Kind.TEXT:
            service = reader.text()
        elif number == 2 and kind is Kind.LIST:
            tags = reader.structs(_tag)
        else:
            reader.skip(kind)
    if service is None:
        raise ThriftError("A Process needs a serviceName.")
    return Process(service, tags)


class _Numbers:
    """The integers of a struct, by field; all are required."""

    __slots__ = ("_of", "_what")

    def __init__(self, what: str) -> None:
        self._what = what
        self._of: dict[int, int] = {}

    def read(self, reader: Reader, number: int, kind: Kind) -> None:
        self._of[number] = reader.integer(kind)

    def word(self, number: int) -> bytes:
        """As eight bytes, big-endian."""
        return (self[number] % _WORD).to_bytes(8, "big")

    def __getitem__(self, number: int) -> int:
        value = self._of.get(number)
        if value is None:
            raise ThriftError(f"A {self._what} needs its field {number}.")
        return value


_INTEGERS: Final = frozenset({Kind.I32, Kind.I64})
_SPAN_INTEGERS: Final = frozenset({1, 2, 3, 4, 7, 8, 9})


def _span(reader: Reader) -> Span:
    numbers = _Numbers("Span")
    name: str | None = None
    references: list[Reference] = []
    tags: list[Tag] = []
    logs: list[Log] = []
    for number, kind in reader.fields():
        if kind in _INTEGERS and number in _SPAN_INTEGERS:
            numbers.read(reader, number, kind)
        elif number == 5 and kind is Kind.TEXT:
            name = reader.text()
        elif number == 6 and kind is Kind.LIST:
            references = reader.structs(_reference)
        elif number == 10 and kind is Kind.LIST:
            tags = reader.structs(_tag)
        elif number == 11 and kind is Kind.LIST:
            logs = reader.structs(_log)
        else:
            reader.skip(kind)
    if name is None:
        raise ThriftError("A Span needs an operationName.")
    return Span(
        trace_id=numbers.word(2) + numbers.word(1),
        span_id=numbers.word(3),
        parent_id=numbers.word(4) if numbers[4] else b"",
        name=name,
        start_ns=numbers[8] * 1000,
        duration_ns=numbers[9] * 1000,
        flags=numbers[7],
        references=references,
        tags=tags,
        logs=logs,
    )


def _reference(reader: Reader) -> Reference:
    numbers = _Numbers("SpanRef")
    for number, kind in reader.fields():
        if kind in _INTEGERS and 1 <= number <= 4:
            numbers.read(reader, number, kind)
        else:
            reader.skip(kind)
    return Reference(numbers.word(3) + numbers.word(2), numbers.word(4), numbers[1] == _FOLLOWS_FROM)


def _log(reader: Reader) -> Log:
    time_us: int | None = None
    fields: list[Tag] | None = None
    for number, kind in reader.fields():
        if number == 1 and kind is Kind.I64:
            time_us = reader.integer(kind)
        elif number == 2 and kind is Kind.LIST:
            fields = reader.structs(_tag)
        else:
            reader.skip(kind)
    if time_us is None or fields is None:
        raise ThriftError("A Log needs a timestamp and fields.")
    return Log(time_us * 1000, fields)


def _tag(reader: Reader) -> Tag:
    key: str | None = None
    kind_of_value: int | None = None
    values: dict[int, Value] = {}
    for number, kind in reader.fields():
        if number == 1 and kind is Kind.TEXT:
            key = reader.text()
        elif number == 2 and kind is Kind.I32:
            kind_of_value = reader.integer(kind)
        elif number == 3 and kind is Kind.TEXT:
            values[_STRING] = reader.text()
        elif number == 4 and kind is Kind.DOUBLE:
            values[_DOUBLE] = reader.double()
        elif number == 5 and kind is Kind.BOOL:
            values[_BOOL] = reader.boolean()
        elif number == 6 and kind is Kind.I64:
            values[_LONG] = reader.integer(kind)
        elif number == 7 and kind is Kind.TEXT:
            values[_BINARY] = reader.binary()
        else:
            reader.skip(kind)
    if key is None or kind_of_value is None:
        raise ThriftError("A Tag needs a key and a vType.")
    return Tag(key, values.get(kind_of_value, _EMPTY.get(kind_of_value, "")))


_EMPTY: Final[dict[int, Value]] = {_STRING: "", _DOUBLE: 0.0, _BOOL: False, _LONG: 0, _BINARY: b""}
"""A value that is not written is the type's zero, as Jaeger's own getters have it."""
