"""Trace by id, several by id, names and examples over hot tables and segments as one view.

Called by ``store`` in a worker thread. The search with its pages is ``search``.
"""

import heapq
import logging
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.core.errors import StoreCorruptError
from homeostat.core.models import Trace
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.matching import Mask, SpanFilter
from homeostat.store.telemetry.rows import trace_of, traces_of
from homeostat.store.telemetry.schema import KINDS, SPAN_SCHEMA, column, trace_key
from homeostat.store.telemetry.segment import GROUP_ROWS
from homeostat.store.telemetry.shared import SharedSpans
from homeostat.store.telemetry.sources import END_OF_TIME, Source, View, readable, sources_of

logger = logging.getLogger(__name__)

_ID_BYTES = 16


def id_of(text: str) -> bytes | None:
    """A trace id from hex; None when it is none."""
    try:
        wanted = bytes.fromhex(text)
    except ValueError:
        return None
    return wanted if len(wanted) == _ID_BYTES else None


def find_trace(view: View, trace_id: str) -> Trace | None:
    """Every stored span of a trace (lower-case hex)."""
    wanted = id_of(trace_id)
    rows = _rows_of(view, [wanted]) if wanted is not None else None
    return trace_of(trace_id.lower(), rows) if rows is not None else None


def rows_of_trace(view: View, trace_id: str, names: Sequence[str]) -> pa.Table | None:
    """Some columns (``trace_id`` among them) of every stored row of a trace (lower-case hex); None without any."""
    wanted = id_of(trace_id)
    return _rows_of(view, [wanted], names) if wanted is not None else None


def find_many(view: View, trace_ids: Sequence[str]) -> list[Trace]:
    """Those of these traces that are stored, in the order in which they were asked for."""
    wanted = list(dict.fromkeys(one for text in trace_ids if (one := id_of(text)) is not None))
    rows = _rows_of(view, wanted) if wanted else None
    if rows is None:
        return []
    by_id = {trace.trace_id: trace for trace in traces_of(rows)}
    return [by_id[one.hex()] for one in wanted if one.hex() in by_id]


def _rows_of(
    view: View, trace_ids: Collection[bytes], names: Sequence[str] = tuple(SPAN_SCHEMA.names)
) -> pa.Table | None:
    keys = [trace_key(one) for one in trace_ids]
    tables = readable(lambda source: source.traces(keys, names), sources_of(view))
    if view.shared is not None:
        tables.append(view.shared.spans(list(trace_ids), names))
    if not tables:
        return None
    spans = pa.concat_tables(tables)
    return spans.filter(pc.is_in(spans.column("trace_id"), value_set=pa.array(trace_ids, pa.binary(_ID_BYTES))))


def services_since(view: View, since_ns: int) -> list[str]:
    """Services with a stored span that started since then, sorted."""
    found = {service for service, _, _ in _operations_since(view, since_ns)}
    if view.shared is not None:
        found.update(view.shared.services_since(since_ns))
    return sorted(found)


def operations_since(view: View, service: str, since_ns: int) -> list[tuple[str, str]]:
    """``(name, kind)`` of the stored spans of a service since then, sorted."""
    found = {(name, kind) for one, name, kind in _operations_since(view, since_ns) if one == service}
    if view.shared is not None:
        found.update(view.shared.operations_since(since_ns, service))
    return sorted((name, KINDS[kind]) for name, kind in found)


def _operations_since(view: View, since_ns: int) -> set[tuple[str, str, int]]:
    found: set[tuple[str, str, int]] = set()
    for source in sources_of(view):
        if source.newest_ns < since_ns:
            continue
        try:
            operations = source.operations()
        except StoreCorruptError as error:
            logger.error("%s", error)
            continue
        found.update(key for key, newest_ns in operations.items() if newest_ns >= since_ns)
    return found


def examples(view: View, wanted: SpanFilter, *, slowest: bool, limit: int) -> list[str]:
    """Ids of traces that match, the slowest or the newest first."""
    best = _best_traces(sources_of(view), view.shared, wanted, "duration_ns" if slowest else "start_ns", limit)
    return [trace_id.hex() for trace_id in best]


def examples_filter(start_ns: int, service: str, operation: str | None, *, errors: bool) -> SpanFilter:
    """The filter for examples of what a service did since a moment."""
    wanted = SpanFilter(start_ns=start_ns, end_ns=END_OF_TIME, service=service, errors_only=errors)
    return replace(wanted, operation=operation) if operation is not None else wanted


def _best_traces(
    sources: list[Source], shared: SharedSpans | None, wanted: SpanFilter, score: str, limit: int
) -> dict[bytes, int]:
    """The ``limit`` traces with the highest score of a matching span, best first."""
    best = dict(shared.best(wanted, score, limit)) if shared is not None else {}
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
    groups = candidate_groups(source, wanted)
    if not groups:
        return []
    table = source.read([*dict.fromkeys([*wanted.columns, score])], groups)
    scores = column(table, score).to_numpy()
    rows = np.flatnonzero(matching(source, wanted, table, groups, wanted.mask(table) & (scores > floor)))
    return _top(source, groups, rows, scores[rows], limit) if len(rows) else []


def candidate_groups(source: Source, wanted: SpanFilter) -> list[int]:
    """Row groups that may hold a span with every attribute that is asked for."""
    if not source.may_hold(wanted.service, wanted.operation):
        return []
    groups = set(range(source.group_count))
    for key, value in wanted.attributes.items():
        groups.intersection_update(source.groups_with(key, value))
        if not groups:
            break
    return sorted(groups)


def matching(source: Source, wanted: SpanFilter, table: pa.Table, groups: list[int], mask: Mask) -> Mask:
    """Of the rows in ``mask``, those on which the conditions on attributes and text hold as well.

    The columns that those need are read only of row groups in which a row is left.
    """
    if not wanted.deep_columns:
        return mask
    holds = np.zeros(len(mask), dtype=np.bool_)
    for position in np.unique(np.flatnonzero(mask) // GROUP_ROWS).tolist():
        deep = source.read(wanted.deep_columns, [groups[position]])
        part = slice(position * GROUP_ROWS, position * GROUP_ROWS + deep.num_rows)
        holds[part] = mask[part] & wanted.deep_mask(table.slice(part.start, deep.num_rows), deep)
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
        ids = ids_of(source, groups, rows[part]).to_pylist()
        for trace_id, value in zip(ids, scores[part].tolist(), strict=True):
            best.setdefault(trace_id, value)
        if len(best) >= limit:
            break
    return list(best.items())[:limit]


def ids_of(source: Source, groups: list[int], rows: npt.NDArray[np.int64]) -> pa.FixedSizeBinaryArray:
    """Trace ids of rows that are counted through ``groups``; all groups but a source's last are full."""
    positions = np.unique(rows // GROUP_ROWS)
    ids = column(source.read(["trace_id"], [groups[position] for position in positions.tolist()]), "trace_id")
    local = np.searchsorted(positions, rows // GROUP_ROWS) * GROUP_ROWS + rows % GROUP_ROWS
    return ids.take(pa.array(local))
