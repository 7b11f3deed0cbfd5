"""What has been counted since the last checkpoint: the rollup that is written with the next one.

``observe.red`` adds each batch under its lock; at a seal ``observe.rollups`` takes the whole of it, which from then
on never changes, and writes it in the flush thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from homeostat.observe.red_buckets import MINUTE_S, Timed
from homeostat.store.telemetry.rollup_files import EDGES, OPERATIONS, SERVICES, Rollup, write_file
from homeostat.store.telemetry.rollup_schema import Cells, edge_table, rollup_table

BUCKET_BITS: Final = 8
"""A histogram's key is pair << 8 | bucket: shifting is quicker than dividing."""

EDGE_BITS: Final = 20
"""An edge's key is caller << 20 | callee."""

_ROWS_MAX: Final = 400_000  # then rows with the same key are added up; if most of them differ, by the minute
_LATE_S: Final = 2 * 3600  # what is so much older than the newest is written apart: a file that spans days is no help


class Growing:
    """Sums by second and key, as they come; added up when there are many, by the minute when there are too many."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._parts: list[Timed] = []
        self._rows = 0
        self._oldest_s: int | None = None
        self.is_by_minute = False

    @property
    def oldest_s(self) -> int | None:
        """The oldest second that anything was counted in."""
        return self._oldest_s

    def add(self, part: Timed) -> None:
        """Add sums, in any order."""
        if not len(part.keys):
            return
        oldest_s = int(part.seconds.min())
        self._oldest_s = oldest_s if self._oldest_s is None else min(oldest_s, self._oldest_s)
        self._parts.append(part)
        self._rows += len(part.keys)
        if self._rows > _ROWS_MAX:
            self._shrink()

    def _shrink(self) -> None:
        whole = self.whole().added_up()
        if len(whole.keys) > _ROWS_MAX // 2:
            whole = whole.added_up(MINUTE_S)
            self.is_by_minute = True
        self._parts, self._rows = [whole], min(len(whole.keys), _ROWS_MAX // 2)

    def whole(self) -> Timed:
        """All rows; a key may come more than once in a second."""
        if not self._parts:
            return Timed.none(self._columns)
        if len(self._parts) > 1:
            seconds = np.concatenate([part.seconds for part in self._parts])
            keys = np.concatenate([part.keys for part in self._parts])
            self._parts = [Timed(seconds, keys, np.concatenate([part.sums for part in self._parts]))]
        return self._parts[0]


@dataclass(slots=True)
class Delta:
    """Counts, histograms and edges of every span since the last checkpoint."""

    counts: Growing = field(default_factory=lambda: Growing(6))
    histograms: Growing = field(default_factory=lambda: Growing(1))
    edges: Growing = field(default_factory=lambda: Growing(3))


@dataclass(frozen=True)
class SealedDelta:
    """A delta that nothing is added to any more, with the names that its numbers stand for."""

    seq: int  # the newest request that is counted in it
    seconds_from_s: int  # the beginning of a minute: what is older is written by the minute
    services: Sequence[str]
    operations: Sequence[str]  # by pair
    service_of_pair: Sequence[int]
    counts: Timed
    histograms: Timed
    edges: Timed

    def cells(self, *, by_service: bool) -> Cells:
        """The sums of every operation, or of every service."""
        names = [
            (self.services[service], operation)
            for service, operation in zip(self.service_of_pair, self.operations, strict=True)
        ]
        counts, histograms = self.counts, self.histograms
        bucket = histograms.keys & ((1 << BUCKET_BITS) - 1)
        pair = histograms.keys >> BUCKET_BITS
        cells = Cells(
            names,
            counts.keys,
            counts.seconds,
            counts.sums,
            pair,
            histograms.seconds,
            bucket,
            np.rint(histograms.sums[:, 0]).astype(np.int64),
        )
        return cells.by_service() if by_service else cells

    @cached_property
    def service_rows(self) -> pa.Table:
        """The rows of all services."""
        return rollup_table(self.cells(by_service=True), self.seconds_from_s)

    @cached_property
    def operation_rows(self) -> pa.Table:
        """The rows of all operations."""
        return rollup_table(self.cells(by_service=False), self.seconds_from_s)

    @cached_property
    def edge_rows(self) -> pa.Table:
        """Who called whom."""
        unique, place = np.unique(self.edges.keys, return_inverse=True)
        keys: list[int] = unique.tolist()
        callers = [self.services[key >> EDGE_BITS] for key in keys]
        callees = [self.services[key & ((1 << EDGE_BITS) - 1)] for key in keys]
        return edge_table(callers, callees, place, self.edges.seconds, self.edges.sums, self.seconds_from_s)

    def write(self, directory: Path) -> list[str]:
        """Write the files, durably; gives their names. Raises OSError."""
        tables = {
            SERVICES: self.service_rows,
            OPERATIONS: self.operation_rows,
            EDGES: self.edge_rows,
        }
        newest = max(
            (int(table["start_s"].to_numpy().max()) for table in tables.values() if table.num_rows), default=0
        )
        bound = newest - _LATE_S
        return [*self._write(directory, tables, 0, bound), *self._write(directory, tables, bound, newest + 1)]

    def _write(self, directory: Path, tables: dict[str, pa.Table], start_s: int, end_s: int) -> list[str]:
        """The rows that begin in ``[start_s, end_s)`` as one rollup."""
        found: dict[str, pa.Table] = {}
        for kind, table in tables.items():
            begins = table["start_s"].to_numpy()
            within = (begins >= start_s) & (begins < end_s)
            if within.any():
                found[kind] = table if within.all() else table.filter(pa.array(within)).combine_chunks()
        if not found:
            return []
        times = [table["start_s"].to_numpy() for table in found.values()]
        rollup = Rollup(
            level=0,
            from_s=min(int(begins.min()) for begins in times),
            to_s=max(int(begins.max()) for begins in times),
            seq=self.seq,
            generation=0,
            kinds=frozenset(found),
        )
        for kind, table in found.items():
            write_file(directory / rollup.name(kind), kind, [table])
        return rollup.names
