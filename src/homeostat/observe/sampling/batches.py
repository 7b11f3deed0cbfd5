"""The spans of undecided traces, in the batches in which they came. Used by ``sampler``; queries read ``tables``.

A batch is never copied while it is whole. When most of its spans are decided the rest is copied out, so that the
memory of the others can go; small rests are put together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.observe.decode.serialized import acknowledged_table, joined
from homeostat.observe.sampling.pending import Rows

Mask = npt.NDArray[np.bool_]

DECIDED: Final = -1
"""Instead of a row: the span is no longer held."""

_SMALL_ROWS: Final = 1024
_TOGETHER_MIN: Final = 8  # putting two together copies both: not for a few
_SPARSE: Final = 4  # a batch of which less than a quarter is held is copied


@dataclass(frozen=True, slots=True)
class Batch:
    """Spans as they came, and the row of each one's trace. Nothing in it ever changes."""

    spans: pa.RecordBatch
    rows: Rows
    held: int  # spans that are not decided
    size_bytes: int

    @classmethod
    def of(cls, spans: pa.RecordBatch, rows: Rows) -> "Batch":
        return cls(spans, rows, int((rows != DECIDED).sum()), int(spans.get_total_buffer_size()) + rows.nbytes)

    def without(self, decided: Mask) -> "Batch | None":
        """What is held afterwards. ``decided``: one flag a row of the pending table, and a last one for DECIDED."""
        rows = np.where(decided[self.rows], np.int32(DECIDED), self.rows)
        left = int((rows != DECIDED).sum())
        return Batch(self.spans, rows, left, self.size_bytes).thinned() if left else None

    def thinned(self) -> "Batch":
        """A copy of what is held, if that is little of the batch; else the batch."""
        if self.held * _SPARSE >= len(self.rows):
            return self
        held = self.rows != DECIDED
        return Batch.of(compact(self.spans.filter(pa.array(held))), self.rows[held])

    def table(self) -> pa.Table:
        """The spans that are held, their attributes as a map."""
        return acknowledged_table([self.left()])

    def left(self) -> pa.RecordBatch:
        """The spans that are held, as they came."""
        return self.spans if self.held == len(self.rows) else self.spans.filter(pa.array(self.rows != DECIDED))


def compact(spans: pa.RecordBatch) -> pa.RecordBatch:
    """The same spans, their dictionaries without the words that only others used."""
    columns = [
        column.cast(column.type.value_type).dictionary_encode()
        if pa.types.is_dictionary(column.type) and len(column.dictionary) > len(column)
        else column
        for column in spans.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=spans.schema)


class Batches:
    """Written by one thread; ``tables`` may be read by others."""

    def __init__(self) -> None:
        self._batches: tuple[Batch, ...] = ()
        self._size_bytes = 0

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._batches)

    @property
    def size_bytes(self) -> int:
        """Memory of all of them."""
        return self._size_bytes

    def add(self, batch: Batch) -> None:
        """Hold some more."""
        self._batches = (*self._batches, batch)
        self._size_bytes += batch.size_bytes

    def release(self, decided: Mask) -> None:
        """Let go of the spans of some rows (one flag a row, and a last one that is True)."""
        left = [kept for batch in self._batches if (kept := batch.without(decided)) is not None]
        self._batches = tuple(_together(left))
        self._size_bytes = sum(batch.size_bytes for batch in self._batches)

    def rows_of_oldest(self, excess_bytes: int) -> Rows:
        """The rows of the oldest batches that hold so much together."""
        chosen: list[Rows] = []
        for batch in self._batches:
            if excess_bytes <= 0:
                break
            chosen.append(batch.rows[batch.rows != DECIDED])
            excess_bytes -= batch.size_bytes
        return np.unique(np.concatenate(chosen)) if chosen else np.empty(0, dtype=np.int32)

    def tables(self) -> list[pa.Table]:
        """The spans that are held, newest first."""
        return [batch.table() for batch in reversed(self._batches)]


def _together(batches: Sequence[Batch]) -> list[Batch]:
    """Neighbours that are small as one batch."""
    done: list[Batch] = []
    small: list[Batch] = []
    for batch in batches:
        if batch.held < _SMALL_ROWS:
            small.append(batch)
            continue
        done += _joined(small)
        small = []
        done.append(batch)
    return done + _joined(small)


def _joined(small: list[Batch]) -> list[Batch]:
    if len(small) < _TOGETHER_MIN:
        return small
    table = joined([pa.Table.from_batches([batch.left()]) for batch in small]).unify_dictionaries().combine_chunks()
    rows = np.concatenate([batch.rows[batch.rows != DECIDED] for batch in small])
    return [Batch.of(compact(batch), rows) for batch in table.to_batches()]
