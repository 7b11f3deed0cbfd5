"""What makes a segment quick to ask, beside its Parquet file: trace id -> rows, and attribute -> row groups.

Written by ``segment`` when a segment is made, memory-mapped when it is read. Rows are sorted by trace key, so a trace
is one run of rows: the index keeps the first row of each. For attributes there is a Bloom filter per row group over
the pairs (key, value); a search for a rare value then reads only the groups that may hold it.

Layout: magic, three little-endian uint32 (traces, row groups, bits per filter), keys (uint64), first rows (uint32),
filters (bits packed to bytes, group after group).
"""

import json
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.core.errors import StoreCorruptError
from homeostat.store.telemetry.text_hash import Hashes, distinct, hash_text, hash_texts, mix

_HEADER: Final = struct.Struct("<8sIII4x")
_MAGIC: Final = b"HSINDEX1"
_PROBES: Final = 3
_BITS_PER_PAIR: Final = 8  # with three probes about 3 % of the groups are read for nothing (Bloom 1970)
_BITS_MIN, _BITS_MAX = 1 << 12, 1 << 20
_KEY_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SegmentIndex:
    """The opened index of one segment."""

    rows: int
    keys: npt.NDArray[np.uint64]  # sorted, unique
    first_rows: npt.NDArray[np.uint32]
    filters: npt.NDArray[np.uint8]  # (row groups, bits / 8)

    def rows_of(self, trace_key: int) -> tuple[int, int] | None:
        """The run of rows ``[start, stop)`` that holds a trace, or None."""
        at = int(np.searchsorted(self.keys, np.uint64(trace_key)))
        if at == len(self.keys) or int(self.keys[at]) != trace_key:
            return None
        stop = int(self.first_rows[at + 1]) if at + 1 < len(self.keys) else self.rows
        return int(self.first_rows[at]), stop

    def runs_of(self, trace_keys: npt.NDArray[np.uint64]) -> list[tuple[int, int]]:
        """The runs of rows of those of these traces that are here, in order."""
        if not len(self.keys):
            return []
        at = np.minimum(np.searchsorted(self.keys, trace_keys), len(self.keys) - 1)
        here = np.unique(at[self.keys[at] == trace_keys]).tolist()
        last = len(self.keys) - 1
        return [
            (int(self.first_rows[one]), int(self.first_rows[one + 1]) if one < last else self.rows) for one in here
        ]

    def groups_with(self, key: str, value: str) -> list[int]:
        """The row groups that may hold a span with this attribute."""
        return groups_holding(self.filters, pair_hash(key, value))


def groups_holding(filters: npt.NDArray[np.uint8], pair: Hashes) -> list[int]:
    """The row groups whose filter (one row each) may hold a pair."""
    bits = filters.shape[1] * 8
    maybe = np.ones(len(filters), dtype=np.bool_)
    for probe in _probes(pair, bits):
        byte, bit = divmod(int(probe[0]), 8)
        maybe &= (filters[:, byte] >> (7 - bit)) & 1 == 1  # numpy packs the first bit highest
    return np.flatnonzero(maybe).tolist()


def pair_hash(key: str, value: str) -> Hashes:
    """The hash of one pair, shape ``(1,)``."""
    return pair_hashes(np.array([hash_text(key)], np.uint64), np.array([hash_text(value)], np.uint64))


def pair_hashes(keys: Hashes, values: Hashes) -> Hashes:
    """One hash for each pair (key, value) of text hashes."""
    return mix(keys * _KEY_FACTOR ^ values)


def _probes(pairs: Hashes, bits: int) -> list[npt.NDArray[np.int64]]:
    """Double hashing (Kirsch and Mitzenmacher 2006)."""
    mask = np.uint64(bits - 1)
    step = (pairs >> np.uint64(32)) | np.uint64(1)
    return [((pairs + np.uint64(number) * step) & mask).astype(np.int64) for number in range(_PROBES)]


