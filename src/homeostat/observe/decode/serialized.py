"""Span attributes that stay as they came, serialized, until somebody wants to see them. Used by ``traces``, sampling.

Of sampled traces one span in eight is kept, and a dozen attributes a span are most of what decoding costs. So spans
that are going to be sampled carry ``list<binary>``, one KeyValue each, instead of ``map<string, string>``; ``whole``
makes the map. What nobody could read later must be refused before it is acknowledged: ``may_stay`` looks at each.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.core.errors import TelemetryRejectedError
from homeostat.observe.decode.schema import FULL_PAIRS, LEAN_PAIRS
from homeostat.observe.decode.values import pairs_map, value_text
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.schema import SPAN_SCHEMA

try:
    from homeostat.observe.decode import pair_walk
except ImportError:  # there was no compiler when the package was built
    pair_walk = None

_PLACE: Final = SPAN_SCHEMA.get_field_index("attributes")
_COLUMN: Final = pa.field("attributes", pa.list_(pa.field("item", pa.binary(), nullable=False)))

logger = logging.getLogger(__name__)

UNREADABLE: Final = (ValueError, TelemetryRejectedError)
"""What is raised where attributes can't be read."""

SERIALIZED_SCHEMA: Final = SPAN_SCHEMA.set(_PLACE, _COLUMN)
"""SPAN_SCHEMA, attributes serialized."""

# protobuf: a tag is (field number << 3 | wire type); numbers below 128 are one byte
_KEY: Final = 0x0A  # KeyValue.key
_VALUE: Final = 0x12  # KeyValue.value
_TEXT: Final = 0x0A  # AnyValue.string_value
_BOOL: Final = 0x10
_INT: Final = 0x18
_DOUBLE: Final = 0x21
_HIGH: Final = np.uint64(0x8080808080808080)
_PAD_BYTES: Final = 160  # a place that a length of one byte leads to lies inside, whatever the length
_FIRST_BYTES: Final = np.array([(1 << 8 * count) - 1 for count in range(9)], dtype=np.uint64)
_INT32_MAX: Final = 2**31 - 1
_MANY: Final = 4  # a quarter of the attributes looked at one by one: reading all of them at once is no dearer

Places = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]


def is_serialized(attributes: pa.Array) -> bool:
    """Whether a column of attributes is of this kind."""
    return not pa.types.is_map(attributes.type)


def whole(spans: pa.RecordBatch) -> pa.RecordBatch:
    """The spans with their attributes as a map."""
    attributes = spans.column(_PLACE)
    if not is_serialized(attributes):
        return spans
    columns = spans.columns
    columns[_PLACE] = _map(attributes)
    return pa.RecordBatch.from_arrays(columns, schema=SPAN_SCHEMA)


def whole_table(batches: Sequence[pa.RecordBatch]) -> pa.Table:
    """Batches as one table, attributes as a map. What can't be read raises ValueError or TelemetryRejectedError."""
    if not batches or not all(is_serialized(batch.column(_PLACE)) for batch in batches):
        return pa.Table.from_batches([whole(batch) for batch in batches], schema=SPAN_SCHEMA)
    table = pa.Table.from_batches(batches)
    attributes = table.column(_PLACE).combine_chunks()
    return table.set_column(_PLACE, SPAN_SCHEMA.field(_PLACE), _map(attributes))


def acknowledged_table(batches: Sequence[pa.RecordBatch]) -> pa.Table:
    """The same of spans that were acknowledged: an attribute that can't be read is left out, and nothing is raised.

    Each was looked at when it came. If two parsers ever differ about one, it must not hold up all other spans.
    """
    try:
        return whole_table(batches)
    except UNREADABLE:
        logger.exception("Attributes of acknowledged spans can't be read; they are left out")
    return whole_table([_readable(batch) for batch in batches])


def _readable(spans: pa.RecordBatch) -> pa.RecordBatch:
    attributes = spans.column(_PLACE)
    if not is_serialized(attributes):
        return spans
    entries = attributes.flatten()
    fine = np.array([_is_readable(entries.slice(place, 1)) for place in range(len(entries))], dtype=np.bool_)
    before = np.concatenate([[0], np.cumsum(fine)]).astype(np.int32)  # readable ones before each place
    offsets = before[attributes.offsets.to_numpy() - attributes.offsets[0].as_py()]
    columns = spans.columns
    columns[_PLACE] = pa.ListArray.from_arrays(pa.array(offsets), entries.filter(pa.array(fine)), type=_COLUMN.type)
    return pa.RecordBatch.from_arrays(columns, schema=spans.schema)


