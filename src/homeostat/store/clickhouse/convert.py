"""Columns as Homeostat has them from columns as ClickHouse has them, and back. Used by the rest of this package."""

import json
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa

from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.schema import WORD, column

TEXT_MAP: Final = pa.map_(pa.string(), pa.string())
TIME: Final = pa.timestamp("ns", tz="UTC")

HEX_TRACE: Final = "toFixedString(substring(unhex(TraceId), 1, 16), 16)"


def identity(name: str, width: int) -> str:
    """SQL: an id of so many bytes from its hexadecimal digits; NULL where there are none."""
    return f"if(replaceAll({name}, '0', '') = '', NULL, toFixedString(substring(unhex({name}), 1, {width}), {width}))"


def unix_ns(name: str) -> str:
    """SQL: a time as Unix ns, whatever its precision."""
    return f"toUnixTimestamp64Nano(toDateTime64({name}, 9))"


def json_of(name: str) -> str:
    """SQL: a map as a JSON object with its keys sorted; ``canonical`` makes it the text that Homeostat writes."""
    return f"toJSONString(mapSort({name}))"


def canonical(texts: pa.Array) -> pa.DictionaryArray:
    """JSON objects as Homeostat's decoders write them, so that equal series have equal texts."""
    words = texts.dictionary_encode()
    rewritten = [
        json.dumps(json.loads(text), ensure_ascii=False, sort_keys=True) for text in words.dictionary.to_pylist()
    ]
    return pa.array(rewritten, pa.string()).take(words.indices).dictionary_encode().cast(WORD)


def as_schema(answer: pa.Table, schema: pa.Schema, objects: frozenset[str]) -> pa.Table:
    """An answer whose columns have the schema's names, with its types; ``objects`` are JSON texts."""
    columns: list[pa.Array] = []
    fields: list[pa.Field] = []
    for name in answer.schema.names:
        field = schema.field(name)
        values = column(answer, name)
        if name in objects:
            values = canonical(values)
        elif field.type == WORD:
            values = values.dictionary_encode().cast(WORD)
        columns.append(values.cast(field.type))
        fields.append(field)
    return pa.table(columns, schema=pa.schema(fields))


def texts(values: pa.Array) -> pa.Array:
    """Plain texts, nulls as empty."""
    plain = values.cast(pa.string()) if pa.types.is_dictionary(values.type) else values
    return pc.fill_null(plain, "")


def hexadecimal(ids: pa.Array) -> pa.Array:
    """Ids of one width as lower-case hexadecimal digits; nulls as empty."""
    return pa.array([(value.hex() if value is not None else "") for value in ids.to_pylist()], pa.string())


def times(values: pa.Array) -> pa.Array:
    """Unix ns as timestamps."""
    return values.cast(pa.int64()).cast(TIME)


def maps_of(words: pa.DictionaryArray) -> pa.Array:
    """JSON objects (a dictionary column) as maps: each distinct one is parsed once."""
    distinct = [list(json.loads(text or "{}").items()) for text in words.dictionary.to_pylist()]
    return pa.array(distinct, TEXT_MAP).take(words.indices)


def words_as(names: tuple[str, ...], numbers: pa.Array) -> pa.Array:
    """Small numbers as the names that they count."""
    codes = np.clip(pc.fill_null(numbers, 0).to_numpy(zero_copy_only=False), 0, len(names) - 1).astype(np.int64)
    return pa.array(names, pa.string()).take(pa.array(codes))


def nested(lists: pa.Array, convert: dict[str, tuple[str, Callable[[pa.Array], pa.Array]]]) -> dict[str, pa.Array]:
    """A column of lists of structs as one list column for each field: ClickHouse's ``Nested``.

    ``convert``: for each new column the struct's field, and what makes its values.
    """
    flat = lists.flatten()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    found: dict[str, pa.Array] = {}
    for name, (field, made) in convert.items():
        values: Any = made(pc.struct_field(flat, field))
        found[name] = pa.ListArray.from_arrays(offsets, values)
    return found
