"""Searches log records in hot tables and segments as one. Called by ``log_store`` in a worker thread.

A search goes from the newest row group to the oldest and stops as soon as no older one can hold anything newer than
what it has. Only columns that a condition needs are read, and only row groups that may hold what is asked for.
"""

import heapq
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.core.errors import BadRequestError, StoreCorruptError
from homeostat.core.logs import LogCount, LogPage, LogQuery
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.log_rows import Position, positions, records_of
from homeostat.store.telemetry.log_schema import LOG_SCHEMA, severity_word
from homeostat.store.telemetry.log_segment import LogSegment
from homeostat.store.telemetry.log_text import TextFilter
from homeostat.store.telemetry.matching import attribute_mask, resource_mask
from homeostat.store.telemetry.rows import to_ns
from homeostat.store.telemetry.schema import column

if TYPE_CHECKING:
    from homeostat.store.telemetry.shared import SharedLogs

logger = logging.getLogger(__name__)

_STEPS_MAX: Final = 20_000
_SEVERITIES: Final = 25

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Conditions that hold together on one record. Times are in ``[start_ns, end_ns)``."""

    start_ns: int
    end_ns: int
    service: str | None
    text: TextFilter
    min_severity: int
    trace_id: bytes | None
    span_id: bytes | None
    attributes: dict[str, str]

    @classmethod
    def of(cls, query: LogQuery) -> "LogFilter":
        """The conditions of a query. Raises BadRequestError for an id that is none."""
        return cls(
            start_ns=to_ns(query.start),
            end_ns=to_ns(query.end),
            service=query.service,
            text=TextFilter.of(query.text or ""),
            min_severity=query.min_severity,
            trace_id=_id(query.trace_id, 16, "trace_id"),
            span_id=_id(query.span_id, 8, "span_id"),
            attributes=query.attributes,
        )

    @property
    def columns(self) -> list[str]:
        """What ``mask`` reads."""
        wanted = {
            "service": self.service is not None,
            "body": bool(self.text.terms),
            "severity": self.min_severity > 0,
            "trace_id": self.trace_id is not None,
            "span_id": self.span_id is not None,
            "attributes": bool(self.attributes),
            "resource": bool(self.attributes),
        }
        return ["time_ns", *(name for name, is_wanted in wanted.items() if is_wanted)]

    def mask(self, table: pa.Table) -> Mask:
        """The rows on which every condition holds."""
        times: Numbers = column(table, "time_ns").to_numpy()
        mask: Mask = (times >= self.start_ns) & (times < self.end_ns)
        if self.service is not None:
            mask &= _true(pc.equal(pc.cast(column(table, "service"), pa.string()), self.service))
        if self.min_severity:
            mask &= column(table, "severity").to_numpy() >= self.min_severity
        for name, wanted in (("trace_id", self.trace_id), ("span_id", self.span_id)):
            if wanted is not None:
                ids = column(table, name)
                mask &= _true(pc.fill_null(pc.equal(ids, pa.scalar(wanted, ids.type)), False))
        for key, value in self.attributes.items():
            mask &= attribute_mask(column(table, "attributes"), key, value) | resource_mask(table, key, value)
        if self.text.terms and mask.any():
            where = np.flatnonzero(mask)
            mask[where] = self.text.mask(column(table, "body").take(pa.array(where)))
        return mask


def _true(values: pa.BooleanArray) -> Mask:
    return values.to_numpy(zero_copy_only=False)


def _id(text: str | None, width: int, name: str) -> bytes | None:
    if text is None:
        return None
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != width:
        raise BadRequestError(f"{name} {text!r} is none: write {2 * width} hexadecimal digits.")
    return value


@dataclass(frozen=True, slots=True)
class Piece:
    """A hot table, a row group of a segment, or what a shared store has found."""

    first_ns: int
    last_ns: int
    table: pa.Table | None
    segment: LogSegment | None = None
    group: int = 0
    is_found: bool = False  # every row holds

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Some columns of it. Raises StoreCorruptError, FileNotFoundError."""
        if self.table is not None:
            return self.table.select(list(columns))
        assert self.segment is not None
        return self.segment.read(columns, [self.group])

    def rows(self, wanted: LogFilter, table: pa.Table) -> Numbers:
        """Of what was read of it, the rows on which every condition holds."""
        return np.arange(table.num_rows) if self.is_found else np.flatnonzero(wanted.mask(table))


def pieces_of(hot: Sequence[pa.Table], segments: Sequence[LogSegment], wanted: LogFilter) -> list[Piece]:
    """Everything that may hold what is asked for."""
    pieces: list[Piece] = []
    for table in hot:
        if table.num_rows:
            times = pc.min_max(table.column("time_ns"))
            pieces.append(Piece(times["min"].as_py(), times["max"].as_py(), table))
    for segment in segments:
        info = segment.info
        if info.max_start_ns >= wanted.start_ns and info.min_start_ns < wanted.end_ns:
            try:
                pieces += _groups(segment, wanted)
            except StoreCorruptError as error:
                logger.error("%s", error)
    return [piece for piece in pieces if piece.last_ns >= wanted.start_ns and piece.first_ns < wanted.end_ns]


def last_ns(piece: Piece) -> int:
    """To sort pieces by."""
    return piece.last_ns


