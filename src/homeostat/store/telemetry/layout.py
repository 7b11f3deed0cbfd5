"""One segment of any signal: a Parquet file, sorted, and an index beside it. Written once, never changed.

What differs between spans, metric points and log records is a ``Layout``. Written by ``lane`` from the hot buffer and
from smaller segments; ``segment`` (spans), ``metric_segment`` and ``log_segment`` say how theirs look and are read.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from homeostat.core.errors import StoreCorruptError
from homeostat.core.models import Model
from homeostat.store.telemetry import disk
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.disk import FILE_NAME
from homeostat.store.telemetry.schema import ATTRIBUTES, WORD, column

logger = logging.getLogger(__name__)

Index = TypeVar("Index")

DICTIONARY_MAX: Final = 1024
"""Parquet repeats an Arrow dictionary in every row group: a longer one is written as plain text."""

PARQUET_SUFFIX: Final = ".parquet"
INDEX_SUFFIX: Final = ".idx"


class SegmentInfo(Model):
    """What the catalogue knows of a segment. The times are those of the layout's ``time`` column, Unix ns."""

    name: str = Field(pattern=FILE_NAME)
    rows: int
    min_start_ns: int
    max_start_ns: int
    bytes: int
    last_seq: int  # the newest request of the write-ahead log in it


@dataclass(frozen=True, slots=True)
class Layout:
    """How the segments of one signal look."""

    schema: pa.Schema
    time: str  # the column that the catalogue's times are about
    group_rows: int  # of a Parquet row group: what reading one row costs at least
    sort: Callable[[pa.Table], pa.Table]  # in the order of the file, each row once
    write_index: Callable[[Path, pa.Table], None]  # from a sorted table with at least ``index_columns``
    index_columns: tuple[str, ...]
    dictionary_columns: tuple[str, ...]  # Parquet's names of what is worth a dictionary
    footer: Callable[[pa.Table], dict[bytes, bytes]] | None = None  # what a file says of its rows as a whole
    left_out_if_empty: tuple[str, ...] = ()  # lists that cost their share of a row although they are mostly empty
    defaults: Mapping[str, object] = field(default_factory=dict)  # of what older segments, or others' files, have not

    @property
    def words(self) -> list[str]:
        """The columns whose texts repeat."""
        return [entry.name for entry in self.schema if entry.type == WORD]


def write(directory: Path, name: str, tables: Sequence[pa.Table], last_seq: int, layout: Layout) -> SegmentInfo:
    """Sort, drop duplicates, write both files durably. Raises OSError; then there is nothing under the name."""
    table = layout.sort(pa.concat_tables(tables).unify_dictionaries().combine_chunks())
    parquet, index = directory / f"{name}{PARQUET_SUFFIX}", directory / f"{name}{INDEX_SUFFIX}"
    parquet_temporary, index_temporary = parquet.with_suffix(".parquet.tmp"), index.with_suffix(".idx.tmp")
    try:
        layout.write_index(index_temporary, table)
        footer = layout.footer(table) if layout.footer is not None else {}
        _write_parquet(_writable(table, layout), parquet_temporary, layout, footer)
        disk.publish(index_temporary, index)
        disk.publish(parquet_temporary, parquet)
    except OSError:
        for path in (index_temporary, parquet_temporary, index, parquet):
            path.unlink(missing_ok=True)
        raise
    return describe(directory, name, table, last_seq, layout)


def _writable(table: pa.Table, layout: Layout) -> pa.Table:
    """Long dictionaries as plain text; some columns left out where no row has anything in them."""
    for name in layout.left_out_if_empty:
        if not len(column(table, name).values):
            table = table.drop_columns([name])
    for position, name in enumerate(table.schema.names):
        if not pa.types.is_dictionary(table.schema.field(name).type):
            continue
        values = column(table, name)
        if len(values.dictionary) > DICTIONARY_MAX:
            table = table.set_column(position, name, pc.cast(values, pa.string()))
    return table


def _write_parquet(table: pa.Table, path: Path, layout: Layout, footer: dict[bytes, bytes]) -> None:
    options: dict[str, Any] = {  # pyarrow's own signature wants booleans where its documentation takes lists
        "use_dictionary": list(layout.dictionary_columns),
        "write_statistics": [layout.time],
        "write_page_checksum": True,  # "store check" looks at them
        "store_schema": False,  # with it, pyarrow wants to restore dictionaries inside maps, and can't
    }
    with pq.ParquetWriter(path, table.schema, compression="zstd", compression_level=1, **options) as writer:
        writer.write_table(table, row_group_size=layout.group_rows)
        if footer:
            writer.add_key_value_metadata(footer)


def describe(directory: Path, name: str, table: pa.Table, last_seq: int, layout: Layout) -> SegmentInfo:
    """The catalogue's entry for a segment. Its index may be missing: it is made anew when it is needed."""
    files = (directory / f"{name}{suffix}" for suffix in (PARQUET_SUFFIX, INDEX_SUFFIX))
    times = pc.min_max(table.column(layout.time))
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
def metadata(path: Path) -> pq.FileMetaData:
    """A Parquet file's footer, remembered: segments never change."""
    return pq.read_metadata(path)


