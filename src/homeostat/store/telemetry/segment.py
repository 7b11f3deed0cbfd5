"""One segment: a Parquet file of spans sorted by trace, and its index. Written once, never changed.

Written by ``store`` from the hot buffer and by ``maintenance`` from smaller segments; read by ``query``.
"""

import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from homeostat.core.errors import StoreCorruptError
from homeostat.core.models import Model
from homeostat.store.telemetry import disk
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.index import SegmentIndex, attribute_filters, read_index, write_index
from homeostat.store.telemetry.schema import ATTRIBUTES, SPAN_SCHEMA, WORD, column, id_words, trace_keys
from homeostat.store.telemetry.text_hash import mix

logger = logging.getLogger(__name__)

GROUP_ROWS: Final = 16384
"""Rows of a Parquet row group: what reading one trace costs at least."""

_DICTIONARY_MAX: Final = 1024
"""Parquet repeats an Arrow dictionary in every row group: a longer one is written as plain text."""

_WORD_COLUMNS: Final = [field.name for field in SPAN_SCHEMA if field.type == WORD]
_DICTIONARY_COLUMNS: Final = [
    *_WORD_COLUMNS,
    *("kind", "status_code", "status_message", "trace_state"),
    "attributes.key_value.key",  # not the values: most that are worth a dictionary are short, and zstd sees to them
    *("events.list.element.name", "events.list.element.attributes.key_value.key"),
]

_LEFT_OUT_IF_EMPTY: Final = ("events", "links")
"""Twelve Parquet columns that cost their share of a row although they are mostly empty."""

PARQUET_SUFFIX: Final = ".parquet"
INDEX_SUFFIX: Final = ".idx"


class SegmentInfo(Model):
    """What the catalogue knows of a segment."""

    name: str
    rows: int
    min_start_ns: int
    max_start_ns: int
    bytes: int
    last_seq: int  # the newest request of the write-ahead log in it


def _order(table: pa.Table) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """Row numbers sorted by trace key, each span once, and their keys.

    A sender that got no answer sends again; the log then holds the request twice.
    """
    trace = id_words(column(table, "trace_id"))
    span = id_words(column(table, "span_id"))[:, 0]
    marks = np.sort(mix(trace[:, 1] ^ mix(trace[:, 0] ^ mix(span))))
    if (marks[1:] != marks[:-1]).all():
        order = np.argsort(trace[:, 1])  # nothing is there twice: a quick sort by one key will do
        return order, trace[order, 1]
    order = np.lexsort((span, trace[:, 0], trace[:, 1]))
    high, low, span = trace[order, 0], trace[order, 1], span[order]
    fresh = np.ones(len(order), dtype=np.bool_)
    fresh[1:] = (low[1:] != low[:-1]) | (span[1:] != span[:-1]) | (high[1:] != high[:-1])
    return order[fresh], low[fresh]


def _encoded(table: pa.Table) -> pa.Table:
    """Attribute keys as a dictionary: sorting then moves four bytes instead of a text."""
    attributes = column(table, "attributes")
    keys = pc.dictionary_encode(attributes.keys)
    if len(keys.dictionary) > _DICTIONARY_MAX:
        return table
    encoded = pa.MapArray.from_arrays(attributes.offsets, keys, attributes.items)
    return table.set_column(table.schema.get_field_index("attributes"), "attributes", encoded)


def _writable(table: pa.Table) -> pa.Table:
    """Long dictionaries as plain text; events and links left out where no span has any."""
    for name in _LEFT_OUT_IF_EMPTY:
        if not len(column(table, name).values):
            table = table.drop_columns([name])
    for position, name in enumerate(table.schema.names):
        if not pa.types.is_dictionary(table.schema.field(name).type):
            continue
        values = column(table, name)
        if len(values.dictionary) > _DICTIONARY_MAX:
            table = table.set_column(position, name, pc.cast(values, pa.string()))
    return table


def _attribute_filters(table: pa.Table) -> npt.NDArray[np.uint8]:
    attributes = column(table, "attributes")
    if not pa.types.is_dictionary(attributes.keys.type):
        keys = pc.dictionary_encode(attributes.keys)
        attributes = pa.MapArray.from_arrays(attributes.offsets, keys, attributes.items)
    return attribute_filters(attributes, column(table, "resource"), GROUP_ROWS)


def _write_parquet(table: pa.Table, path: Path) -> None:
    options: dict[str, Any] = {  # pyarrow's own signature wants booleans where its documentation takes lists
        "use_dictionary": _DICTIONARY_COLUMNS,
        "write_statistics": ["start_ns"],
        "store_schema": False,  # with it, pyarrow wants to restore dictionaries inside maps, and can't
    }
    pq.write_table(table, path, row_group_size=GROUP_ROWS, compression="zstd", compression_level=1, **options)


def write_segment(directory: Path, name: str, tables: Sequence[pa.Table], last_seq: int) -> SegmentInfo:
    """Sort, drop duplicates, write both files durably. Raises OSError; then there is nothing under the name."""
    table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    order, keys = _order(table)
    table = _encoded(table).take(pa.array(order)).combine_chunks()
    parquet, index = directory / f"{name}{PARQUET_SUFFIX}", directory / f"{name}{INDEX_SUFFIX}"
    parquet_temporary, index_temporary = parquet.with_suffix(".parquet.tmp"), index.with_suffix(".idx.tmp")
    try:
        write_index(index_temporary, keys, _attribute_filters(table))
        _write_parquet(_writable(table), parquet_temporary)
        disk.publish(index_temporary, index)
        disk.publish(parquet_temporary, parquet)
    except OSError:
        for path in (index_temporary, parquet_temporary, index, parquet):
            path.unlink(missing_ok=True)
        raise
    return describe(directory, name, table, last_seq)