def _groups(segment: LogSegment, wanted: LogFilter) -> Iterator[Piece]:
    index = segment.index
    maybe = set(range(len(index.times)))
    if wanted.trace_id is not None:
        maybe.intersection_update(index.groups_of(wanted.trace_id))
    for word in wanted.text.words:
        maybe.intersection_update(index.groups_with_word(word))
    for key, value in wanted.attributes.items():
        maybe.intersection_update(index.groups_with(key, value))
    for group in maybe:
        first, last = index.times[group].tolist()
        yield Piece(first, last, None, segment, group)


def find_logs(
    hot: Sequence[pa.Table], segments: Sequence[LogSegment], query: LogQuery, shared: "SharedLogs | None" = None
) -> LogPage:
    """A page of matching records, newest first. Raises BadRequestError for a cursor or an id that is none."""
    table, chosen, is_more = find_rows(hot, segments, query, shared)
    return LogPage(records=records_of(table, chosen), next_cursor=str(chosen[-1]) if is_more else None)


def find_rows(
    hot: Sequence[pa.Table], segments: Sequence[LogSegment], query: LogQuery, shared: "SharedLogs | None" = None
) -> tuple[pa.Table, list[Position], bool]:
    """The rows of a page, in their order, and whether there are more. Raises as ``find_logs``."""
    wanted, after = LogFilter.of(query), None
    if query.cursor is not None:
        after = Position.parse(query.cursor)
        wanted = replace(wanted, end_ns=min(wanted.end_ns, after.time_ns + 1))
    pieces = pieces_of(hot, segments, wanted)
    if shared is not None and (elsewhere := shared.newest(wanted, query.limit, after)).num_rows:
        times = pc.min_max(elsewhere.column("time_ns"))
        pieces.append(Piece(times["min"].as_py(), times["max"].as_py(), elsewhere, is_found=True))
    table = _newest(sorted(pieces, key=last_ns, reverse=True), wanted, query.limit, after)
    where = positions(table)
    order = sorted(
        (number for number in range(len(where)) if after is None or where[number] > after), key=where.__getitem__
    )
    page = order[: query.limit]
    chosen = [where[number] for number in page]
    return table.take(pa.array(page, pa.int64())), chosen, len(order) > len(page)


def _newest(pieces: Sequence[Piece], wanted: LogFilter, limit: int, after: Position | None) -> pa.Table:
    """At least the ``limit + 1`` newest matching records, and every one of each moment that is among them.

    Those of the cursor's moment come on top: some of them have been shown already.
    """
    newest: list[int] = []  # a heap of the newest times, without the cursor's
    hits: list[tuple[Piece, Numbers, Numbers]] = []
    for piece in pieces:
        floor = newest[0] if len(newest) > limit else None
        if floor is not None and piece.last_ns < floor:
            break
        try:
            table = piece.read(wanted.columns)
            rows = piece.rows(wanted, table)
        except StoreCorruptError as error:
            logger.error("%s", error)
            continue
        times: Numbers = column(table, "time_ns").to_numpy()[rows]
        if floor is not None:
            rows, times = rows[times >= floor], times[times >= floor]
        if not len(rows):
            continue
        hits.append((piece, rows, times))
        fresh = times if after is None else times[times < after.time_ns]
        newest = heapq.nlargest(limit + 1, [*newest, *np.sort(fresh)[-limit - 1 :].tolist()])[::-1]
    floor = newest[0] if len(newest) > limit else wanted.start_ns
    return _read_hits([(piece, rows[times >= floor]) for piece, rows, times in hits])


def _read_hits(hits: Sequence[tuple[Piece, Numbers]]) -> pa.Table:
    tables = [piece.read(LOG_SCHEMA.names).take(pa.array(rows)) for piece, rows in hits if len(rows)]
    return pa.concat_tables(tables).unify_dictionaries() if tables else LOG_SCHEMA.empty_table()


def count_logs(
    hot: Sequence[pa.Table],
    segments: Sequence[LogSegment],
    query: LogQuery,
    step_s: int,
    shared: "SharedLogs | None" = None,
) -> list[LogCount]:
    """How many records match in each step, oldest first. Raises BadRequestError for too many steps."""
    wanted, step_ns = LogFilter.of(query), step_s * 10**9
    steps = -(-(wanted.end_ns - wanted.start_ns) // step_ns)
    if step_s < 1 or steps > _STEPS_MAX:
        raise BadRequestError(f"{steps} steps are too many (at most {_STEPS_MAX:,}). Ask for longer ones.")
    counts = np.zeros((max(steps, 0), _SEVERITIES), dtype=np.int64)
    columns = [*dict.fromkeys([*wanted.columns, "severity"])]
    for piece in pieces_of(hot, segments, wanted):
        try:
            table = piece.read(columns)
            rows = np.flatnonzero(wanted.mask(table))
        except StoreCorruptError as error:
            logger.error("%s", error)
            continue
        at = (column(table, "time_ns").to_numpy()[rows] - wanted.start_ns) // step_ns
        np.add.at(counts, (at, np.clip(column(table, "severity").to_numpy()[rows], 0, _SEVERITIES - 1)), 1)
    if shared is not None and len(counts):
        counts += shared.counts(wanted, step_ns, len(counts))
    return [
        LogCount(start_s=wanted.start_ns // 10**9 + number * step_s, counts=_by_word(row))
        for number, row in enumerate(counts.tolist())
    ]


def _by_word(of_number: Sequence[int]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for number, count in enumerate(of_number):
        if count:
            counts[severity_word(number)] = counts.get(severity_word(number), 0) + count
    return counts
