"""Rows of ``LOG_SCHEMA`` as log records, and what tells two of them apart. Used by ``log_search``.

A record has no id of its own, and where it lies changes: what identifies it is its time, a hash of what it says, and,
among records that say the same at the same moment, a number.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.core.errors import BadRequestError
from homeostat.core.logs import LogRecord
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.index import pair_hashes
from homeostat.store.telemetry.log_schema import severity_word
from homeostat.store.telemetry.rows import from_ns
from homeostat.store.telemetry.schema import column, id_words
from homeostat.store.telemetry.text_hash import Hashes, hash_texts, mix

_TEXTS: Final = ("service", "resource", "event_name", "scope", "severity_text")
_SIGN: Final = 1 << 63


class _Row(TypedDict):
    """A row of ``LOG_SCHEMA`` as pyarrow's ``to_pylist`` gives it."""

    time_ns: int
    trace_id: bytes | None
    span_id: bytes | None
    severity: int
    service: str
    body: str
    event_name: str
    scope: str
    attributes: Iterable[tuple[str, str]]
    resource: str


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a record stands in the order of all: newest first, so that what sorts lower comes first."""

    before_ns: int  # minus the time
    mark: int  # the hash
    copy: int  # number among those that are equal so far

    @classmethod
    def parse(cls, text: str) -> "Position":
        """The position that ``str`` wrote. Raises BadRequestError for anything else."""
        parts = text.split("-")
        try:
            time, mark, copy = (int(part, 16) for part in parts)
        except ValueError:
            raise BadRequestError(f"{text!r} is no cursor. Use a page's next_cursor as it is.") from None
        if len(parts) != 3 or not 0 <= time < 1 << 64 or not 0 <= mark < 1 << 64 or not 0 <= copy < 1 << 32:
            raise BadRequestError(f"{text!r} is no cursor. Use a page's next_cursor as it is.")
        return cls(_SIGN - time, mark, copy)

    def __str__(self) -> str:
        return f"{_SIGN - self.before_ns:016x}-{self.mark:016x}-{self.copy:x}"

    @property
    def time_ns(self) -> int:
        """Unix time."""
        return -self.before_ns


def marks(table: pa.Table) -> Hashes:
    """A hash of what each record says."""
    total = np.zeros(table.num_rows, dtype=np.uint64)
    for name in ("observed_ns", "severity", "flags"):
        numbers = pc.fill_null(pc.cast(column(table, name), pa.int64()), 0)
        total = mix(total ^ numbers.to_numpy().astype(np.uint64))
    for name in ("trace_id", "span_id"):
        ids = column(table, name)
        there = pc.is_valid(ids).to_numpy(zero_copy_only=False)
        # An id that is missing counts as zeros whether or not other rows of the table have one: a record must not
        # change its mark with its neighbours. Where none has one, there may be no bytes at all.
        halves = id_words(ids) if there.any() else np.zeros((len(ids), ids.type.byte_width // 8), np.uint64)
        for word in halves.T:
            total = mix(total ^ np.where(there, word, np.uint64(0)))
    for name in _TEXTS:
        words = column(table, name)
        total = mix(total ^ hash_texts(words.dictionary)[words.indices.to_numpy()])
    total = mix(total ^ hash_texts(column(table, "body")))
    return mix(total ^ _attribute_marks(column(table, "attributes")))


def _attribute_marks(attributes: pa.MapArray) -> Hashes:
    """One hash for the pairs of each row, whatever their order."""
    offsets = attributes.offsets.to_numpy().astype(np.int64)
    first, last = int(offsets[0]), int(offsets[-1])
    keys, items = attributes.keys, attributes.items
    if len(keys) != last - first:  # a slice: pyarrow gives the children whole in one version and sliced in another
        keys, items = keys.slice(first, last - first), items.slice(first, last - first)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(pair_hashes(hash_texts(keys), hash_texts(items)))])
    return sums[offsets[1:] - first] - sums[offsets[:-1] - first]


def positions(table: pa.Table) -> list[Position]:
    """The position of each row; the table must hold every matching record of each moment that it holds any of."""
    times: npt.NDArray[np.int64] = column(table, "time_ns").to_numpy()
    seen: dict[tuple[int, int], int] = {}
    found: list[Position] = []
    for time, mark in zip(times.tolist(), marks(table).tolist(), strict=True):
        copy = seen[time, mark] = seen.get((time, mark), -1) + 1
        found.append(Position(-time, mark, copy))
    return found


def ids_in_order(table: pa.Table) -> tuple[npt.NDArray[np.int64], pa.StringArray]:
    """The order of the rows by position, and the positions as texts in that order: ``positions`` for many rows."""
    times: npt.NDArray[np.int64] = column(table, "time_ns").to_numpy()
    hashes = marks(table)
    order = np.lexsort((hashes, -times))
    times, hashes = times[order], hashes[order]
    numbers = np.arange(len(order))
    begins = np.ones(len(order), dtype=np.bool_)
    begins[1:] = (times[1:] != times[:-1]) | (hashes[1:] != hashes[:-1])
    copies = numbers - np.maximum.accumulate(np.where(begins, numbers, 0))
    shifted = times.astype(np.uint64) + np.uint64(_SIGN)  # wraps, as _SIGN + time does
    parts = zip(shifted.tolist(), hashes.tolist(), copies.tolist(), strict=True)
    return order, pa.array([f"{time:016x}-{mark:016x}-{copy:x}" for time, mark, copy in parts], pa.string())


def records_of(table: pa.Table, where: Sequence[Position]) -> tuple[LogRecord, ...]:
    """The rows as records, with their positions as ids."""
    rows: list[_Row] = table.to_pylist()
    return tuple(_record(row, position) for row, position in zip(rows, where, strict=True))


def _record(row: _Row, position: Position) -> LogRecord:
    trace_id, span_id = row["trace_id"], row["span_id"]
    return LogRecord(
        id=str(position),
        time=from_ns(row["time_ns"]),
        time_unix_nano=row["time_ns"],
        severity_number=row["severity"],
        severity=severity_word(row["severity"]),
        service=row["service"],
        body=row["body"],
        trace_id=trace_id.hex() if trace_id is not None else None,
        span_id=span_id.hex() if span_id is not None else None,
        event_name=row["event_name"],
        scope=row["scope"],
        attributes=dict(row["attributes"]),
        resource=json.loads(row["resource"]),
    )
