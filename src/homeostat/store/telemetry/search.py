"""The search for traces, page by page. Called by ``store`` in a worker thread.

A trace stands where its first matching span starts; pages go from the newest to the oldest, and a cursor names the
last place that was shown. Spans that arrive later take places of their own and move no other trace, so that nothing
is shown twice or left out while one pages on (a span that arrives late and starts before all that matched so far
moves its own trace down).

A search goes from the newest source to the oldest and stops as soon as no older one can hold anything newer. What a
source says of a trace is only an upper bound of its place, as another source may hold an earlier span of it: traces
in several sources are looked at as a whole before they are placed (the threshold algorithm of Fagin, Lotem and Naor,
2001, for a minimum).
"""

import base64
import heapq
import logging
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.core.errors import BadRequestError, StoreCorruptError
from homeostat.core.models import TracePage, TraceQuery, TraceSummary
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.matching import SpanFilter
from homeostat.store.telemetry.query import candidate_groups, ids_of, matching
from homeostat.store.telemetry.rows import SUMMARY_COLUMNS, summaries_of
from homeostat.store.telemetry.schema import column, id_words, trace_key
from homeostat.store.telemetry.shared import SharedSpans
from homeostat.store.telemetry.sources import END_OF_TIME, Source, View, sources_of

logger = logging.getLogger(__name__)

Place = tuple[int, bytes]
"""Start of the first matching span (Unix ns) and trace id: pages are in this order, the highest first."""

_CURSOR: Final = struct.Struct(">q16s")
_FIRST: Final[Place] = (END_OF_TIME, b"\xff" * 17)
_NOWHERE: Final[Place] = (-(2**63), b"")
_HIGHEST_ID: Final = b"\xff" * 16
_WIDER: Final = 8  # each further round looks at so many times the traces


def encode_cursor(place: Place) -> str:
    """A place as text for a URL."""
    return base64.urlsafe_b64encode(_CURSOR.pack(*place)).decode().rstrip("=")


