"""Segments of log records: sorted by time, with an index of words, attributes and trace ids per row group.

Written by ``lane``, read by ``log_search``. The index beside the Parquet file: magic, four little-endian uint32 (row
groups, bits per filter, trace entries, 0), first and last time of each row group (int64), the trace entries' keys
(uint64, sorted) and their row groups (uint32), and the Bloom filters, packed to bytes, group after group. A filter
holds pairs: (key, value) of attributes and resources, and ("", word) of bodies.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.core.errors import StoreCorruptError
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.index import bloom_filters, groups_holding, pair_hash, pair_hashes, resource_pairs
from homeostat.store.telemetry.layout import Layout, SegmentFile, SegmentInfo
from homeostat.store.telemetry.log_schema import LOG_SCHEMA
from homeostat.store.telemetry.log_text import word_hashes
from homeostat.store.telemetry.schema import WORD, column, trace_key, trace_keys
from homeostat.store.telemetry.text_hash import Hashes, distinct, hash_text, hash_texts

LOG_GROUP_ROWS: Final = 8192
"""Rows of a Parquet row group: what reading one record costs at least."""

_HEADER: Final = struct.Struct("<8sIIII")
_MAGIC: Final = b"HSLOGIX1"
_WORD_KEY: Final = ""

Numbers = npt.NDArray[np.int64]


def _sorted(table: pa.Table) -> pa.Table:
    """By time; records of one moment stay in the order in which they came."""
    order = np.argsort(column(table, "time_ns").to_numpy(), kind="stable")
    return table.take(pa.array(order)).combine_chunks()


def _write_index(path: Path, table: pa.Table) -> None:
    rows = table.num_rows
    bounds = [*range(0, rows, LOG_GROUP_ROWS), rows]
    times = column(table, "time_ns").to_numpy()
    spans = np.array([(times[start], times[stop - 1]) for start, stop in pairwise(bounds)])
    filters = bloom_filters(_pairs(table, bounds))
    keys, groups = _trace_entries(column(table, "trace_id"))
    with path.open("wb") as file:
        file.write(_HEADER.pack(_MAGIC, len(filters), filters.shape[1] * 8, len(keys), 0))
        file.write(spans.astype("<i8").tobytes())
        file.write(keys.astype("<u8").tobytes())
        file.write(groups.astype("<u4").tobytes())
        file.write(filters.tobytes())


def _trace_entries(ids: pa.FixedSizeBinaryArray) -> tuple[Hashes, npt.NDArray[np.uint32]]:
    """Each trace once per row group that has a record of it, sorted by the trace's key."""
    where = np.flatnonzero(pc.is_valid(ids).to_numpy(zero_copy_only=False))
    keys, groups = trace_keys(ids)[where], (where // LOG_GROUP_ROWS).astype(np.uint32)
    order = np.argsort(keys, kind="stable")  # groups ascend already
    keys, groups = keys[order], groups[order]
    fresh = np.ones(len(keys), np.bool_)
    fresh[1:] = (keys[1:] != keys[:-1]) | (groups[1:] != groups[:-1])
    return keys[fresh], groups[fresh]


def _pairs(table: pa.Table, bounds: Sequence[int]) -> list[Hashes]:
    """What each row group's filter holds."""
    words = word_hashes(column(table, "body"), bounds)
    empty = np.uint64(hash_text(_WORD_KEY))
    resource = column(table, "resource")
    of_resource, codes = resource_pairs(resource), resource.indices.to_numpy()
    attributes = column(table, "attributes")
    found: list[Hashes] = []
    for group, (start, stop) in enumerate(pairwise(bounds)):
        own = attributes.slice(start, stop - start)
        first, last = own.offsets[0].as_py(), own.offsets[-1].as_py()
        keys, items = attributes.keys, attributes.items
        pairs = pair_hashes(hash_texts(keys.slice(first, last - first)), hash_texts(items.slice(first, last - first)))
        present = np.unique(codes[start:stop]).tolist()
        of_words = pair_hashes(np.full(len(words[group]), empty), words[group])
        found.append(distinct(np.concatenate([pairs, of_words, *(of_resource[code] for code in present)])))
    return found


LOG_LAYOUT: Final = Layout(
    schema=LOG_SCHEMA,
    time="time_ns",
    group_rows=LOG_GROUP_ROWS,
    sort=_sorted,
    write_index=_write_index,
    index_columns=("time_ns", "trace_id", "body", "attributes", "resource"),
    dictionary_columns=(
        *(field.name for field in LOG_SCHEMA if field.type == WORD),
        "severity",
        "attributes.key_value.key",
    ),
    defaults={
        **dict.fromkeys(("resource", "scope_attributes"), "{}"),
        **dict.fromkeys(("observed_ns", "flags", "severity", "dropped_attributes"), 0),
    },
)


@dataclass(frozen=True, slots=True)
class LogIndex:
    """The opened index of one segment. Arrays have one row per row group, but for the trace entries."""

    times: Numbers  # (row groups, 2): first and last time, Unix ns
    trace_keys: Hashes
    trace_groups: npt.NDArray[np.uint32]
    filters: npt.NDArray[np.uint8]

    def groups_with_word(self, word: str) -> list[int]:
        """Row groups that may have a body with the word (in lower case)."""
        return groups_holding(self.filters, pair_hash(_WORD_KEY, word))

    def groups_with(self, key: str, value: str) -> list[int]:
        """Row groups that may have the attribute, of a record or of its resource."""
        return groups_holding(self.filters, pair_hash(key, value))

    def groups_of(self, trace_id: bytes) -> list[int]:
        """Row groups with a record of the trace (or of one with the same low half)."""
        key = np.uint64(trace_key(trace_id))
        start = int(np.searchsorted(self.trace_keys, key, side="left"))
        stop = int(np.searchsorted(self.trace_keys, key, side="right"))
        return self.trace_groups[start:stop].tolist()


@lru_cache(maxsize=1024)
def _index(path: Path) -> LogIndex:
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        raise StoreCorruptError(f"{path} is too short for an index; it will be made anew.")
    magic, groups, bits, entries, _ = _HEADER.unpack(header)
    if magic != _MAGIC or size != _HEADER.size + groups * 16 + entries * 12 + groups * bits // 8:
        raise StoreCorruptError(f"{path} is not a whole index; it will be made anew.")
    data = np.memmap(path, dtype=np.uint8, mode="r")
    ends = np.cumsum([_HEADER.size, groups * 16, entries * 8, entries * 4]).tolist()
    return LogIndex(
        times=data[ends[0] : ends[1]].view("<i8").reshape(groups, 2),
        trace_keys=data[ends[1] : ends[2]].view("<u8"),
        trace_groups=data[ends[2] : ends[3]].view("<u4"),
        filters=data[ends[3] :].reshape(groups, bits // 8),
    )


class LogSegment(SegmentFile):
    """A segment of log records. Every method raises StoreCorruptError when a file can't be read back."""

    def __init__(self, directory: Path, info: SegmentInfo) -> None:
        super().__init__(directory, info, LOG_LAYOUT)

    @property
    def index(self) -> LogIndex:
        """Mapped into memory at the first use; made anew when it is missing or damaged."""
        return self.opened_index(partial(_index, self.index_path))