class SegmentFile:
    """A segment of any signal, to be read. Every method raises StoreCorruptError for a file that can't be."""

    def __init__(self, directory: Path, info: SegmentInfo, layout: Layout) -> None:
        self.info = info
        self.layout = layout
        self.parquet_path = directory / f"{info.name}{PARQUET_SUFFIX}"
        self.index_path = directory / f"{info.name}{INDEX_SUFFIX}"

    def read(self, columns: Sequence[str], groups: Sequence[int] | None = None) -> pa.Table:
        """Some columns of some row groups (default: all), with the types of the layout's schema."""
        try:
            file = pq.ParquetFile(
                self.parquet_path,
                metadata=metadata(self.parquet_path),
                memory_map=True,
                read_dictionary=self.layout.words,
            )
            with file:
                wanted = range(file.num_row_groups) if groups is None else groups
                table = file.read_row_groups(list(wanted), columns=list(columns), use_threads=False)
                missing = [name for name in columns if name not in table.column_names]
        except FileNotFoundError:
            raise  # compacted away or past its retention: the caller looks at the catalogue again
        except (OSError, pa.ArrowException) as error:
            raise StoreCorruptError(
                f"Segment {self.parquet_path} can't be read ({error}). It is left out."
            ) from error
        return conform(_filled(table, missing, self.layout), self.layout.schema).select(list(columns))

    def indexed(self) -> pa.Table:
        """The columns that the index is made of."""
        return self.read(self.layout.index_columns)

    def opened_index(self, opened: Callable[[], Index]) -> Index:
        """The index as ``opened`` gives it, which may remember it; made anew when it is missing or damaged."""
        try:
            return opened()
        except (StoreCorruptError, OSError) as error:
            logger.warning("The index of segment %s can't be read (%s) and is made anew", self.info.name, error)
        self.rebuild_index()
        return opened()

    def rebuild_index(self) -> None:
        """Make the index anew from the Parquet file, durably."""
        temporary = self.index_path.with_suffix(".idx.tmp")
        self.layout.write_index(temporary, self.indexed())
        disk.publish(temporary, self.index_path)


def _filled(table: pa.Table, missing: Sequence[str], layout: Layout) -> pa.Table:
    """The table with the columns that a segment was written without: defaults, empty lists, else nulls."""
    for name in missing:
        wanted = layout.schema.field(name).type
        if name in layout.defaults:
            values = _constant(layout.defaults[name], wanted, table.num_rows)
        elif wanted == ATTRIBUTES:
            nothing = pa.array([], pa.string())
            offsets = pa.array(np.zeros(table.num_rows + 1, dtype=np.int32))
            values = pa.MapArray.from_arrays(offsets, nothing, nothing)
        elif pa.types.is_list(wanted):
            offsets = pa.array(np.zeros(table.num_rows + 1, dtype=np.int32))
            values = pa.ListArray.from_arrays(offsets, pa.array([], type=wanted.value_type), type=wanted)
        else:
            values = pa.nulls(table.num_rows, wanted)
        table = table.append_column(layout.schema.field(name), values)
    return table


def filled(table: pa.Table, layout: Layout) -> pa.Table:
    """A table of somebody else's file with all of the layout's columns, in its order and types."""
    missing = [name for name in layout.schema.names if name not in table.column_names]
    whole = conform(_filled(table, missing, layout), layout.schema).select(layout.schema.names)
    for at, entry in enumerate(whole.schema):
        if whole.column(at).null_count:
            values = _without_nulls(column(whole, entry.name), layout.defaults.get(entry.name))
            whole = whole.set_column(at, entry, values)
    return whole


def _without_nulls(values: pa.Array, default: object) -> pa.Array:
    """Sorting and searching know texts, lists and maps that are empty; other nulls stay where there is no default."""
    if values.type == WORD:
        return pc.dictionary_encode(pc.fill_null(pc.cast(values, pa.string()), default or ""))
    if values.type == ATTRIBUTES:
        return pa.MapArray.from_arrays(values.offsets, values.keys, values.items)
    if pa.types.is_list(values.type):
        return pa.ListArray.from_arrays(values.offsets, values.values, type=values.type)
    return values if default is None else pc.fill_null(values, pa.scalar(default, values.type))


def _constant(value: object, wanted: pa.DataType, rows: int) -> pa.Array:
    if wanted == WORD:
        indices = pa.array(np.zeros(rows, dtype=np.int32))
        return pa.DictionaryArray.from_arrays(indices, pa.array([value], pa.string()))
    return pa.repeat(pa.scalar(value, wanted), rows)


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table as it is read from Parquet, with the types of a schema."""
    arrays: list[pa.Array] = []
    for name in table.schema.names:
        values, wanted = column(table, name), schema.field(name).type
        if values.type == wanted:
            arrays.append(values)
        elif wanted == WORD:
            arrays.append(pc.dictionary_encode(values))
        elif wanted == ATTRIBUTES:
            arrays.append(pa.MapArray.from_arrays(values.offsets, pc.cast(values.keys, pa.string()), values.items))
        else:
            arrays.append(pc.cast(values, wanted))
    return pa.Table.from_arrays(arrays, schema=pa.schema([schema.field(name) for name in table.schema.names]))
