"""Traces that are not decided yet: a table with one row a trace, columns as arrays. Used by ``sampler``.

What policies need to know of a trace is folded in as its spans come, so that deciding looks at no span again.
"""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt

from homeostat.observe.sampling.keys import ABSENT, Keys, KeyTable, Numbers

Rows = npt.NDArray[np.int32]
Times = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_ROWS_MIN: Final = 1024
_NO_ROOT: Final = np.inf


@dataclass(slots=True)
class _Columns:
    """One entry a row; what is in a free row means nothing."""

    keys: Keys
    high: Words  # the upper half of the trace id
    first_s: Times
    root_s: Times  # when the root came
    seq: Counts  # the oldest request that has spans of it
    arrival: Counts  # which trace of all this is
    spans: Counts
    start_ns: Counts
    end_ns: Counts
    bits: Words
    size_bytes: Counts
    stratum: Words
    quiet: npt.NDArray[np.bool_]  # few traces began when it did
    head: Times  # with which probability it was sampled before; NaN: not known

    @classmethod
    def of(cls, rows: int) -> "_Columns":
        def words() -> Words:
            return np.zeros(rows, dtype=np.uint64)

        def counts() -> Counts:
            return np.zeros(rows, dtype=np.int64)

        def times() -> Times:
            return np.zeros(rows, dtype=np.float64)

        return cls(
            keys=words(),
            high=words(),
            first_s=times(),
            root_s=times(),
            seq=counts(),
            arrival=counts(),
            spans=counts(),
            start_ns=counts(),
            end_ns=counts(),
            bits=words(),
            size_bytes=counts(),
            stratum=words(),
            quiet=np.zeros(rows, dtype=np.bool_),
            head=times(),
        )

    def grow(self, rows: int) -> None:
        for field in fields(self):
            setattr(self, field.name, np.resize(getattr(self, field.name), rows))


@dataclass(frozen=True, slots=True)
class Spans:
    """What a batch tells of its spans; ``rows`` names the trace of each."""

    rows: Rows
    start_ns: Counts
    end_ns: Counts
    bits: Words
    size_bytes: Counts | None
    is_root: npt.NDArray[np.bool_]
    head: Times | None  # NaN where a span doesn't say; None: none says


class PendingTraces:
    """Rows are taken by ``add`` and given back by ``remove``; a row's number stays while its trace is pending."""

    def __init__(self, seed: int, expected: int) -> None:
        room = max(_ROWS_MIN, expected)
        self._table = KeyTable(seed, expected)
        self.columns = _Columns.of(room)
        self._live = np.zeros(room, dtype=np.bool_)
        self._free = np.arange(room - 1, -1, -1, dtype=np.int32)
        self._free_count = room
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._live) - self._free_count

    @property
    def room(self) -> int:
        """Rows there are, taken or not: one more than the highest number."""
        return len(self._live)

    @property
    def nbytes(self) -> int:
        """Memory, bytes."""
        held = sum(getattr(self.columns, field.name).nbytes for field in fields(self.columns))
        return self._table.nbytes + held + self._live.nbytes + self._free.nbytes

    def find(self, keys: Keys) -> Numbers:
        """The row of each trace; ABSENT for one that is not pending."""
        return self._table.find(keys)

    def add(self, keys: Keys, high: Words, stratum: Words, now_s: float, seq: int, *, quiet: bool) -> Rows:
        """New traces, each once: their rows."""
        count = len(keys)
        while self._free_count < count:
            self._grow()
        rows = self._free[self._free_count - count : self._free_count][::-1].copy()
        self._free_count -= count
        self._table.put(keys, rows)
        self._live[rows] = True
        columns = self.columns
        columns.keys[rows], columns.high[rows], columns.stratum[rows] = keys, high, stratum
        columns.first_s[rows], columns.root_s[rows], columns.seq[rows] = now_s, _NO_ROOT, seq
        columns.arrival[rows] = np.arange(self._arrivals, self._arrivals + count)
        self._arrivals += count
        columns.spans[rows], columns.bits[rows], columns.size_bytes[rows] = 0, 0, 0
        columns.start_ns[rows], columns.end_ns[rows] = np.iinfo(np.int64).max, 0
        columns.quiet[rows], columns.head[rows] = quiet, np.nan
        return rows

    def _grow(self) -> None:
        old = len(self._live)
        self.columns.grow(2 * old)
        self._live = np.concatenate([self._live, np.zeros(old, dtype=np.bool_)])
        fresh = np.arange(2 * old - 1, old - 1, -1, dtype=np.int32)
        self._free = np.concatenate([fresh, self._free[: self._free_count], np.empty(old, dtype=np.int32)])
        self._free = self._free[: 2 * old]
        self._free_count += old

    def fold(self, spans: Spans, stratum: Words, now_s: float) -> None:
        """Count spans in. ``stratum`` of each root, in their order."""
        columns, rows = self.columns, spans.rows
        columns.spans += np.bincount(rows, minlength=self.room)
        np.minimum.at(columns.start_ns, rows, spans.start_ns)
        np.maximum.at(columns.end_ns, rows, spans.end_ns)
        marked = np.flatnonzero(spans.bits)
        if len(marked):
            np.bitwise_or.at(columns.bits, rows[marked], spans.bits[marked])
        if spans.size_bytes is not None:
            columns.size_bytes += np.bincount(rows, spans.size_bytes, minlength=self.room).astype(np.int64)
        if spans.head is not None:
            np.fmax.at(columns.head, rows, spans.head)
        roots = np.flatnonzero(spans.is_root)
        if len(roots):
            of_root = rows[roots]
            columns.root_s[of_root] = np.minimum(columns.root_s[of_root], now_s)
            columns.stratum[of_root] = stratum
            if spans.head is not None:
                says = ~np.isnan(spans.head[roots])
                columns.head[of_root[says]] = spans.head[roots[says]]

    def due(self, root_before_s: float, first_before_s: float) -> npt.NDArray[np.bool_]:
        """One flag a row: traces whose root came, or that began, before these times."""
        columns = self.columns
        return self._live & ((columns.root_s <= root_before_s) | (columns.first_s <= first_before_s))

    @property
    def live(self) -> npt.NDArray[np.bool_]:
        """One flag a row: whether there is a trace in it."""
        return self._live.copy()

    def oldest(self, count: int) -> Rows:
        """The rows of the traces that came first."""
        rows = np.flatnonzero(self._live)
        if count < len(rows):
            rows = rows[np.argpartition(self.columns.arrival[rows], count)[:count]]
        return rows.astype(np.int32)

    def oldest_seq(self) -> int | None:
        """The oldest request with spans of a pending trace."""
        return int(self.columns.seq[self._live].min()) if len(self) else None

    def since(self) -> tuple[Keys, Counts]:
        """The key of each pending trace, and the oldest request that has spans of it."""
        return self.columns.keys[self._live], self.columns.seq[self._live]

    def remove(self, rows: Rows) -> None:
        """Forget traces: they are decided."""
        self._table.remove(self.columns.keys[rows])
        self._live[rows] = False
        self._free[self._free_count : self._free_count + len(rows)] = rows
        self._free_count += len(rows)


__all__ = ["ABSENT", "PendingTraces", "Rows", "Spans"]
