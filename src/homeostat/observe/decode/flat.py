"""A protobuf message as a *finite* Arrow schema, derived from its official descriptor. For ``metrics`` and ``logs``.

``decode.schema`` says why: AnyValue is the only recursion, and its two recursive members are length-delimited, as
``bytes`` are. Other messages may be asked for as bytes too, where the bytes themselves are a good key.
"""

from collections.abc import Collection
from typing import Any, Final

import ptars
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import Message
from ptars._lib import MessageHandler

_F = descriptor_pb2.FieldDescriptorProto
_RECURSIVE: Final = frozenset({"AnyValue.array_value", "AnyValue.kvlist_value"})
_UNUSED: Final = frozenset(
    {
        "AnyValue.string_value_strindex",  # profiles only, as the next
        "KeyValue.key_strindex",
        "Resource.dropped_attributes_count",
        "Resource.entity_refs",
        "InstrumentationScope.dropped_attributes_count",
        "Metric.metadata",
    }
)


RARE_VALUES: Final = frozenset(f"AnyValue.{kind}_value" for kind in ("bool", "double", "array", "kvlist", "bytes"))
"""What most attributes are not: the others are texts and integers."""


def handler(
    request: type[Message], package: str, *, raw: Collection[str] = (), left_out: Collection[str] = ()
) -> MessageHandler:
    """What turns a list of serialized ``request`` messages into a record batch, one row per message.

    ``raw`` names the fields (``Message.field``) whose messages stay bytes, ``left_out`` those that are not looked at.
    Enums come as int32. What no column is made of is left out: each builder costs its share of every row.
    """
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    names: set[str] = set()
    _add(file, request.DESCRIPTOR, (frozenset(raw) | _RECURSIVE, frozenset(left_out) | _UNUSED), names)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    flat = pool.FindMessageTypeByName(f"{package}.{request.DESCRIPTOR.name}")
    return ptars.HandlerPool([flat.file]).get_for_message(flat)


def _add(
    file: descriptor_pb2.FileDescriptorProto,
    source: Any,
    special: tuple[frozenset[str], frozenset[str]],
    names: set[str],
) -> None:
    """Copy a message and, once each, the messages in it. OTLP's names are unique without their enclosing message.

    ``special``: the fields that stay bytes, and those that are left out.
    """
    raw, left_out = special
    names.add(source.name)
    own = descriptor_pb2.DescriptorProto()
    source.CopyToProto(own)
    message = file.message_type.add(name=source.name)
    message.oneof_decl.extend(own.oneof_decl)
    inner: list[Any] = []
    for copied, field in zip(own.field, source.fields, strict=True):
        if f"{source.name}.{field.name}" in left_out or field.name == "schema_url":
            continue
        if copied.type == _F.TYPE_MESSAGE and f"{source.name}.{field.name}" not in raw:
            copied.type_name = f".{file.package}.{field.message_type.name}"
            inner.append(field.message_type)
        elif copied.type == _F.TYPE_MESSAGE:
            copied.type = _F.TYPE_BYTES
            copied.ClearField("type_name")
        elif copied.type == _F.TYPE_ENUM:
            copied.type = _F.TYPE_INT32
            copied.ClearField("type_name")
        message.field.append(copied)
    for kind in inner:
        if kind.name not in names:
            _add(file, kind, special, names)