def _filter_bits(distinct: int) -> int:
    """Size of a filter for so many distinct pairs."""
    wanted = max(1, distinct * _BITS_PER_PAIR)
    return min(max(1 << (wanted - 1).bit_length(), _BITS_MIN), _BITS_MAX)


def attribute_filters(
    attributes: pa.MapArray, resource: pa.DictionaryArray, group_rows: int
) -> npt.NDArray[np.uint8]:
    """One filter per row group, over the attributes of its spans and of their resources.

    ``attributes`` is the column with dictionary-encoded keys, ``resource`` that with JSON objects.
    """
    offsets = attributes.offsets.to_numpy().astype(np.int64)
    rows = len(offsets) - 1
    bounds = offsets[np.append(np.arange(0, rows, group_rows), rows)]
    keys, items = attributes.keys, attributes.items
    key_hashes, key_codes = hash_texts(keys.dictionary), keys.indices.to_numpy()
    pairs_of_group: list[Hashes] = []
    of_resource, codes = resource_pairs(resource), resource.indices.to_numpy()
    for group, (start, stop) in enumerate(pairwise(bounds.tolist())):
        own = pair_hashes(key_hashes[key_codes[start:stop]], hash_texts(items[start:stop]))
        present = np.unique(codes[group * group_rows : (group + 1) * group_rows]).tolist()
        pairs_of_group.append(np.concatenate([own, *(of_resource[code] for code in present)]))
    return bloom_filters(pairs_of_group)


def resource_pairs(resource: pa.DictionaryArray) -> list[Hashes]:
    """The hashed attributes of each entry of the dictionary."""
    objects: list[dict[str, str]] = [json.loads(text) for text in resource.dictionary.to_pylist()]
    return [
        pair_hashes(hash_texts(pa.array(list(entry), pa.string())), hash_texts(pa.array(entry.values(), pa.string())))
        for entry in objects
    ]


def bloom_filters(pairs_of_group: list[Hashes]) -> npt.NDArray[np.uint8]:
    """All of one size, which the first group's number of distinct pairs decides."""
    bits = _filter_bits(len(distinct(pairs_of_group[0])) if pairs_of_group else 0)
    filters = np.zeros((len(pairs_of_group), bits // 8), dtype=np.uint8)
    for group, pairs in enumerate(pairs_of_group):
        flags = np.zeros(bits, dtype=np.bool_)
        for probe in _probes(pairs, bits):
            flags[probe] = True
        filters[group] = np.packbits(flags)
    return filters


def write_index(path: Path, sorted_keys: npt.NDArray[np.uint64], filters: npt.NDArray[np.uint8]) -> None:
    """``sorted_keys`` holds the trace key of every row, in order."""
    keys, first_rows = np.unique(sorted_keys, return_index=True)
    with path.open("wb") as file:
        file.write(_HEADER.pack(_MAGIC, len(keys), len(filters), filters.shape[1] * 8))
        file.write(keys.astype("<u8").tobytes())
        file.write(first_rows.astype("<u4").tobytes())
        file.write(filters.tobytes())


def read_index(path: Path, rows: int) -> SegmentIndex:
    """Map an index into memory. Raises StoreCorruptError when it is not one, FileNotFoundError when it is gone."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        raise StoreCorruptError(f"{path} is too short for an index; it will be made anew.")
    magic, traces, groups, bits = _HEADER.unpack(header)
    if magic != _MAGIC or size != _HEADER.size + traces * 12 + groups * bits // 8:
        raise StoreCorruptError(f"{path} is not a whole index; it will be made anew.")
    data = np.memmap(path, dtype=np.uint8, mode="r")
    keys_end = _HEADER.size + traces * 8
    rows_end = keys_end + traces * 4
    return SegmentIndex(
        rows=rows,
        keys=data[_HEADER.size : keys_end].view("<u8"),
        first_rows=data[keys_end:rows_end].view("<u4"),
        filters=data[rows_end:].reshape(groups, bits // 8),
    )
