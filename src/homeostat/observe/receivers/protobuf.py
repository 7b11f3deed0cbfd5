"""Protobuf messages of others, described by a table of their fields; and the top level of one, read without a parser.

Used by ``jaeger_proto`` and ``zipkin_proto``. The packages that hold such classes are old or bring their own names.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from homeostat.core.errors import TelemetryRejectedError

Field = descriptor_pb2.FieldDescriptorProto
"""Holds the names of the scalar types."""

Fields = Sequence[tuple[str, int, int | str]]
"""Name, number, and a scalar type or the name of a message, with * where it is repeated."""

FIELDS_MAX: Final = 400_000
"""Of one message: spans or series of a request, each some tens of bytes. An empty one is two."""

_BYTES_WIRE: Final = 2  # length-delimited
_WIDTHS: Final = {1: 8, 5: 4}
_VARINT_WIRE: Final = 0


def message_class(
    package: str, messages: Mapping[str, Fields], name: str, *, repeated: Collection[str] = ()
) -> type[Message]:
    """The class of one of the messages. Enums are declared as int32: a value that is not known is kept.

    ``repeated`` names the scalars (``Message.field``) that are lists.
    """
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for message_name, fields in messages.items():
        message = file.message_type.add(name=message_name)
        for field_name, number, kind in fields:
            field = message.field.add(name=field_name, number=number, label=Field.LABEL_OPTIONAL)
            if isinstance(kind, str):
                field.type, field.type_name = Field.TYPE_MESSAGE, f".{package}.{kind.rstrip('*')}"
                if kind.endswith("*"):
                    field.label = Field.LABEL_REPEATED
            else:
                if f"{message_name}.{field_name}" in repeated:
                    field.label = Field.LABEL_REPEATED
                field.type = kind  # pyright: ignore[reportAttributeAccessIssue] (an int is the enum's value)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))


def submessages(data: bytes) -> Iterator[tuple[int, memoryview]]:
    """The length-delimited fields of a message, in order: number and bytes; others are passed over.

    Raises TelemetryRejectedError. So a large request is parsed piece by piece: a byte of protobuf can make a hundred
    bytes of objects.
    """
    view, at, count = memoryview(data), 0, 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire, count = tag & 7, count + 1
        if not tag >> 3 or count > FIELDS_MAX:
            what = f"More than {FIELDS_MAX} fields. Send smaller batches." if tag >> 3 else "Field 0 is not protobuf."
            raise TelemetryRejectedError(what)
        if wire == _BYTES_WIRE:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise TelemetryRejectedError(f"{size} bytes are announced at byte {at}, {len(data) - at} are there.")
            yield tag >> 3, view[at : at + size]
            at += size
        elif wire == _VARINT_WIRE:
            _, at = _varint(data, at)
        elif wire in _WIDTHS:
            at += _WIDTHS[wire]
        else:
            raise TelemetryRejectedError(f"Wire type {wire} at byte {at} is not protobuf.")
    if at > len(data):
        raise TelemetryRejectedError("The message ends too early.")


def padded(identifier: bytes, width: int) -> bytes:
    """An id of 64 bits where one of 128 is expected gets leading zeros. None stays none."""
    return identifier.rjust(width, b"\0") if identifier else b""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise TelemetryRejectedError("The message ends too early.")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise TelemetryRejectedError(f"A number of more than ten bytes ends at byte {at}.")
