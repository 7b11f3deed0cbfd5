"""Persisted rollups as files: whoever wrote them and however they were merged, they say the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.store.telemetry.rollup_files import (
    EDGES,
    OPERATIONS,
    SERVICES,
    Rollup,
    read_all,
    read_edges,
    read_range,
    series_in,
    write_file,
)
from homeostat.store.telemetry.rollup_merge import DAY_S, HOUR_S, QUARTER_S, WEEK_S, merge, to_merge
from homeostat.store.telemetry.rollup_schema import ROLLUP_SCHEMA, Cells, edge_table, rollup_table

NAMES = [("bank", ""), ("shop", "GET /"), ("shop", "POST /pay")]
WEEK_FROM_S = 2_950 * WEEK_S
KINDS = frozenset({SERVICES, OPERATIONS, EDGES})


def _rows(chance: np.random.Generator, rows: int = 400) -> pa.Table:
    series, bucket_series = chance.integers(0, len(NAMES), (2, rows))
    time_s, bucket_time_s = chance.integers(WEEK_FROM_S, WEEK_FROM_S + HOUR_S, (2, rows))
    sums = chance.integers(0, 1_000, (rows, 6)).astype(np.float64)
    both = (np.concatenate([series, bucket_series]), np.concatenate([time_s, bucket_time_s]))
    counted = np.concatenate([sums, np.zeros((rows, 6))])
    buckets, counts = chance.integers(0, 224, rows), chance.integers(1, 1 << 20, rows)
    return rollup_table(Cells(NAMES, *both, counted, bucket_series, bucket_time_s, buckets, counts), 1 << 33)


def _edges(chance: np.random.Generator, rows: int = 400) -> pa.Table:
    time_s = chance.integers(WEEK_FROM_S, WEEK_FROM_S + HOUR_S, rows)
    sums = chance.integers(0, 1_000, (rows, 3)).astype(np.float64)
    return edge_table(["shop", "bank"], ["bank", "mail"], chance.integers(0, 2, rows), time_s, sums, 1 << 33)


def _written_before(path: Path, table: pa.Table) -> None:
    """As version 1 wrote it: everything through zstd, no dictionaries of numbers, no index of series."""
    words = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
    options: dict[str, Any] = {
        "use_dictionary": [*words, "length_s"],
        "write_statistics": ["start_s"],
        "store_schema": False,
    }
    with pq.ParquetWriter(path, table.schema, compression="zstd", compression_level=1, **options) as writer:
        writer.write_table(table)


@pytest.mark.parametrize("kind", [SERVICES, OPERATIONS])
def test_a_file_of_an_earlier_version_says_the_same_as_one_of_today(tmp_path: Path, kind: str) -> None:
    table = _rows(np.random.default_rng(1))
    old, new = tmp_path / "old.parquet", tmp_path / "new.parquet"
    _written_before(old, table)
    write_file(new, kind, [table])
    assert series_in(old) == series_in(new)
    for path in (old, new):
        assert read_all(path, ROLLUP_SCHEMA.names).to_pylist() == table.to_pylist()
        one = read_range(path, NAMES[1], NAMES[1], ["start_s", "requests", "buckets", "bucket_counts"])
        place = pa.array([name == "GET /" for name in table["operation"].to_pylist()])
        assert one is not None
        assert one.equals(table.filter(place).select(one.column_names).combine_chunks())
        assert read_range(path, ("mail", ""), ("mail", "~"), ["start_s"]) is None


def test_edges_of_an_earlier_version_say_the_same_as_those_of_today(tmp_path: Path) -> None:
    table = _edges(np.random.default_rng(2))
    old, new = tmp_path / "old.parquet", tmp_path / "new.parquet"
    _written_before(old, table)
    write_file(new, EDGES, [table])
    assert read_edges(old, 0, 1 << 40).equals(read_edges(new, 0, 1 << 40))
    assert read_edges(new, 0, 1 << 40).to_pylist() == table.to_pylist()


def test_what_an_earlier_version_merged_by_the_day_is_merged_on_with_what_is_new(tmp_path: Path) -> None:
    chance = np.random.default_rng(3)
    old = Rollup(4, WEEK_FROM_S, WEEK_FROM_S + HOUR_S - 60, seq=1, generation=2, kinds=frozenset({SERVICES}))
    new = Rollup(3, WEEK_FROM_S, WEEK_FROM_S + HOUR_S - 60, seq=2, generation=1, kinds=frozenset({SERVICES}))
    tables = [_rows(chance), _rows(chance)]
    _written_before(tmp_path / old.name(SERVICES), tables[0])
    write_file(tmp_path / new.name(SERVICES), SERVICES, [tables[1]])
    merged = merge(tmp_path, [old, new], 5, 1 << 33)
    found = read_all(tmp_path / merged.name(SERVICES), ["requests", "duration_sum_ms", "bucket_counts"])
    for name in ("requests", "duration_sum_ms"):
        assert sum(found[name].to_pylist()) == sum(sum(table[name].to_pylist()) for table in tables)
    assert _counted(found) == sum(map(_counted, tables))


def _counted(table: pa.Table) -> int:
    return sum(int(np.frombuffer(counts, "<u4").sum()) for counts in table["bucket_counts"].to_pylist())


def _of(level: int, from_s: int, length_s: int, seq: int) -> Rollup:
    return Rollup(level, from_s, from_s + length_s - 60, seq=seq, generation=0, kinds=KINDS)


def _settled(rollups: list[Rollup], now_s: int) -> list[Rollup]:
    """What is left when everything is merged that can be. Fails when that never ends."""
    for _ in range(len(rollups) * 4 + 4):
        sources, level = to_merge(sorted(rollups, key=lambda one: (one.from_s, one.seq)), now_s)
        if not sources:
            return rollups
        rollups = [one for one in rollups if one not in sources]
        from_s, to_s = min(one.from_s for one in sources), max(one.to_s for one in sources)
        rollups.append(Rollup(level, from_s, to_s, max(one.seq for one in sources), 1, KINDS))
    raise AssertionError(f"still merging: {rollups}")


def test_a_month_of_hours_is_read_from_few_files_whatever_the_hour() -> None:
    for hours in range(23 * 24, 30 * 24, 5):
        now_s = WEEK_FROM_S + hours * HOUR_S
        written = [_of(0, WEEK_FROM_S + hour * HOUR_S, HOUR_S, hour) for hour in range(hours)]
        left = _settled(written, now_s)
        assert len(left) <= 4 + 6 + 3 + 6 + 1, sorted(one.level for one in left)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 20 * 24)), max_size=60))
@settings(max_examples=60, deadline=None)
def test_merging_ends_whatever_levels_an_earlier_version_left(found: list[tuple[int, int]]) -> None:
    lengths = {3: HOUR_S, 4: DAY_S, 5: WEEK_S}  # what 4 and 5 meant before there were quarters
    rollups = [
        _of(level, WEEK_FROM_S + hour * HOUR_S, lengths.get(level, QUARTER_S), seq)
        for seq, (level, hour) in enumerate(found)
    ]
    left = _settled(rollups, WEEK_FROM_S + 30 * DAY_S)
    assert len(left) <= 4 * (1 + 8), "a week, and few that came late, for each of four weeks"
