"""Persisted rollups as files: Parquet, three for each stretch of time, found by their names. Used by ``rollup_merge``
and ``observe.rollups``.

``rollup-<level>-<first second>-<last second>-<last request>-<generation>.<kind>.parquet``; services and operations
are sorted by series and time and cut into row groups between series, edges are sorted by time. A file never
changes.
"""

import json
import logging
import re
from bisect import bisect_left, bisect_right
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from homeostat.core.errors import StoreCorruptError
from homeostat.store.telemetry import disk
from homeostat.store.telemetry.layout import conform
from homeostat.store.telemetry.rollup_schema import EDGE_SCHEMA, ROLLUP_SCHEMA, Series
from homeostat.store.telemetry.schema import WORD, column

logger = logging.getLogger(__name__)

SERVICES: Final = "services"
OPERATIONS: Final = "operations"
EDGES: Final = "edges"
KINDS: Final = (SERVICES, OPERATIONS, EDGES)

_GROUP_ROWS: Final = {SERVICES: 1_024, OPERATIONS: 8_192, EDGES: 16_384}  # at least; a series is not cut in two
_FILES_KEPT: Final = 256
"""Files whose footers are remembered: all of a month."""

_DISTINCT: Final = {"start_s", "duration_sum_ms", "downstream_duration_sum_ms", "buckets", "bucket_counts"}
"""Columns whose values hardly ever come twice: a dictionary of them would be as long as they are."""

_PLACES_KEY: Final = "homeostat.series"
"""In the footer of a file of series: service, operation and first row of each, as JSON."""

_NAME: Final = re.compile(r"rollup-(\d)-(\d+)-(\d+)-(\d+)-(\d+)\.(services|operations|edges)\.parquet")


@dataclass(frozen=True, slots=True)
class Rollup:
    """One stretch of time, in one to three files. ``level`` grows with each merge; see ``rollup_merge``."""

    level: int
    from_s: int  # the oldest second that a row begins in
    to_s: int  # the newest
    seq: int  # the newest request of the log that is counted
    generation: int  # how often the oldest of what is in it has been merged: (seq, generation) never comes twice
    kinds: frozenset[str] = frozenset()

    def name(self, kind: str) -> str:
        """The name of one of its files."""
        return f"rollup-{self.level}-{self.from_s}-{self.to_s}-{self.seq}-{self.generation}.{kind}.parquet"

    @property
    def names(self) -> list[str]:
        """The names of all its files."""
        return [self.name(kind) for kind in KINDS if kind in self.kinds]

    def overlaps(self, start_s: int, end_s: int) -> bool:
        """Whether a row may begin in ``[start_s, end_s)``."""
        return self.from_s < end_s and start_s <= self.to_s


@lru_cache(maxsize=4)
def parse_names(names: tuple[str, ...]) -> tuple[Rollup, ...]:
    """The rollups that some files are, from the oldest to the newest; names of other things are left out."""
    kinds: dict[tuple[int, ...], set[str]] = {}
    for name in names:
        if (match := _NAME.fullmatch(name)) is not None:
            kinds.setdefault(tuple(map(int, match.groups()[:5])), set()).add(match[6])
    found = [Rollup(*key[:5], kinds=frozenset(members)) for key, members in kinds.items()]
    return tuple(sorted(found, key=lambda rollup: (rollup.from_s, rollup.seq, rollup.level)))


class RollupWriter:
    """Writes one file piece by piece, in the order of the file. ``publish`` gives it its name, durably."""

    def __init__(self, path: Path, kind: str) -> None:
        self._path = path
        self._temporary = path.with_name(f"{path.name}.tmp")
        self._group_rows = _GROUP_ROWS[kind]
        self._is_series = kind != EDGES
        schema = EDGE_SCHEMA if kind == EDGES else ROLLUP_SCHEMA
        self._writer = pq.ParquetWriter(self._temporary, schema, **_options(kind, schema))
        self._places: list[tuple[str, str, int]] = []  # each series, and its first row
        self._rows = 0

    def write(self, table: pa.Table) -> None:
        """Append rows; in a file of series no series may be cut between two calls."""
        ends = (
            _series_ends(table) if self._is_series else np.arange(self._group_rows, table.num_rows, self._group_rows)
        )
        if self._is_series and table.num_rows:
            self._note(table, [0, *ends.tolist()])
        start = 0
        for end in [*ends.tolist(), table.num_rows]:
            if end - start >= self._group_rows or (end == table.num_rows and end > start):
                self._writer.write_table(table.slice(start, end - start), row_group_size=end - start)
                start = end

    def _note(self, table: pa.Table, starts: list[int]) -> None:
        firsts = table.select(["service", "operation"]).take(pa.array(starts))
        names = zip(firsts["service"].to_pylist(), firsts["operation"].to_pylist(), starts, strict=True)
        self._places += [(service, operation, self._rows + start) for service, operation, start in names]
        self._rows += table.num_rows

    def publish(self) -> None:
        """Finish. Raises OSError."""
        if self._is_series:
            self._writer.add_key_value_metadata({_PLACES_KEY: json.dumps(self._places, separators=(",", ":"))})
        self._writer.close()
        disk.publish(self._temporary, self._path)

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._writer.close()
        self._temporary.unlink(missing_ok=True)


def _options(kind: str, schema: pa.Schema) -> dict[str, Any]:
    """How a file is encoded. What objectives read after a start, the services, is made to be read in the least time:
    a decompressor of zstd costs more to set up than such a column to read."""
    options: dict[str, Any] = {  # pyarrow's own signature wants booleans where its documentation takes lists
        "use_dictionary": [name for name in schema.names if name not in _DISTINCT],
        "column_encoding": {"start_s": "DELTA_BINARY_PACKED"},
        "write_statistics": ["start_s"],
        "store_schema": False,
    }
    if kind == SERVICES:
        return {**options, "compression": "lz4"}
    return {**options, "compression": "zstd", "compression_level": 1}


