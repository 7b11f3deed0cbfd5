"""What an objective remembers: events and bad events per minute, for as long as its window. Read by ``evaluate``."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from homeostat.observe.slo.windows import MINUTE_S

Counts = npt.NDArray[np.float32]
_SLACK: Final = 360
"""Minutes of room behind the newest one: what is kept moves once in six hours, not every minute."""


@dataclass(frozen=True, slots=True, eq=False)
class MinuteCounts:
    """Minutes in which something was counted, oldest first, one row each. A source's answer."""

    start_s: npt.NDArray[np.int64]  # Unix second in which the minute begins
    bad: npt.NDArray[np.float64]
    total: npt.NDArray[np.float64]

    @classmethod
    def none(cls) -> Self:
        """No minute at all."""
        return cls(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Consecutive minutes, one row each, also those without events."""

    first_minute: int  # Unix minutes
    bad: npt.NDArray[np.float64]
    total: npt.NDArray[np.float64]


class Minutes:
    """The newest ``length`` minutes, 8 bytes each.

    Counts are kept in 32 bits: exact up to 16 million events in a minute, and to 1 in 10 million beyond.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._capacity = length + _SLACK
        self._base = 0  # the minute of row 0
        self._bad: Counts = np.zeros(self._capacity, np.float32)
        self._total: Counts = np.zeros(self._capacity, np.float32)

    @property
    def length(self) -> int:
        """How many minutes are kept."""
        return self._length

    def replace(self, start_minute: int, end_minute: int, counts: MinuteCounts) -> None:
        """What is now known of ``[start_minute, end_minute)``: minutes that ``counts`` leaves out had no events.

        Minutes older than what is kept are ignored.
        """
        self._make_room(end_minute)
        start = max(start_minute, end_minute - self._length, self._base) - self._base
        end = end_minute - self._base
        if start >= end:
            return
        self._bad[start:end] = 0
        self._total[start:end] = 0
        rows = counts.start_s // MINUTE_S - self._base
        known = (rows >= start) & (rows < end)
        self._bad[rows[known]] = counts.bad[known]
        self._total[rows[known]] = counts.total[known]

    def columns(self, start_minute: int, end_minute: int) -> Columns:
        """``[start_minute, end_minute)``; what is not kept counts as without events."""
        wanted = max(0, end_minute - start_minute)
        bad, total = np.zeros(wanted), np.zeros(wanted)
        first = min(max(start_minute, self._base), end_minute)
        last = max(first, min(end_minute, self._base + self._capacity))
        here = slice(first - self._base, last - self._base)
        there = slice(first - start_minute, last - start_minute)
        bad[there], total[there] = self._bad[here], self._total[here]
        return Columns(start_minute, bad, total)

    def _make_room(self, end_minute: int) -> None:
        """Move what is kept so that the rows reach to ``end_minute``."""
        if end_minute <= self._base + self._capacity:
            return
        base = end_minute - self._length
        moved = min(base - self._base, self._capacity)
        for column in (self._bad, self._total):
            column[: self._capacity - moved] = column[moved:]
            column[self._capacity - moved :] = 0
        self._base = base
