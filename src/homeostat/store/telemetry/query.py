"""Trace by id, search and examples over hot tables and segments as one view. Called by ``store`` in a worker thread.

A search goes from the newest source to the oldest and stops as soon as no older one can hold anything newer than what
it has. Only columns that a condition needs are read, and attributes only in row groups that may hold the value.
"""

import heapq
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.core.errors import StoreCorruptError
from homeostat.core.models import Trace, TraceQuery, TraceSummary
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.matching import Mask, SpanFilter, attribute_mask, resource_mask
from homeostat.store.telemetry.rows import SUMMARY_COLUMNS, summaries_of, trace_of
from homeostat.store.telemetry.schema import SPAN_SCHEMA, column, trace_key, trace_keys
from homeostat.store.telemetry.segment import GROUP_ROWS, Segment

logger = logging.getLogger(__name__)

_END_OF_TIME: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class View:
    """What is stored at one moment, each part from the newest to the oldest. No span is in both, but for retries."""

    hot: Sequence[pa.Table]
    segments: Sequence[Segment]


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


def _sources(view: View) -> list[Source]:
    hot: list[Source] = [HotSource(table) for table in view.hot if table.num_rows]
    return [*hot, *map(SegmentSource, view.segments)]


def _readable(ask: Callable[[Source], pa.Table | None], sources: Iterable[Source]) -> list[pa.Table]:
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


def find_trace(view: View, trace_id: str) -> Trace | None:
    """Every stored span of a trace (lower-case hex)."""
    try:
        wanted = bytes.fromhex(trace_id)
    except ValueError:
        return None
    if len(wanted) != 16:
        return None
    key, names = trace_key(wanted), SPAN_SCHEMA.names
    tables = _readable(lambda source: source.traces([key], names), _sources(view))
    if not tables:
        return None
    spans = pa.concat_tables(tables)
    return trace_of(
        trace_id.lower(), spans.filter(pc.equal(spans.column("trace_id"), pa.scalar(wanted, pa.binary(16))))
    )


def find_traces(view: View, query: TraceQuery) -> list[TraceSummary]:
    """Matching traces, newest first."""
    sources = _sources(view)
    best = _best_traces(sources, SpanFilter.of(query), "start_ns", query.limit)
    return _summaries(sources, list(best))[: query.limit]


def examples(view: View, wanted: SpanFilter, *, slowest: bool, limit: int) -> list[str]:
    """Ids of traces that match, the slowest or the newest first."""
    best = _best_traces(_sources(view), wanted, "duration_ns" if slowest else "start_ns", limit)
    return [trace_id.hex() for trace_id in best]


def _summaries(sources: list[Source], trace_ids: list[bytes]) -> list[TraceSummary]:
    if not trace_ids:
        return []
    keys = [trace_key(trace_id) for trace_id in trace_ids]
    tables = _readable(lambda source: source.traces(keys, SUMMARY_COLUMNS), sources)
    if not tables:
        return []
    spans = pa.concat_tables(tables)
    ids = pa.array(trace_ids, type=pa.binary(16))
    return summaries_of(spans.filter(pc.is_in(spans.column("trace_id"), value_set=ids)))


def _best_traces(sources: list[Source], wanted: SpanFilter, score: str, limit: int) -> dict[bytes, int]:
    """The ``limit`` traces with the highest score of a matching span, best first."""
    best: dict[bytes, int] = {}
    by_newest = sorted(sources, key=lambda source: source.newest_ns, reverse=True)
    for source in by_newest:
        if source.newest_ns < wanted.start_ns or source.oldest_ns >= wanted.end_ns:
            continue
        if score == "start_ns" and len(best) >= limit and min(best.values()) > source.newest_ns:
            break
        floor = min(best.values()) if len(best) >= limit else -1
        try:
            found = _scored(source, wanted, score, limit, floor)
        except StoreCorruptError as error:
            logger.error("%s", error)
            continue
        for trace_id, value in found:
            best[trace_id] = max(value, best.get(trace_id, value))
        best = dict(heapq.nlargest(limit, best.items(), key=lambda item: item[1]))
    return best


def _scored(source: Source, wanted: SpanFilter, score: str, limit: int, floor: int) -> list[tuple[bytes, int]]:
    """The best traces of one source, those above ``floor`` only."""
    groups = _candidate_groups(source, wanted)
    if not groups:
        return []
    table = source.read([*dict.fromkeys([*wanted.columns, score])], groups)
    scores = column(table, score).to_numpy()
    mask = wanted.mask(table) & (scores > floor)
    if wanted.attributes and mask.any():
        mask &= _attributes_hold(source, table, groups, mask, wanted.attributes)
    rows = np.flatnonzero(mask)
    return _top(source, groups, rows, scores[rows], limit) if len(rows) else []


def _candidate_groups(source: Source, wanted: SpanFilter) -> list[int]:
    """Row groups that may hold a span with every attribute that is asked for."""
    groups = set(range(source.group_count))
    for key, value in wanted.attributes.items():
        groups.intersection_update(source.groups_with(key, value))
    return sorted(groups)


def _attributes_hold(
    source: Source, table: pa.Table, groups: list[int], mask: Mask, attributes: dict[str, str]
) -> Mask:
    """Rows of the table (those of ``groups``) whose span or resource has each attribute, where ``mask`` is set."""
    holds = mask.copy()
    of_resource = {key: resource_mask(table, key, value) for key, value in attributes.items()}
    for position in np.unique(np.flatnonzero(mask) // GROUP_ROWS).tolist():
        own = column(source.read(["attributes"], [groups[position]]), "attributes")
        part = slice(position * GROUP_ROWS, position * GROUP_ROWS + len(own))
        for key, value in attributes.items():
            holds[part] &= of_resource[key][part] | attribute_mask(own, key, value)
    return holds


def _top(
    source: Source,
    groups: list[int],
    rows: npt.NDArray[np.int64],
    scores: npt.NDArray[np.int64],
    limit: int,
) -> list[tuple[bytes, int]]:
    """Trace ids of the best rows, each trace once. Reads the ids of a few row groups at a time, from the best on."""
    best: dict[bytes, int] = {}
    order = np.argsort(-scores, kind="stable")
    for start in range(0, len(order), limit):
        part = order[start : start + limit]
        for trace_id, value in zip(_ids(source, groups, rows[part]), scores[part].tolist(), strict=True):
            best.setdefault(trace_id, value)
        if len(best) >= limit:
            break
    return list(best.items())[:limit]


def _ids(source: Source, groups: list[int], rows: npt.NDArray[np.int64]) -> list[bytes]:
    """Trace ids of rows that are counted through ``groups``; all groups but a source's last are full."""
    positions = np.unique(rows // GROUP_ROWS)
    ids = column(source.read(["trace_id"], [groups[position] for position in positions.tolist()]), "trace_id")
    local = np.searchsorted(positions, rows // GROUP_ROWS) * GROUP_ROWS + rows % GROUP_ROWS
    return ids.take(pa.array(local)).to_pylist()


def examples_filter(start_ns: int, service: str, operation: str | None, *, errors: bool) -> SpanFilter:
    """The filter for examples of what a service did since a moment."""
    wanted = SpanFilter(start_ns=start_ns, end_ns=_END_OF_TIME, service=service, errors_only=errors)
    return replace(wanted, operation=operation) if operation is not None else wanted