def describe(directory: Path, name: str, table: pa.Table, last_seq: int) -> SegmentInfo:
    """The catalogue's entry for a segment. Its index may be missing: it is made anew when it is needed."""
    files = (directory / f"{name}{suffix}" for suffix in (PARQUET_SUFFIX, INDEX_SUFFIX))
    times = pc.min_max(table.column("start_ns"))
    return SegmentInfo(
        name=name,
        rows=table.num_rows,
        min_start_ns=times["min"].as_py(),
        max_start_ns=times["max"].as_py(),
        bytes=sum(file.stat().st_size for file in files if file.exists()),
        last_seq=last_seq,
    )


def delete_segment(directory: Path, name: str) -> None:
    """Delete the files. Whoever has them open can read on."""
    for suffix in (PARQUET_SUFFIX, INDEX_SUFFIX):
        (directory / f"{name}{suffix}").unlink(missing_ok=True)


@lru_cache(maxsize=64)
def _metadata(path: Path) -> pq.FileMetaData:
    return pq.read_metadata(path)


@lru_cache(maxsize=1024)
def _index(path: Path, rows: int) -> SegmentIndex:
    return read_index(path, rows)


class Segment:
    """A segment to be read. Every method raises StoreCorruptError when a file can't be read back."""

    def __init__(self, directory: Path, info: SegmentInfo) -> None:
        self.info = info
        self._parquet = directory / f"{info.name}{PARQUET_SUFFIX}"
        self._index_path = directory / f"{info.name}{INDEX_SUFFIX}"

    @property
    def index(self) -> SegmentIndex:
        """Mapped into memory at the first use; made anew when it is missing or damaged."""
        try:
            return _index(self._index_path, self.info.rows)
        except (StoreCorruptError, OSError) as error:
            logger.warning("The index of segment %s can't be read (%s) and is made anew", self.info.name, error)
        self._rebuild_index()
        return _index(self._index_path, self.info.rows)

    def _rebuild_index(self) -> None:
        table = self.read(["trace_id", "attributes", "resource"])
        temporary = self._index_path.with_suffix(".idx.tmp")
        write_index(temporary, trace_keys(column(table, "trace_id")), _attribute_filters(table))
        disk.publish(temporary, self._index_path)

    def read(self, columns: Sequence[str], groups: Sequence[int] | None = None) -> pa.Table:
        """Some columns of some row groups (default: all), with the types of ``SPAN_SCHEMA``."""
        try:
            file = pq.ParquetFile(
                self._parquet, metadata=_metadata(self._parquet), memory_map=True, read_dictionary=_WORD_COLUMNS
            )
            with file:
                wanted = range(file.num_row_groups) if groups is None else groups
                table = file.read_row_groups(list(wanted), columns=list(columns), use_threads=False)
                missing = [name for name in columns if name not in table.column_names]
        except FileNotFoundError:
            raise  # compacted away or past its retention: the caller looks at the catalogue again
        except (OSError, pa.ArrowException) as error:
            raise StoreCorruptError(f"Segment {self._parquet} can't be read ({error}). It is left out.") from error
        return conform(_with_empty(table, missing)).select(list(columns))

    def traces(self, keys: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """The rows of all traces with these keys (of other traces in the same row groups, none)."""
        runs = [run for key in keys if (run := self.index.rows_of(key)) is not None]
        groups = sorted(
            {group for start, stop in runs for group in range(start // GROUP_ROWS, -(-stop // GROUP_ROWS))}
        )
        if not groups:
            return pa.schema([SPAN_SCHEMA.field(name) for name in columns]).empty_table()
        table = self.read(columns, groups)
        base = {group: number * GROUP_ROWS for number, group in enumerate(groups)}
        rows = [
            base[row // GROUP_ROWS] + row % GROUP_ROWS for start, stop in sorted(runs) for row in range(start, stop)
        ]
        return table.take(pa.array(rows, type=pa.int64()))


def _with_empty(table: pa.Table, missing: Sequence[str]) -> pa.Table:
    """The table with empty lists for the columns that a segment was written without."""
    for name in missing:
        offsets = pa.array(np.zeros(table.num_rows + 1, dtype=np.int32))
        wanted = SPAN_SCHEMA.field(name).type
        values = pa.array([], type=wanted.value_type)
        table = table.append_column(name, pa.ListArray.from_arrays(offsets, values, type=wanted))
    return table


def conform(table: pa.Table) -> pa.Table:
    """A table as it is read from Parquet, with the types of ``SPAN_SCHEMA``."""
    arrays: list[pa.Array] = []
    for name in table.schema.names:
        values, wanted = column(table, name), SPAN_SCHEMA.field(name).type
        if values.type == wanted:
            arrays.append(values)
        elif wanted == WORD:
            arrays.append(pc.dictionary_encode(values))
        elif wanted == ATTRIBUTES:
            arrays.append(pa.MapArray.from_arrays(values.offsets, pc.cast(values.keys, pa.string()), values.items))
        else:
            arrays.append(pc.cast(values, wanted))
    return pa.Table.from_arrays(arrays, schema=pa.schema([SPAN_SCHEMA.field(name) for name in table.schema.names]))