def decode_cursor(text: str) -> Place:
    """Raises BadRequestError for what no page gave."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        start_ns, trace_id = _CURSOR.unpack(raw)
    except (ValueError, struct.error) as error:
        raise BadRequestError(
            f"cursor={text[:100]!r} is no cursor. Take next_cursor of the page before, or leave it out."
        ) from error
    return start_ns, trace_id


def find_traces(view: View, query: TraceQuery) -> TracePage:
    """A page of matching traces, newest first. Raises BadRequestError for a cursor that is none."""
    before = decode_cursor(query.cursor) if query.cursor else _FIRST
    search = _Search(sorted(sources_of(view), key=_newest, reverse=True), SpanFilter.of(query), before, view.shared)
    wanted = query.limit + 1  # one more tells whether there is another page
    count = wanted
    while True:
        found, bound = search.round(count)
        safe = [(place, summary) for place, summary in found if place > bound]
        if len(safe) >= wanted or bound == _NOWHERE:
            break
        count *= _WIDER
    shown = safe[: query.limit]
    more = len(safe) > query.limit
    return TracePage(
        traces=tuple(summary for _, summary in shown),
        next_cursor=encode_cursor(shown[-1][0]) if more else None,
    )


def _newest(source: Source) -> int:
    return source.newest_ns


@dataclass(frozen=True, slots=True)
class _Search:
    """One question to one view."""

    sources: list[Source]  # newest first
    wanted: SpanFilter
    before: Place
    shared: SharedSpans | None = None

    def round(self, count: int) -> tuple[list[tuple[Place, TraceSummary]], Place]:
        """The traces with the ``count`` highest bounds, placed, best first, and the bound of all the others."""
        candidates, bound = self._candidates(count)
        ranked = heapq.nlargest(count + 1, ((place, trace_id) for trace_id, place in candidates.items()))
        if len(ranked) > count:
            bound = max(bound, ranked[count])
        chosen = {trace_id: place for place, trace_id in ranked[:count]}
        return self._placed(chosen), bound

    def _candidates(self, count: int) -> tuple[dict[bytes, int], Place]:
        """Upper bounds of the places of traces, and the bound of all those that are not among them."""
        candidates: dict[bytes, int] = {}
        bound = _NOWHERE
        if self.shared is not None:
            elsewhere, bound = self.shared.first_matches(self.wanted, self.before, count)
            candidates = dict(elsewhere)
        for source in self.sources:
            if source.newest_ns < self.wanted.start_ns or source.oldest_ns >= self.wanted.end_ns:
                continue
            if len(candidates) >= count:
                lowest = heapq.nlargest(count, candidates.values())[-1]
                if lowest > source.newest_ns:
                    bound = max(bound, (source.newest_ns, _HIGHEST_ID))
                    break
            try:
                found, cut = self._of_source(source, count)
            except StoreCorruptError as error:
                logger.error("%s", error)
                continue
            bound = max(bound, cut)
            for trace_id, start_ns in found:
                candidates[trace_id] = min(start_ns, candidates.get(trace_id, start_ns))
        return candidates, bound

    def _of_source(self, source: Source, count: int) -> tuple[list[tuple[bytes, int]], Place]:
        """The traces of a source whose first matching span in it starts latest, and the bound of its others."""
        groups = candidate_groups(source, self.wanted)
        if not groups:
            return [], _NOWHERE
        table = source.read(self.wanted.columns, groups)
        starts = column(table, "start_ns").to_numpy()
        rows = np.flatnonzero(matching(source, self.wanted, table, groups, self.wanted.mask(table)))
        if not len(rows):
            return [], _NOWHERE
        ids = ids_of(source, groups, rows)
        first, place = _first_of_each(id_words(ids), starts[rows])
        below = np.flatnonzero(place <= self.before[0])
        best = below[np.argsort(-place[below], kind="stable")]
        cut = _NOWHERE
        if len(best) > count:
            last = int(place[best[count - 1]])
            kept = int(np.count_nonzero(place[below] >= last))  # all that start with the last: their ids decide
            if kept < len(best):
                cut = int(place[best[kept]]), _HIGHEST_ID
            best = best[:kept]
        chosen = ids.take(pa.array(first[best])).to_pylist()
        return [
            (trace_id, start_ns)
            for trace_id, start_ns in zip(chosen, place[best].tolist(), strict=True)
            if (start_ns, trace_id) < self.before
        ], cut

    def _placed(self, chosen: dict[bytes, int]) -> list[tuple[Place, TraceSummary]]:
        """Summaries of the traces at their true places, those behind the cursor, best first."""
        if not chosen:
            return []
        parts: list[pa.Table] = []
        where: dict[bytes, int] = {}
        for rows in self._rows(list(chosen), SUMMARY_COLUMNS):
            parts.append(rows)
            for one in pc.unique(rows.column("trace_id")).to_pylist():
                where[one] = where.get(one, 0) + 1
        if not parts:
            return []
        self._settle([trace_id for trace_id, sources in where.items() if sources > 1], chosen)
        placed = [
            ((chosen[trace_id], trace_id), summary)
            for summary in summaries_of(pa.concat_tables(parts))
            if (chosen[trace_id := bytes.fromhex(summary.trace_id)], trace_id) < self.before
        ]
        return sorted(placed, key=lambda item: item[0], reverse=True)

    def _rows(self, trace_ids: list[bytes], columns: Sequence[str]) -> Iterator[pa.Table]:
        """Of each source that has any, all rows of the traces."""
        ids = pa.array(trace_ids, type=pa.binary(16))
        keys = [trace_key(trace_id) for trace_id in trace_ids]
        for source in self.sources:
            try:
                rows = source.traces(keys, columns)
            except StoreCorruptError as error:
                logger.error("%s", error)
                continue
            rows = rows.filter(pc.is_in(rows.column("trace_id"), value_set=ids))
            if rows.num_rows:
                yield rows
        if self.shared is not None and (rows := self.shared.spans(trace_ids, columns)).num_rows:
            yield rows

    def _settle(self, trace_ids: list[bytes], places: dict[bytes, int]) -> None:
        """Lower the places of traces that lie in several sources to where their first matching span starts."""
        if not trace_ids:
            return
        columns = [*dict.fromkeys(["trace_id", *self.wanted.columns, *self.wanted.deep_columns])]
        for rows in self._rows(trace_ids, columns):
            mask = self.wanted.mask(rows)
            if mask.any() and self.wanted.deep_columns:
                mask &= self.wanted.deep_mask(rows, rows)
            starts = column(rows, "start_ns").to_numpy()[mask].tolist()
            for trace_id, start_ns in zip(
                column(rows, "trace_id").filter(pa.array(mask)).to_pylist(), starts, strict=True
            ):
                places[trace_id] = min(places[trace_id], start_ns)


def _first_of_each(
    ids: npt.NDArray[np.uint64], starts: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For each trace (two words) a row of it and its earliest start. Rows of a trace mostly stand together."""
    low = ids[:, 1]
    in_order = bool((low[1:] >= low[:-1]).all())
    order = np.arange(len(ids)) if in_order else np.lexsort((ids[:, 0], low))
    sorted_ids = ids[order]
    fresh = np.ones(len(ids), dtype=np.bool_)
    fresh[1:] = (sorted_ids[1:] != sorted_ids[:-1]).any(axis=1)
    heads = np.flatnonzero(fresh)
    return order[heads], np.minimum.reduceat(starts[order], heads)
