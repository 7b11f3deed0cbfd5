"""Spans that are in the log but in no segment yet, as Arrow tables. Written by the intake thread, read by queries."""

import threading
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

_SMALL_ROWS: Final = 512


@dataclass(frozen=True, slots=True)
class Sealed:
    """A part of the buffer that is to become a segment: everything behind the previous part, up to ``last_seq``."""

    tables: tuple[pa.Table, ...]
    rows: int
    last_seq: int


class HotBuffer:
    """Grows at one end; ``seal`` closes what has grown so far, ``drop`` lets go of what a segment holds now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[pa.Table] = []
        self._open_rows = 0
        self._open_bytes = 0
        self._last_seq = 0
        self._sealed: list[Sealed] = []

    def add(self, spans: pa.Table, last_seq: int) -> None:
        """Append the spans of the requests up to ``last_seq``."""
        with self._lock:
            self._last_seq = last_seq
            if not spans.num_rows:
                return
            self._open.append(spans)
            self._open_rows += spans.num_rows
            self._open_bytes += spans.nbytes
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
        """Spans that are not sealed."""
        return self._open_rows

    @property
    def open_bytes(self) -> int:
        """Memory of the spans that are not sealed."""
        return self._open_bytes

    def seal(self) -> bool:
        """Close what has been added so far; False when there is nothing."""
        with self._lock:
            if not self._open:
                return False
            self._sealed.append(Sealed(tuple(self._open), self._open_rows, self._last_seq))
            self._open, self._open_rows, self._open_bytes = [], 0, 0
            return True

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
