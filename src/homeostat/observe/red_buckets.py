"""Sparse sums per second, with a bounded memory. ``observe.red`` keeps its counts, histograms and edges in them.

A bucket is a sorted array of keys and one row of sums for each. Seconds that have grown old are added up to minutes.
Not thread-safe: the owner locks.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.int64]
Sums = npt.NDArray[np.float64]

MINUTE_S: Final = 60
_DENSE_PER_KEY: Final = 4


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


def by_second(seconds: Keys, keys: Keys, sums: Sums) -> list[tuple[int, Keys, Sums]]:
    """Rows added up by second and key, one part for each second."""
    if not len(keys):
        return []
    first, width = int(seconds.min()), int(keys.max()) + 1
    unique, added = add_up((seconds - first) * width + keys, sums)
    numbers, starts = np.unique(unique // width, return_index=True)
    parts = zip(np.split(unique % width, starts[1:]), np.split(added, starts[1:]), strict=True)
    return [(first + number, *part) for number, part in zip(numbers.tolist(), parts, strict=True)]


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
        self._tidied_s = 0
        self._horizon = 0  # no second before this one is kept as a second
        self._kept_from_s = 0  # what was before it has been let go

    @property
    def seconds_from_s(self) -> int:
        """What is older is kept by the minute."""
        return self._horizon

    @property
    def kept_from_s(self) -> int:
        """What is older is not kept."""
        return self._kept_from_s

    def add(self, second: int, keys: Keys, sums: Sums) -> None:
        """Add to one second (Unix time)."""
        if second < self._horizon:
            self._minutes.setdefault(second - second % MINUTE_S, _Bucket()).add(keys, sums)
        else:
            self._seconds.setdefault(second, _Bucket()).add(keys, sums)

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

    def _raise_horizon(self, to_s: int) -> None:
        to_s -= to_s % MINUTE_S  # whole minutes only: none is half here and half there
        if to_s <= self._horizon:
            return
        self._horizon = to_s
        for second in sorted(second for second in self._seconds if second < to_s):
            self._minutes.setdefault(second - second % MINUTE_S, _Bucket()).add(*self._seconds.pop(second).whole())
        for minute in [minute for minute in self._minutes if minute >= to_s - 2 * MINUTE_S]:
            self._minutes[minute].whole()

    def _drop_minutes(self, before_s: int) -> None:
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
        for held in (self._minutes, self._seconds):
            if end_s - start_s < len(held):
                times = [second for second in range(start_s, end_s) if second in held]
            else:
                times = sorted(second for second in held if start_s <= second < end_s)
            for second in times:
                yield second, *held[second].whole()

    def total(self, start_s: int, end_s: int) -> tuple[Keys, Sums]:
        """Everything in ``[start_s, end_s)`` as it lies there: a key may appear once for each bucket."""
        parts = list(self.between(start_s, end_s))
        if not parts:
            return np.zeros(0, dtype=np.int64), np.zeros((0, self._columns))
        return np.concatenate([keys for _, keys, _ in parts]), np.concatenate([sums for _, _, sums in parts])
