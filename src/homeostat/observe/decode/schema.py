"""OTLP trace requests as a *finite* Arrow schema, for ``observe.decode.traces``.

Protobuf lets us declare AnyValue's recursive members (``array_value = 5``, ``kvlist_value = 6``) as ``bytes``: both
are length-delimited on the wire. What is left has no recursion, so ``ptars`` (Rust) can turn request bytes into
nested Arrow columns with no Python loop; the rare nested value is decoded by ``observe.decode.values``.
"""

from typing import Final

import ptars
from google.protobuf import descriptor_pb2, descriptor_pool
from ptars._lib import MessageHandler

_F = descriptor_pb2.FieldDescriptorProto
_BYTES_LIST: Final = "bytes*"

_Messages = dict[str, list[tuple[str, int, int | str]]]

# (name, field number, scalar type | message name, with * for repeated). Numbers are those of opentelemetry-proto 1.x.
_MESSAGES: Final[_Messages] = {
    "AnyValue": [
        ("string_value", 1, _F.TYPE_STRING),
        ("bool_value", 2, _F.TYPE_BOOL),
        ("int_value", 3, _F.TYPE_INT64),
        ("double_value", 4, _F.TYPE_DOUBLE),
        ("array_value", 5, _F.TYPE_BYTES),
        ("kvlist_value", 6, _F.TYPE_BYTES),
        ("bytes_value", 7, _F.TYPE_BYTES),
    ],
    "KeyValue": [("key", 1, _F.TYPE_STRING), ("value", 2, "AnyValue")],
    "Event": [
        ("time_unix_nano", 1, _F.TYPE_FIXED64),
        ("name", 2, _F.TYPE_STRING),
        ("attributes", 3, "KeyValue*"),
        ("dropped_attributes_count", 4, _F.TYPE_UINT32),
    ],
    "Link": [
        ("trace_id", 1, _F.TYPE_BYTES),
        ("span_id", 2, _F.TYPE_BYTES),
        ("trace_state", 3, _F.TYPE_STRING),
        ("attributes", 4, "KeyValue*"),
        ("dropped_attributes_count", 5, _F.TYPE_UINT32),
        ("flags", 6, _F.TYPE_FIXED32),
    ],
    "Status": [("message", 2, _F.TYPE_STRING), ("code", 3, _F.TYPE_INT32)],
    "Span": [
        ("trace_id", 1, _F.TYPE_BYTES),
        ("span_id", 2, _F.TYPE_BYTES),
        ("trace_state", 3, _F.TYPE_STRING),
        ("parent_span_id", 4, _F.TYPE_BYTES),
        ("name", 5, _F.TYPE_STRING),
        ("kind", 6, _F.TYPE_INT32),
        ("start_time_unix_nano", 7, _F.TYPE_FIXED64),
        ("end_time_unix_nano", 8, _F.TYPE_FIXED64),
        ("attributes", 9, "KeyValue*"),
        ("dropped_attributes_count", 10, _F.TYPE_UINT32),
        ("events", 11, "Event*"),
        ("dropped_events_count", 12, _F.TYPE_UINT32),
        ("links", 13, "Link*"),
        ("dropped_links_count", 14, _F.TYPE_UINT32),
        ("status", 15, "Status"),
        ("flags", 16, _F.TYPE_FIXED32),
    ],
    "Scope": [("name", 1, _F.TYPE_STRING), ("version", 2, _F.TYPE_STRING), ("attributes", 3, "KeyValue*")],
    "ScopeSpans": [("scope", 1, "Scope"), ("spans", 2, "Span*")],
    "Resource": [("attributes", 1, "KeyValue*")],
    "ResourceSpans": [("resource", 1, "Resource"), ("scope_spans", 2, "ScopeSpans*")],
    "Request": [("resource_spans", 1, "ResourceSpans*")],
}


def _add_field(
    message: descriptor_pb2.DescriptorProto, package: str, name: str, number: int, kind: int | str
) -> None:
    field = message.field.add(name=name, number=number, label=_F.LABEL_OPTIONAL)
    if kind == _BYTES_LIST:
        field.type, field.label = _F.TYPE_BYTES, _F.LABEL_REPEATED
    elif isinstance(kind, str):
        field.type = _F.TYPE_MESSAGE
        field.type_name = f".{package}.{kind.rstrip('*')}"
        if kind.endswith("*"):
            field.label = _F.LABEL_REPEATED
    else:
        field.type = kind  # pyright: ignore[reportAttributeAccessIssue] (the stubs want the enum, an int is one)


_LEAN: Final[_Messages] = {
    **_MESSAGES,
    "AnyValue": [field for field in _MESSAGES["AnyValue"] if field[0] in {"string_value", "int_value"}],
    "Span": [
        (name, number, _BYTES_LIST if name in {"events", "links"} else kind)
        for name, number, kind in _MESSAGES["Span"]
    ],
}
"""Without what most requests do not have: every builder costs its share of every attribute, used or not."""


def _serialized(messages: _Messages) -> _Messages:
    """Attributes of spans as bytes."""
    span = [(name, number, _BYTES_LIST if name == "attributes" else kind) for name, number, kind in messages["Span"]]
    return {**messages, "Span": span}


def _handler(messages: _Messages, package: str, root: str = "Request") -> MessageHandler:
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind in fields:
            _add_field(message, package, field_name, number, kind)
        if name == "AnyValue":
            message.oneof_decl.add(name="value")
            for field in message.field:
                field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    message = pool.FindMessageTypeByName(f"{package}.{root}")
    return ptars.HandlerPool([message.file]).get_for_message(message)


FULL: Final = _handler(_MESSAGES, "homeostat_full")
"""Turns a list of serialized ExportTraceServiceRequest into a record batch, one row per request."""

LEAN: Final = _handler(_LEAN, "homeostat_lean")
"""The same where attributes are texts and integers only and no span has events or links; events and links come as
lists of bytes and a value of another type comes as null, so that one sees when it was not enough."""

FULL_SERIALIZED: Final = _handler(_serialized(_MESSAGES), "homeostat_full_serialized")
LEAN_SERIALIZED: Final = _handler(_serialized(_LEAN), "homeostat_lean_serialized")
"""The two with each attribute of a span as the bytes of a KeyValue."""

FULL_PAIRS: Final = _handler(_MESSAGES, "homeostat_full_pairs", "KeyValue")
LEAN_PAIRS: Final = _handler(_LEAN, "homeostat_lean_pairs", "KeyValue")
"""Turn such bytes into columns ``key`` and ``value``."""

RESOURCES: Final = _handler(_MESSAGES, "homeostat_resources", "Resource")
SCOPES: Final = _handler(_MESSAGES, "homeostat_scopes", "Scope")
EVENTS: Final = _handler(_MESSAGES, "homeostat_events", "Event")
LINKS: Final = _handler(_MESSAGES, "homeostat_links", "Link")
"""Turn one message each into its columns."""
