"""Which rollups become one, and making it, in pieces of bounded size. Called by ``observe.rollups``.

Level 0 is written at each seal. Eight of a level become one of the next (up to level 2), so that a busy hour has
tens of files and not hundreds; an hour that is over becomes one file by the minute (3), and so do a quarter of a day
(4), a day (5) and a week (6). What an earlier version wrote for a day (4) or a week (5) is merged once more.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from homeostat.store.telemetry.rollup_files import (
    EDGES,
    KINDS,
    Rollup,
    RollupWriter,
    read_edges,
    read_range,
    series_in,
)
from homeostat.store.telemetry.rollup_schema import (
    EDGE_SUMS,
    ROLLUP_SCHEMA,
    Series,
    cells_of,
    edge_codes,
    edge_table,
    minutes_end,
    rollup_table,
    sums_of,
)
from homeostat.store.telemetry.schema import column

HOUR_S: Final = 3600
QUARTER_S: Final = 6 * HOUR_S
DAY_S: Final = 4 * QUARTER_S
WEEK_S: Final = 7 * DAY_S

_FEW: Final = 8  # of one of the lower levels
_HOUR_LEVEL: Final = 3
_PERIODS: Final = {_HOUR_LEVEL: HOUR_S, 4: QUARTER_S, 5: DAY_S, 6: WEEK_S}
_SETTLED_S: Final = 45 * 60
"""So long after its end an hour, a quarter, a day or a week is merged: its seconds have become minutes."""

_PIECE_ROWS: Final = 16_384
_EDGE_PIECE_S: Final = HOUR_S


def to_merge(rollups: Sequence[Rollup], now_s: int) -> tuple[list[Rollup], int]:
    """The next rollups to be merged, and the level of what they become; none when there is nothing to do."""
    for level in range(_HOUR_LEVEL - 1):
        few = [rollup for rollup in rollups if rollup.level == level]
        if len(few) >= _FEW:
            return few[:_FEW], level + 1
    for level, period_s in _PERIODS.items():
        old = sorted(
            (rollup for rollup in rollups if rollup.level <= level and _is_over(rollup, period_s, now_s)),
            key=lambda rollup: rollup.to_s // period_s,
        )
        for _, members in groupby(old, key=lambda rollup: rollup.to_s // period_s):
            group = list(members)
            merged = sum(rollup.level == level for rollup in group)
            # A latecomer is not worth writing all of its week anew; some of them are.
            if merged < len(group) and (not merged or len(group) > _FEW):
                return group, level
    return [], 0


def _is_over(rollup: Rollup, period_s: int, now_s: int) -> bool:
    return (rollup.to_s // period_s + 1) * period_s + _SETTLED_S <= now_s


def merge(directory: Path, sources: Sequence[Rollup], level: int, seconds_from_s: int) -> Rollup:
    """Write one rollup that holds what the sources hold, durably. Raises OSError, StoreCorruptError: nothing is left.

    What is older than ``seconds_from_s`` (the beginning of a minute) becomes minutes.
    """
    kinds = frozenset().union(*(source.kinds for source in sources))
    oldest = min(source.from_s for source in sources)
    merged = Rollup(
        level=level,
        from_s=oldest - oldest % 60,
        to_s=max(source.to_s for source in sources),
        seq=max(source.seq for source in sources),
        generation=max(source.generation for source in sources) + 1,
        kinds=kinds,
    )
    written: list[Path] = []
    try:
        for kind in KINDS:
            if kind in kinds:
                paths = [directory / source.name(kind) for source in sources if kind in source.kinds]
                pieces = _edge_pieces if kind == EDGES else _series_pieces
                path = directory / merged.name(kind)
                _write(path, kind, pieces(paths, merged, seconds_from_s))
                written.append(path)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return merged


def _write(path: Path, kind: str, pieces: Iterable[pa.Table]) -> None:
    writer = RollupWriter(path, kind)
    try:
        for piece in pieces:
            writer.write(piece)
        writer.publish()
    except BaseException:
        writer.abandon()
        raise


def _series_pieces(paths: Sequence[Path], merged: Rollup, seconds_from_s: int) -> Iterator[pa.Table]:
    """Some series at a time, from all files."""
    del merged
    rows: dict[Series, int] = {}
    for path in paths:
        for series, count in series_in(path):
            rows[series] = rows.get(series, 0) + count
    for first, last in _pieces(rows):
        found = [read_range(path, first, last, ROLLUP_SCHEMA.names) for path in paths]
        tables = [table for table in found if table is not None]
        yield rollup_table(cells_of(tables), max([seconds_from_s, *map(minutes_end, tables)]))


def _pieces(rows: dict[Series, int]) -> Iterator[tuple[Series, Series]]:
    """First and last series of each piece."""
    first: Series | None = None
    last: Series | None = None
    size = 0
    for series in sorted(rows):
        if first is not None and last is not None and size + rows[series] > _PIECE_ROWS:
            yield first, last
            first, size = None, 0
        first = first or series
        last, size = series, size + rows[series]
    if first is not None and last is not None:
        yield first, last


def _edge_pieces(paths: Sequence[Path], merged: Rollup, seconds_from_s: int) -> Iterator[pa.Table]:
    """An hour at a time, from all files."""
    start_s = merged.from_s - merged.from_s % _EDGE_PIECE_S
    times = sorted({hour for path in paths for hour in _hours(path, start_s, merged.to_s + 1)})
    for hour in times:
        tables = [_edges_within(path, hour, hour + _EDGE_PIECE_S) for path in paths]
        table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
        begins = column(table, "start_s").to_numpy()
        until_s = max(seconds_from_s, minutes_end(table))
        yield edge_table(*edge_codes(table), begins, sums_of(table, EDGE_SUMS), until_s)


def _hours(path: Path, start_s: int, end_s: int) -> set[int]:
    """The hours that a file has edges in."""
    seconds = column(read_edges(path, start_s, end_s), "start_s").to_numpy()
    return set(np.unique(seconds - seconds % _EDGE_PIECE_S).tolist())


def _edges_within(path: Path, start_s: int, end_s: int) -> pa.Table:
    table = read_edges(path, start_s, end_s)
    seconds = column(table, "start_s").to_numpy()
    return table.filter(pa.array((seconds >= start_s) & (seconds < end_s)))
