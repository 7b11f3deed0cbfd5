"""Every matching log record in one pass, newest first, as columns. Called by ``log_store`` in a worker thread.

Pages read the same row groups again and again; a whole answer reads each of them once: what is newer than all that is
unread yet is final, and goes out. Where much lies side by side in time, what waits longest for its turn is let go and
read again later, so that what is held stays within ``HELD_BYTES_MAX`` (and the records of one moment).
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.core.errors import StoreCorruptError
from homeostat.store.telemetry.log_rows import ids_in_order
from homeostat.store.telemetry.log_schema import LOG_SCHEMA, SEVERITY_WORDS
from homeostat.store.telemetry.log_search import LogFilter, Piece, last_ns, pieces_of
from homeostat.store.telemetry.log_segment import LogSegment
from homeostat.store.telemetry.schema import column, hex_texts

logger = logging.getLogger(__name__)

HELD_BYTES_MAX: Final = 64 << 20
PART_ROWS: Final = 8_192
"""What is handed over at a time has no more rows."""

View = tuple[list[pa.Table], list[LogSegment]]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Held:
    """Matching rows of a piece that are not final yet."""

    piece: Piece
    rows: pa.Table
    newest_ns: int


class LogExport:
    """One export. ``advance`` gives the next records until there are none."""

    def __init__(self, wanted: LogFilter, view: Callable[[], View]) -> None:
        self._wanted = wanted
        self._view = view
        self._pass: _Pass | None = None

    def advance(self) -> Sequence[pa.Table] | None:
        """The next records in parts, with the columns of ``shown``; None at the end.

        Raises FileNotFoundError when a segment was compacted away: the next call goes on with what is there then.
        """
        if self._pass is None:
            self._pass = _Pass(*self._view(), self._wanted)
        try:
            table = self._pass.final()
        except FileNotFoundError:
            self._pass = None
            raise
        if table is None:
            return None
        order, ids = ids_in_order(table)
        table = shown(table.take(pa.array(order)), ids)
        # Every record of the oldest moment is among them: what comes now is older.
        self._wanted = replace(self._wanted, end_ns=column(table, "time_unix_nano")[-1].as_py())
        return [table.slice(start, PART_ROWS) for start in range(0, table.num_rows, PART_ROWS)]


class _Pass:
    """One way through a view, from the newest piece to the oldest."""

    def __init__(self, hot: Sequence[pa.Table], segments: Sequence[LogSegment], wanted: LogFilter) -> None:
        self._wanted = wanted
        self._unread = sorted(pieces_of(hot, segments, wanted), key=last_ns)  # the newest at the end
        self._held: list[_Held] = []

    def final(self) -> pa.Table | None:
        """Rows, in any order, that nothing unread can come before or between; None when there are no more."""
        while self._unread or self._held:
            floor_ns = self._unread[-1].last_ns if self._unread else self._wanted.start_ns - 1
            if any(held.newest_ns > floor_ns for held in self._held):
                return self._taken(floor_ns)
            self._read(self._unread.pop())
            self._let_go()
        return None

    def _taken(self, floor_ns: int) -> pa.Table:
        """What is held and newer than that; the rest stays."""
        taken: list[pa.Table] = []
        left: list[_Held] = []
        for held in self._held:
            times: Numbers = column(held.rows, "time_ns").to_numpy()
            is_final = times > floor_ns
            if is_final.all():
                taken.append(held.rows)
            elif is_final.any():
                taken.append(held.rows.filter(pa.array(is_final)))
                left.append(_held(held.piece, held.rows.filter(pa.array(~is_final))))
            else:
                left.append(held)
        self._held = left
        return pa.concat_tables(taken).unify_dictionaries().combine_chunks()

    def _read(self, piece: Piece) -> None:
        try:
            table = piece.read(self._wanted.columns)
            mask = self._wanted.mask(table)
            mask &= column(table, "time_ns").to_numpy() <= piece.last_ns  # newer ones are out already
            if mask.any():
                rest = piece.read([name for name in LOG_SCHEMA.names if name not in table.column_names])
                for name in rest.column_names:
                    table = table.append_column(rest.schema.field(name), rest.column(name))
                rows = table.select(LOG_SCHEMA.names)
                self._held.append(_held(piece, rows if mask.all() else rows.filter(pa.array(mask))))
        except StoreCorruptError as error:
            logger.error("%s", error)

    def _let_go(self) -> None:
        """The newest moment stays whole: it is the next to be final."""
        while sum(held.rows.nbytes for held in self._held) > HELD_BYTES_MAX:
            last = min(self._held, key=lambda held: held.newest_ns)
            newest_ns = max([held.newest_ns for held in self._held] + [piece.last_ns for piece in self._unread])
            if last.newest_ns == newest_ns:
                return
            self._held.remove(last)
            self._unread.append(replace(last.piece, last_ns=last.newest_ns))
            self._unread.sort(key=last_ns)


def _held(piece: Piece, rows: pa.Table) -> _Held:
    return _Held(piece, rows, int(column(rows, "time_ns").to_numpy().max()))


def shown(rows: pa.Table, ids: pa.StringArray) -> pa.Table:
    """Rows of ``LOG_SCHEMA`` under the names and with the values that ``core.logs.LogTable`` promises."""
    severity = column(rows, "severity").to_numpy()
    known = np.where((severity >= 1) & (severity < len(SEVERITY_WORDS)), severity, 0)
    columns: dict[str, pa.Array] = {
        "id": ids,
        "time_unix_nano": column(rows, "time_ns"),
        "severity_number": column(rows, "severity"),
        "severity": pa.DictionaryArray.from_arrays(pa.array(known.astype(np.int8)), pa.array(SEVERITY_WORDS)),
        "service": column(rows, "service"),
        "body": column(rows, "body"),
        "trace_id": hex_texts(column(rows, "trace_id")),
        "span_id": hex_texts(column(rows, "span_id")),
        "event_name": column(rows, "event_name"),
        "scope": column(rows, "scope"),
        "attributes": column(rows, "attributes"),
        "resource": column(rows, "resource"),
    }
    return pa.table(columns)
