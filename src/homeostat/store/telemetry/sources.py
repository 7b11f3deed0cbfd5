"""Hot tables and segments as sources of one kind, for ``query`` and ``search`` to ask without telling them apart."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import pyarrow as pa

from homeostat.core.errors import StoreCorruptError
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.names import Operations, operations_in, operations_of
from homeostat.store.telemetry.schema import column, trace_keys
from homeostat.store.telemetry.segment import GROUP_ROWS, Segment
from homeostat.store.telemetry.shared import SharedSpans

logger = logging.getLogger(__name__)

END_OF_TIME: Final = 2**63 - 1
"""No span starts later (Unix ns)."""


@dataclass(frozen=True, slots=True)
class View:
    """What is stored at one moment, each part from the newest to the oldest. No span is in both, but for retries."""

    hot: Sequence[pa.Table]
    segments: Sequence[Segment]
    shared: SharedSpans | None = None  # what other processes keep as well


class Source(Protocol):
    """A part of the view: a hot table or a segment."""

    @property
    def newest_ns(self) -> int:
        """No span in it starts later."""
        ...

    @property
    def oldest_ns(self) -> int:
        """No span in it starts earlier."""
        ...

    @property
    def group_count(self) -> int:
        """Row groups, each of ``GROUP_ROWS`` rows but the last."""
        ...

    def read(self, columns: Sequence[str], groups: Sequence[int]) -> pa.Table: ...

    def groups_with(self, key: str, value: str) -> list[int]:
        """Row groups that may have the attribute, of a span or of its resource."""
        ...

    def traces(self, keys: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """All rows of the traces with these keys."""
        ...

    def operations(self) -> Operations:
        """Which operations it holds, and when each was last started."""
        ...

    def may_hold(self, service: str | None, operation: str | None) -> bool:
        """False: it has no such span for certain. None means any."""
        ...


class HotSource:
    """A hot table as a source."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        times = pc.min_max(table.column("start_ns"))
        self.oldest_ns: int = times["min"].as_py()
        self.newest_ns: int = times["max"].as_py()
        self.group_count = -(-table.num_rows // GROUP_ROWS)

    def read(self, columns: Sequence[str], groups: Sequence[int]) -> pa.Table:
        """The columns of some runs of ``GROUP_ROWS``."""
        table = self._table.select(list(columns))
        if len(groups) == self.group_count:
            return table
        return pa.concat_tables([table.slice(group * GROUP_ROWS, GROUP_ROWS) for group in groups])

    def groups_with(self, key: str, value: str) -> list[int]:
        """All of them: there is no index in memory."""
        return list(range(self.group_count))

    def traces(self, keys: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """All rows of the traces with these keys."""
        wanted = np.isin(trace_keys(column(self._table, "trace_id")), np.array(keys, dtype=np.uint64))
        return self._table.select(list(columns)).filter(pa.array(wanted))

    def operations(self) -> Operations:
        """Counted at each call: a hot table is small and lives for a minute."""
        return operations_in(self._table)

    def may_hold(self, service: str | None, operation: str | None) -> bool:
        """Looking would cost as much as searching."""
        return True


class SegmentSource:
    """A segment as a source."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self.oldest_ns = segment.info.min_start_ns
        self.newest_ns = segment.info.max_start_ns
        self.group_count = -(-segment.info.rows // GROUP_ROWS)

    def read(self, columns: Sequence[str], groups: Sequence[int]) -> pa.Table:
        """The columns of some row groups."""
        return self._segment.read(columns, groups)

    def groups_with(self, key: str, value: str) -> list[int]:
        """What the index says."""
        return self._segment.index.groups_with(key, value)

    def traces(self, keys: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """All rows of the traces with these keys."""
        return self._segment.traces(keys, columns)

    def operations(self) -> Operations:
        """From the file's footer, or remembered since it was first read."""
        return operations_of(self._segment)

    def may_hold(self, service: str | None, operation: str | None) -> bool:
        """What its names say."""
        if service is None and operation is None:
            return True
        return any(service in {None, one} and operation in {None, name} for one, name, _ in self.operations())


def sources_of(view: View) -> list[Source]:
    """Every part of the view that holds anything."""
    hot: list[Source] = [HotSource(table) for table in view.hot if table.num_rows]
    return [*hot, *map(SegmentSource, view.segments)]


def readable(ask: Callable[[Source], pa.Table | None], sources: Iterable[Source]) -> list[pa.Table]:
    """What each source answers; one that can't be read is told of and left out."""
    answers: list[pa.Table] = []
    for source in sources:
        try:
            answer = ask(source)
        except StoreCorruptError as error:
            logger.error("%s", error)
            continue
        if answer is not None and answer.num_rows:
            answers.append(answer)
    return answers
