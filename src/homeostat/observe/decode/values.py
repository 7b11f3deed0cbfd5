"""Attribute values as text, column by column, for ``observe.decode``.

Numbers and booleans are written as JSON writes them, bytes as base64, arrays and maps as JSON (the rules of the
OpenTelemetry specification, "Mapping Arbitrary Data to OTLP AnyValue").
"""

import base64
import json

import pyarrow as pa
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValueList

from homeostat.core.errors import TelemetryRejectedError
from homeostat.store.telemetry.arrow import pc

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]

_SCALARS = ("string_value", "int_value", "double_value", "bool_value")
_NESTED = ("array_value", "kvlist_value", "bytes_value")


def plain(value: AnyValue) -> Json:
    """One AnyValue as JSON has it. The parser has bounded the depth (100), so recursion is safe."""
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode("ascii")
        case "array_value":
            return [plain(item) for item in value.array_value.values]
        case "kvlist_value":
            return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
        case _:
            return None


def _nested_text(array: bytes | None, kvlist: bytes | None, raw: bytes | None) -> str:
    try:
        if array is not None:
            return json.dumps([plain(item) for item in ArrayValue.FromString(array).values])
        if kvlist is not None:
            return json.dumps({pair.key: plain(pair.value) for pair in KeyValueList.FromString(kvlist).values})
    except DecodeError as error:
        raise TelemetryRejectedError(
            f"An attribute holds an array or map that is not valid protobuf: {error}"
        ) from error
    return base64.b64encode(raw or b"").decode("ascii")


def value_text(values: pa.StructArray) -> pa.StringArray:
    """The text of each AnyValue of a column; one that is not set is empty.

    Raises TelemetryRejectedError when a nested value can't be parsed.
    """
    rows = len(values)
    columns = {field.name: values.field(field.name) for field in values.type}  # the lean handler has two of them
    given = [columns[name] for name in _SCALARS if name in columns and columns[name].null_count < rows]
    texts = [column if pa.types.is_string(column.type) else pc.cast(column, pa.string()) for column in given]
    nested = [columns[name] for name in _NESTED if name in columns]
    if any(column.null_count < rows for column in nested):
        texts.append(_nested_column(nested))
    if not texts:
        return pa.array([""] * rows, type=pa.string())
    text = texts[0]
    for other in texts[1:]:  # a third of what coalesce() takes
        text = pc.if_else(pc.is_valid(text), text, other)
    return pc.fill_null(text, "") if text.null_count else text


def _nested_column(nested: list[pa.BinaryArray]) -> pa.StringArray:
    array, kvlist, raw = nested
    present = pc.or_(pc.or_(pc.is_valid(array), pc.is_valid(kvlist)), pc.is_valid(raw))
    where = pc.indices_nonzero(present)
    columns = [pc.take(column, where).to_pylist() for column in nested]
    replacement = pa.array([_nested_text(*row) for row in zip(*columns, strict=True)], type=pa.string())
    return pc.replace_with_mask(pa.nulls(len(array), pa.string()), present, replacement)


def attribute_map(key_values: pa.ListArray) -> pa.MapArray:
    """``repeated KeyValue`` as ``map<string, string>``."""
    return pairs_map(key_values.offsets, key_values.values.field("key"), key_values.values.field("value"))


def pairs_map(offsets: pa.Int32Array, keys: pa.StringArray, values: pa.StructArray) -> pa.MapArray:
    """The same from its parts."""
    return pa.MapArray.from_arrays(offsets, keys, value_text(values))
