"""Attributes of metric points, their resources and scopes as text. The same bytes come again and again, so they are
read once.

Called by ``decode.metrics`` only.
"""

import json
import sys
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from homeostat.core.errors import TelemetryRejectedError
from homeostat.observe.decode.common import json_object
from homeostat.observe.decode.values import plain
from homeostat.store.telemetry.arrow import pc

_KNOWN_BYTES_MAX: Final = 16 << 20
_ENTRY_COST: Final = 100  # bytes of an entry beside its row and its text
_MANY: Final = 32  # fewer rows are looked at one by one

Indices = npt.NDArray[np.int64]


class Labels:
    """Serialized ``KeyValue`` lists -> JSON objects, keys sorted. Bounded in bytes; forgets all when full."""

    def __init__(self, bytes_max: int = _KNOWN_BYTES_MAX) -> None:
        self._known: dict[tuple[bytes, ...], str] = {}
        self._bytes_left = self._bytes_max = bytes_max

    def column(self, attributes: pa.ListArray) -> pa.DictionaryArray:
        """One text per row. Raises TelemetryRejectedError when a row's bytes are no key values.

        Rows of the same bytes are found by Arrow, so Python looks at each only once.
        """
        codes: dict[str, int] = {}
        few = len(attributes) < _MANY
        firsts, row_of = (np.arange(len(attributes)),) * 2 if few else _distinct(attributes)
        rows = (attributes if few else attributes.take(pa.array(firsts))).to_pylist()
        code_of = [codes.setdefault(self._text(tuple(row or ())), len(codes)) for row in rows]
        indices = np.array(code_of, np.int32)[row_of]
        return pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(list(codes), pa.string()))

    def _text(self, row: tuple[bytes, ...]) -> str:
        text = self._known.get(row)
        if text is None:
            text = json_object(dict(_pair(raw) for raw in row))
            self._remember(row, text)
        return text

    def _remember(self, row: tuple[bytes, ...], text: str) -> None:
        """The row counts like its text: unknown fields and repeated keys make a long one with next to no text."""
        cost = _ENTRY_COST + sys.getsizeof(text) + sys.getsizeof(row) + sum(map(sys.getsizeof, row))
        if cost > self._bytes_max:
            return
        if cost > self._bytes_left:
            self._known.clear()
            self._bytes_left = self._bytes_max
        self._bytes_left -= cost
        self._known[row] = text


def _distinct(lists: pa.ListArray) -> tuple[Indices, Indices]:
    """A row for each content there is, and for each row which of them it has."""
    items, bounds = lists.values, lists.offsets.to_numpy()
    _, offsets, data = items.buffers()
    if data is None or not len(items):
        return np.zeros(min(len(lists), 1), np.int64), np.zeros(len(lists), np.int64)
    ends = np.frombuffer(offsets, np.int32, len(items) + 1, 4 * items.offset)
    # All bytes of a row as one text, and the lengths of its items as another: only together they are its content.
    whole = pc.dictionary_encode(_joined(data, ends[bounds]))
    cuts = pc.dictionary_encode(_joined(pa.py_buffer(np.diff(ends)), bounds * 4))
    codes = whole.indices.to_numpy() * np.int64(max(1, len(cuts.dictionary))) + cuts.indices.to_numpy()
    _, firsts, row_of = np.unique(codes, return_index=True, return_inverse=True)
    return firsts, row_of


def _joined(data: pa.Buffer, bounds: npt.NDArray[np.integer[Any]]) -> pa.BinaryArray:
    """One value for each stretch of bytes between two bounds."""
    offsets = pa.py_buffer(bounds.astype(np.int32))
    return pa.Array.from_buffers(pa.binary(), len(bounds) - 1, [None, offsets, data])


def _pair(raw: bytes) -> tuple[str, str]:
    try:
        pair = KeyValue.FromString(raw)
    except DecodeError as error:
        raise TelemetryRejectedError(f"An attribute is not valid protobuf: {error}") from error
    return pair.key, _text(pair.value)


def _text(value: AnyValue) -> str:
    """As ``values.value_text`` writes it."""
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "array_value" | "kvlist_value":
            return json.dumps(plain(value))
        case "bytes_value":
            return str(plain(value))
        case None:
            return ""
        case _:
            return pc.cast(pa.scalar(plain(value)), pa.string()).as_py()