def _is_readable(entry: pa.BinaryArray) -> bool:
    try:
        texts_of(entry)
    except UNREADABLE:
        return False
    return True


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables of either kind as one; serialized where all of them are that have any rows."""
    filled = [table for table in tables if table.num_rows] or list(tables[:1])
    if len({is_serialized(table.column(_PLACE)) for table in filled}) > 1:
        return whole_table([batch for table in filled for batch in table.to_batches()])
    return pa.concat_tables(filled)


def _map(attributes: pa.ListArray) -> pa.MapArray:
    offsets = attributes.offsets
    first = offsets[0].as_py() if len(offsets) else 0
    if first:
        offsets = pa.array(offsets.to_numpy() - np.int32(first))
    entries = attributes.flatten()
    texts = _walked(entries)
    if texts is not None:
        return pa.MapArray.from_arrays(offsets, *texts)
    pairs = _parsed(entries)
    return pairs_map(offsets, pairs.column("key"), pairs.column("value"))


def _walked(entries: pa.BinaryArray) -> tuple[pa.StringArray, pa.StringArray] | None:
    """Keys and values by our own walk; None where that was not built, or leaves them to the library."""
    count, size = len(entries), entries.total_values_length if len(entries) else 0
    if pair_walk is None or not count or size + count * pair_walk.NUMBER_BYTES > _INT32_MAX:
        return None
    starts = np.frombuffer(entries.buffers()[1], dtype=np.int32, count=count + 1, offset=4 * entries.offset)
    data = np.frombuffer(entries.buffers()[2], dtype=np.uint8)
    keys, values = np.empty(size, np.uint8), np.empty(size + count * pair_walk.NUMBER_BYTES, np.uint8)
    key_ends, value_ends, others = (np.empty(count + 1, np.int32) for _ in range(3))
    odd = pair_walk.read(starts, data, keys, key_ends, values, value_ends, others)
    if odd is None:
        return None
    texts = _text_column(values, value_ends)
    if odd:
        where = others[:odd]
        is_odd = np.zeros(count, dtype=np.bool_)
        is_odd[where] = True
        texts = pc.replace_with_mask(texts, pa.array(is_odd), texts_of(entries.take(pa.array(where))))
    return _text_column(keys, key_ends), texts


def _text_column(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int32]) -> pa.StringArray:
    data.resize(int(offsets[-1]), refcheck=False)  # what was too much is given back: spans are held for a minute
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))


def _parsed(entries: pa.BinaryArray) -> pa.RecordBatch:
    """Columns ``key`` and ``value``. Raises ValueError for what is not a KeyValue."""
    pairs = LEAN_PAIRS.array_to_record_batch(entries)
    values = pairs.column("value")
    if values.field("string_value").null_count + values.field("int_value").null_count == len(values):
        return pairs
    return FULL_PAIRS.array_to_record_batch(entries)


def texts_of(entries: pa.BinaryArray) -> pa.StringArray:
    """The value of each attribute."""
    return value_text(_parsed(entries).column("value"))


@dataclass(frozen=True, slots=True)
class _Bytes:
    """A column of attributes as bytes, with room behind the end."""

    data: npt.NDArray[np.uint8]
    start: Places
    stop: Places

    @classmethod
    def of(cls, entries: pa.BinaryArray) -> "_Bytes":
        _, offsets_buffer, content = entries.buffers()
        offsets = np.frombuffer(offsets_buffer, dtype=np.int32, count=len(entries) + 1, offset=4 * entries.offset)
        first, size = int(offsets[0]), int(offsets[-1] - offsets[0])
        data = np.empty(-(-(size + _PAD_BYTES) // 8) * 8, dtype=np.uint8)
        data[size:] = 0
        if content is not None:
            data[:size] = np.frombuffer(content, dtype=np.uint8, count=size, offset=first)
        places = offsets.astype(np.int64) - first
        return cls(data, places[:-1], places[1:])

    def numbers(self, at: Places, dtype: str) -> npt.NDArray[np.uint64]:
        """The little-endian number at each place. A number may begin at any byte: the view's stride is one."""
        width = np.dtype(dtype).itemsize
        view = np.ndarray((len(self.data) - width + 1,), dtype=dtype, buffer=self.data, strides=(1,))
        return view[at]

    @property
    def high(self) -> int:
        """How many bytes are no ASCII."""
        return int(np.bitwise_count(self.data.view(np.uint64) & _HIGH).sum())

    def high_of_each(self) -> Counts:
        """The same, of each attribute."""
        entries = np.searchsorted(self.stop, np.flatnonzero(self.data & 0x80), side="right")
        return np.bincount(entries, minlength=len(self.start))


