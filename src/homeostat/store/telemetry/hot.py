"""Rows that are in the log but in no segment yet, as Arrow tables. Written by the intake thread, read by queries."""

import threading
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from homeostat.store.telemetry.attachments import SealExtras

_SMALL_ROWS: Final = 512


@dataclass(frozen=True, slots=True)
class Sealed:
    """A part of the buffer that is to become a segment: everything behind the previous part, up to ``last_seq``."""

    tables: tuple[pa.Table, ...]
    rows: int
    last_seq: int
    extras: SealExtras | None = None


class HotBuffer:
    """Grows at one end; ``seal`` closes what has grown so far, ``drop`` lets go of what a segment holds now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[pa.Table] = []
        self._open_rows = 0
        self._open_bytes = 0
        self._last_seq = 0
        self._sealed: list[Sealed] = []

    def add(self, rows: pa.Table, last_seq: int) -> None:
        """Append the rows of the requests up to ``last_seq``."""
        with self._lock:
            self._last_seq = last_seq
            if not rows.num_rows:
                return
            self._open.append(rows)
            self._open_rows += rows.num_rows
            self._open_bytes += rows.nbytes
            # Many small tables cost more than their rows: neighbours of like size are merged, as in a binary counter.
            while (
                len(self._open) > 1
                and self._open[-2].num_rows < _SMALL_ROWS
                and self._open[-2].num_rows <= 2 * self._open[-1].num_rows
            ):
                newest, before = self._open.pop(), self._open.pop()
                self._open.append(pa.concat_tables([before, newest]).unify_dictionaries().combine_chunks())

    @property
    def open_rows(self) -> int:
        """Rows that are not sealed."""
        return self._open_rows

    @property
    def open_bytes(self) -> int:
        """Memory of the rows that are not sealed."""
        return self._open_bytes

    @property
    def last_seq(self) -> int:
        """The newest request that was added."""
        return self._last_seq

    def seal(self, last_seq: int, extras: SealExtras | None = None) -> None:
        """Close what has been added so far, if only to move the checkpoint."""
        with self._lock:
            self._sealed.append(Sealed(tuple(self._open), self._open_rows, last_seq, extras))
            self._open, self._open_rows, self._open_bytes = [], 0, 0

    def oldest_sealed(self) -> Sealed | None:
        """The next part to become a segment."""
        with self._lock:
            return self._sealed[0] if self._sealed else None

    @property
    def sealed_count(self) -> int:
        """Parts that wait to become segments."""
        return len(self._sealed)

    def drop(self, sealed: Sealed) -> None:
        """Forget a part: a segment holds it now."""
        with self._lock:
            self._sealed.remove(sealed)

    def tables(self) -> list[pa.Table]:
        """Everything, newest first."""
        with self._lock:
            tables = [table for part in self._sealed for table in part.tables]
            return [*tables, *self._open][::-1]