def _series_ends(table: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Behind which row a series ends."""
    service = column(table, "service").indices.to_numpy()
    operation = column(table, "operation").indices.to_numpy()
    return np.flatnonzero((service[1:] != service[:-1]) | (operation[1:] != operation[:-1])) + 1


def write_file(path: Path, kind: str, tables: Sequence[pa.Table]) -> None:
    """A whole file, durably. Raises OSError; then there is nothing under the name."""
    writer = RollupWriter(path, kind)
    try:
        for table in tables:
            writer.write(table)
        writer.publish()
    except BaseException:
        writer.abandon()
        raise


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the series of a file are."""

    series: list[Series]  # sorted
    starts: list[int]  # the first row of each, and behind the last the number of rows


@lru_cache(maxsize=_FILES_KEPT)
def _metadata(path: Path) -> pq.FileMetaData:
    return pq.read_metadata(path)


@lru_cache(maxsize=_FILES_KEPT)
def _group_starts(path: Path) -> list[int]:
    """The first row of each row group, and the number of rows."""
    metadata = _metadata(path)
    rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    return np.concatenate([[0], np.cumsum(rows, dtype=np.int64)]).tolist()


@lru_cache(maxsize=_FILES_KEPT)
def _group_times(path: Path) -> list[tuple[int, int]]:
    """The oldest and the newest ``start_s`` of each row group."""
    metadata = _metadata(path)
    place = metadata.schema.names.index("start_s")
    found: list[tuple[int, int]] = []
    for group in range(metadata.num_row_groups):
        statistics: Any = metadata.row_group(group).column(place).statistics
        found.append((cast("int", statistics.min), cast("int", statistics.max)))
    return found


@lru_cache(maxsize=_FILES_KEPT)
def _places(path: Path) -> _Places:
    """As the file's footer says; from its rows where it was written before footers did."""
    with _readable(path):
        metadata = _metadata(path)
        written = (metadata.metadata or {}).get(_PLACES_KEY.encode())
        if written is not None:
            rows: list[tuple[str, str, int]] = json.loads(written)
            starts = [start for _, _, start in rows]
            return _Places([(service, operation) for service, operation, _ in rows], [*starts, metadata.num_rows])
    table = _read(path, ROLLUP_SCHEMA, ["service", "operation"], None)
    if not table.num_rows:
        return _Places([], [0])
    ends = _series_ends(table)
    firsts = table.take(pa.array(np.concatenate([[0], ends])))
    pairs = zip(firsts["service"].to_pylist(), firsts["operation"].to_pylist(), strict=True)
    return _Places(list(pairs), [0, *ends.tolist(), table.num_rows])


@contextmanager
def _readable(path: Path) -> Generator[None]:
    """Whatever goes wrong with the file within is StoreCorruptError."""
    try:
        yield
    except FileNotFoundError:
        raise  # merged or past its retention: the caller looks again
    except (OSError, ValueError, pa.ArrowException) as error:
        raise StoreCorruptError(f"{path} can't be read ({error}). What was counted in it is left out.") from error


def _read(path: Path, schema: pa.Schema, columns: Sequence[str], groups: Sequence[int] | None) -> pa.Table:
    words = [name for name in columns if schema.field(name).type == WORD]
    with (
        _readable(path),
        pa.memory_map(str(path)) as source,
    ):  # given the path, pyarrow would look for its file system
        file = pq.ParquetFile(source, metadata=_metadata(path), read_dictionary=words, pre_buffer=False)
        wanted = range(file.num_row_groups) if groups is None else groups
        table = file.read_row_groups(list(wanted), columns=list(columns), use_threads=False)
    return conform(table.unify_dictionaries(), schema)


def _rows(path: Path, columns: Sequence[str], start: int, stop: int) -> pa.Table:
    """Rows ``[start, stop)`` of a file of series."""
    starts = _group_starts(path)
    first, last = bisect_right(starts, start) - 1, bisect_left(starts, stop)
    table = _read(path, ROLLUP_SCHEMA, columns, range(first, last))
    return table.slice(start - starts[first], stop - start)


def series_in(path: Path) -> list[tuple[Series, int]]:
    """Every series of a file, sorted, with how many rows it has. Raises StoreCorruptError, FileNotFoundError."""
    places = _places(path)
    return [
        (series, stop - start)
        for series, start, stop in zip(places.series, places.starts, places.starts[1:], strict=False)
    ]


def read_range(path: Path, first: Series, last: Series, columns: Sequence[str]) -> pa.Table | None:
    """Some columns of the series from ``first`` to ``last`` (both included), or None where the file has none of them.

    Raises StoreCorruptError, FileNotFoundError.
    """
    places = _places(path)
    begin, end = bisect_left(places.series, first), bisect_right(places.series, last)
    if begin == end:
        return None
    return _rows(path, columns, places.starts[begin], places.starts[end])


def read_all(path: Path, columns: Sequence[str]) -> pa.Table:
    """Some columns of every series. Raises StoreCorruptError, FileNotFoundError."""
    return _read(path, ROLLUP_SCHEMA, columns, None)


def read_edges(path: Path, start_s: int, end_s: int) -> pa.Table:
    """Edges whose second or minute begins in ``[start_s, end_s)``, and more. Raises StoreCorruptError,
    FileNotFoundError."""
    times = _group_times(path)
    groups = [group for group, (first, last) in enumerate(times) if first < end_s and start_s <= last]
    return _read(path, EDGE_SCHEMA, EDGE_SCHEMA.names, groups)
