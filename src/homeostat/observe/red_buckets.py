"""Sparse sums per second, with a bounded memory. ``observe.red`` keeps its counts, histograms and edges in them.

A bucket is a sorted array of keys and one row of sums for each. Seconds that have grown old are added up to minutes.
Whoever asks for many seconds gets them in blocks of ten and of sixty, which are added up once and kept until one of
their seconds changes. Not thread-safe: the owner locks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.int64]
Sums = npt.NDArray[np.float64]

MINUTE_S: Final = 60
_TEN_S: Final = 10
_DENSE_PER_KEY: Final = 4
_FEW: Final = 4  # blocks that are missing: they are added up one by one, which keeps those of ten seconds, too
_BLOCKS_MAX: Final = 512  # of each length: beyond, those that nobody has asked for lately are not kept


def add_up(keys: Keys, sums: Sums) -> tuple[Keys, Sums]:
    """Rows with the same key added up; keys sorted. ``sums`` has the shape ``(len(keys), columns)``."""
    if not len(keys):
        return keys, sums
    if int(keys.min()) >= 0 and int(keys.max()) < _DENSE_PER_KEY * len(keys):
        unique = np.flatnonzero(np.bincount(keys)).astype(np.int64)  # few distinct keys: counting beats sorting
        rows = [np.bincount(keys, weights=column)[unique].astype(np.float64) for column in sums.T]
        return unique, np.stack(rows, axis=1)
    unique, place = np.unique(keys, return_inverse=True)
    rows = [np.bincount(place, weights=column, minlength=len(unique)).astype(np.float64) for column in sums.T]
    return unique, np.stack(rows, axis=1)


@dataclass(frozen=True, slots=True)
class Timed:
    """Sums by second and key: one row of each array belongs together. ``sums``: shape ``(rows, columns)``."""

    seconds: Keys
    keys: Keys
    sums: Sums

    @classmethod
    def none(cls, columns: int) -> "Timed":
        """No row."""
        return cls(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros((0, columns)))

    def added_up(self, length_s: int = 1) -> "Timed":
        """Rows of the same key and second (or whatever ``length_s`` is) added up, sorted by time and key."""
        if not len(self.keys):
            return self
        seconds = self.seconds - self.seconds % length_s if length_s > 1 else self.seconds
        first, low = int(seconds.min()), int(self.keys.min())
        width = int(self.keys.max()) - low + 1
        unique, added = add_up((seconds - first) * width + (self.keys - low), self.sums)
        return Timed(unique // width + first, unique % width + low, added)

    def by_second(self) -> Iterator[tuple[int, Keys, Sums]]:
        """One part for each second. The rows must be sorted by time."""
        if not len(self.keys):
            return
        starts = np.flatnonzero(np.concatenate([[True], self.seconds[1:] != self.seconds[:-1]])).tolist()
        for start, end in zip(starts, [*starts[1:], len(self.keys)], strict=True):
            yield int(self.seconds[start]), self.keys[start:end], self.sums[start:end]


class _Bucket:
    """Parts as they came in; added up when somebody reads or there are many."""

    __slots__ = ("_parts",)
    _PARTS_MAX: Final = 16

    def __init__(self) -> None:
        self._parts: list[tuple[Keys, Sums]] = []

    def add(self, keys: Keys, sums: Sums) -> None:
        self._parts.append((keys, sums))
        if len(self._parts) > self._PARTS_MAX:
            self.whole()

    def whole(self) -> tuple[Keys, Sums]:
        """All parts as one."""
        if len(self._parts) > 1:
            keys, sums = zip(*self._parts, strict=True)
            self._parts = [add_up(np.concatenate(keys), np.concatenate(sums))]
        return self._parts[0]

    @property
    def rows(self) -> int:
        return sum(len(keys) for keys, _ in self._parts)


class Buckets:
    """Sums by key and time: ``seconds_kept`` at one second, ``minutes_kept`` at one minute, ``rows_max`` rows in all.

    When there are more rows, the oldest seconds become minutes early, and then the oldest minutes go.
    """

    def __init__(self, columns: int, *, seconds_kept: int, minutes_kept: int, rows_max: int) -> None:
        self._columns = columns
        self._seconds_kept = seconds_kept
        self._minutes_kept = minutes_kept
        self._rows_max = rows_max
        self._seconds: dict[int, _Bucket] = {}
        self._minutes: dict[int, _Bucket] = {}  # by their first second
        self._tens: dict[int, tuple[Keys, Sums]] = {}  # ten seconds added up, by the first of them
        self._sixties: dict[int, tuple[Keys, Sums]] = {}
        self._tidied_s = 0
        self._horizon = 0  # no second before this one is kept as a second
        self._kept_from_s = 0  # what was before it has been let go

    @property
    def seconds_from_s(self) -> int:
        """What is older is kept by the minute."""
        return self._horizon

    @property
    def kept_from_s(self) -> int:
        """What is older is not kept. The beginning of a minute."""
        return self._kept_from_s

    def add(self, second: int, keys: Keys, sums: Sums) -> None:
        """Add to one second (Unix time)."""
        if second < self._horizon:
            self._minutes.setdefault(second - second % MINUTE_S, _Bucket()).add(keys, sums)
            return
        self._seconds.setdefault(second, _Bucket()).add(keys, sums)
        self._tens.pop(second - second % _TEN_S, None)
        self._sixties.pop(second - second % MINUTE_S, None)

    def tidy(self, now_s: int) -> None:
        """Let time pass: old seconds become minutes, old minutes go. Does something once a second at most."""
        if now_s == self._tidied_s:
            return
        self._tidied_s = now_s
        self._raise_horizon(now_s - self._seconds_kept)
        self._drop_minutes(now_s - self._minutes_kept * MINUTE_S)
        while self.rows > self._rows_max and len(self._seconds) > MINUTE_S:
            self._raise_horizon(min(self._seconds) + MINUTE_S)
        while self.rows > self._rows_max and len(self._minutes) > 1:
            self._drop_minutes(min(self._minutes) + 1)

    def begin(self, kept_from_s: int, seconds_from_s: int) -> None:
        """What is before the first is kept elsewhere; what is before the second is known by the minute only."""
        self._drop_minutes(kept_from_s)
        self._raise_horizon(seconds_from_s)

    def _raise_horizon(self, to_s: int) -> None:
        to_s -= to_s % MINUTE_S  # whole minutes only: none is half here and half there
        if to_s <= self._horizon:
            return
        self._horizon = to_s
        for second in sorted(second for second in self._seconds if second < to_s):
            self._minutes.setdefault(second - second % MINUTE_S, _Bucket()).add(*self._seconds.pop(second).whole())
        for minute in [minute for minute in self._minutes if minute >= to_s - 2 * MINUTE_S]:
            self._minutes[minute].whole()
        for blocks in (self._tens, self._sixties):
            for first in [first for first in blocks if first < to_s]:
                del blocks[first]

    def _drop_minutes(self, before_s: int) -> None:
        before_s = -(-before_s // MINUTE_S) * MINUTE_S  # a minute that is not whole any more goes
        self._kept_from_s = max(self._kept_from_s, before_s)
        for minute in [minute for minute in self._minutes if minute < before_s]:
            del self._minutes[minute]

    @property
    def rows(self) -> int:
        """Rows in memory."""
        buckets = [*self._seconds.values(), *self._minutes.values()]
        return sum(bucket.rows for bucket in buckets)

    def between(self, start_s: int, end_s: int) -> Iterator[tuple[int, Keys, Sums]]:
        """``(second, keys, sums)`` of the buckets that begin in ``[start_s, end_s)``, oldest first."""
        start_s = max(start_s, self._kept_from_s)
        for held in (self._minutes, self._seconds):
            if end_s - start_s < len(held):
                times = [second for second in range(start_s, end_s) if second in held]
            else:
                times = sorted(second for second in held if start_s <= second < end_s)
            for second in times:
                yield second, *held[second].whole()

    def by_minute(self, start_s: int, end_s: int) -> Iterator[tuple[int, Keys, Sums]]:
        """``(first second, keys, sums)`` of the minutes that begin in ``[start_s, end_s)``, oldest first."""
        start_s = max(start_s, self._kept_from_s)
        for minute in sorted(minute for minute in self._minutes if start_s <= minute < end_s):
            yield minute, *self._minutes[minute].whole()
        held = {second - second % MINUTE_S for second in self._seconds}
        wanted = sorted(minute for minute in held if start_s <= minute < end_s)
        missing = [minute for minute in wanted if minute not in self._sixties]
        if len(missing) > _FEW:
            self._add_up_at_once(missing)
        for minute in wanted:
            yield minute, *self._block(minute, MINUTE_S)

    def total(self, start_s: int, end_s: int) -> tuple[Keys, Sums]:
        """Everything in ``[start_s, end_s)``; a key may appear more than once."""
        start_s = max(start_s, self._kept_from_s)
        parts = [self._minutes[minute].whole() for minute in self._minutes if start_s <= minute < end_s]
        if self._seconds:
            parts += self._blocks(max(start_s, min(self._seconds)), min(end_s, max(self._seconds) + 1))
        return _together(parts, self._columns)

    def _add_up_at_once(self, minutes: list[int]) -> None:
        """Keep blocks of these minutes: adding up half an hour in one go is several times quicker than by the block,
        and that is what whoever asks first after a start waits for."""
        parts = [
            (minute, *bucket.whole())
            for minute in minutes
            for second in range(minute, minute + MINUTE_S)
            if (bucket := self._seconds.get(second)) is not None
        ]
        firsts = np.repeat([minute for minute, _, _ in parts], [len(keys) for _, keys, _ in parts])
        rows = Timed(firsts.astype(np.int64), *_together([part[1:] for part in parts], self._columns))
        if len(self._sixties) + len(minutes) > _BLOCKS_MAX:
            self._sixties.clear()
        for minute, keys, sums in rows.added_up().by_second():
            self._sixties[minute] = keys.copy(), sums.copy()  # not what holds all of them in memory

    def _blocks(self, at: int, end_s: int) -> list[tuple[Keys, Sums]]:
        """The seconds ``[at, end_s)`` in as few parts as there are."""
        parts: list[tuple[Keys, Sums]] = []
        while at < end_s:
            for length in (MINUTE_S, _TEN_S):
                if at % length == 0 and at + length <= end_s:
                    parts.append(self._block(at, length))
                    at += length
                    break
            else:
                if (bucket := self._seconds.get(at)) is not None:
                    parts.append(bucket.whole())
                at += 1
        return parts

    def _block(self, first: int, length: int) -> tuple[Keys, Sums]:
        """The seconds ``[first, first + length)`` added up."""
        blocks = self._tens if length == _TEN_S else self._sixties
        block = blocks.get(first)
        if block is None:
            if length == _TEN_S:
                seconds = range(first, first + length)
                parts = [bucket.whole() for second in seconds if (bucket := self._seconds.get(second)) is not None]
            else:
                parts = [self._block(ten, _TEN_S) for ten in range(first, first + length, _TEN_S)]
            if len(blocks) >= _BLOCKS_MAX:
                blocks.clear()
            block = blocks[first] = add_up(*_together(parts, self._columns))
        return block


def _together(parts: list[tuple[Keys, Sums]], columns: int) -> tuple[Keys, Sums]:
    if not parts:
        return np.zeros(0, dtype=np.int64), np.zeros((0, columns))
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([keys for keys, _ in parts]), np.concatenate([sums for _, sums in parts])