def may_stay(entries: pa.BinaryArray) -> bool:
    """Whether each attribute is valid, its key first and shorter than 128 bytes. False: have all of them decoded.

    Texts in ASCII and numbers are recognised by their bytes. What is left is parsed: ValueError when one of them is
    malformed, TelemetryRejectedError when something nested in it is.
    """
    if not len(entries):
        return True
    held = _Bytes.of(entries)
    head = held.numbers(held.start, "<u2")
    if not ((head & 0x80FF) == _KEY).all():
        return False
    value_at = held.start + 2 + (head >> 8)
    left = held.stop - value_at
    others = np.flatnonzero(~_is_text(held, value_at, left))
    proven, high = _numbers(held, value_at[others], left[others])
    doubtful = others[~proven]
    if int(high.sum()) != held.high:
        expected = np.zeros(len(entries), dtype=np.int64)
        expected[others] = high
        doubtful = np.union1d(doubtful, np.flatnonzero(held.high_of_each() != expected))
    if len(doubtful) * _MANY > len(entries) or not _is_key_first(held, value_at[doubtful], left[doubtful]).all():
        return False
    if len(doubtful):
        texts_of(entries.take(pa.array(doubtful)))
    return True


def _is_text(held: _Bytes, value_at: Places, left: Places) -> Mask:
    """Whether the value is a short text: tag, length, tag, length, and then nothing but the text."""
    size = left.astype(np.uint32)
    expected = size * np.uint32(1 << 8 | 1 << 24) + np.uint32(
        (_VALUE | _TEXT << 16) - (2 << 8) - (4 << 24) & 0xFFFFFFFF
    )
    return (held.numbers(value_at, "<u4") == expected) & (size - np.uint32(4) < 126)


def _numbers(held: _Bytes, value_at: Places, left: Places) -> tuple[Mask, Counts]:
    """Which values are an int of up to eight bytes, a bool or a double, and how many high bytes those have."""
    high = np.zeros(len(left), dtype=np.int64)
    head, content = held.numbers(value_at, "<u4") & 0xFFFFFF, held.numbers(value_at + 3, "<u8")
    fits = (left >= 4) & (left <= 11)
    size = np.where(fits, left - 3, 1)
    expected = (left - 2) << 8 | _VALUE
    ends_well = (content & _HIGH & _FIRST_BYTES[size]) == (_HIGH & _FIRST_BYTES[size - 1])
    is_int = fits & (head == (expected | _INT << 16)) & ends_well
    is_bool = (left == 4) & (head == (expected | _BOOL << 16)) & (content & np.uint64(0xFF) <= 1)
    is_double = (left == 11) & (head == (expected | _DOUBLE << 16))
    high[is_int] = size[is_int] - 1
    high[is_double] = np.bitwise_count(content[is_double] & _HIGH)
    return is_int | is_bool | is_double, high


def _is_key_first(held: _Bytes, value_at: Places, left: Places) -> Mask:
    """Whether behind the key (of less than 128 bytes) comes the value, up to the end, or nothing."""
    inside = np.minimum(value_at, held.stop[-1])
    word = held.numbers(inside, "<u4")
    low, middle, top = (word >> 8) & 0xFF, (word >> 16) & 0xFF, word >> 24
    one, two, three = low < 0x80, (low >= 0x80) & (middle < 0x80), (low >= 0x80) & (middle >= 0x80) & (top < 0x80)
    length = np.where(one, low, (low & 0x7F) | (middle & 0x7F) << 7 | np.where(three, top, 0) << 14).astype(np.int64)
    header = np.where(one, 2, np.where(two, 3, 4))
    is_value = ((word & 0xFF) == _VALUE) & (one | two | three) & (length + header == left)
    return (left == 0) | is_value
