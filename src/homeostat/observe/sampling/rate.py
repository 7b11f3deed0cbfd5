"""How many traces begin a second: with very few, all are kept. Used by ``sampler``."""

import math
from collections import deque
from typing import Final

_WINDOW_S: Final = 10


class ArrivalRate:
    """Counts of the last ten seconds."""

    def __init__(self, quiet_per_second: float) -> None:
        self._quiet = quiet_per_second
        self._seconds: deque[tuple[int, int]] = deque()
        self._total = 0

    def count(self, traces: int, now_s: float) -> None:
        """So many have begun."""
        self._forget(now_s)
        self._total += traces
        second = math.floor(now_s)
        if self._seconds and self._seconds[-1][0] == second:
            traces += self._seconds.pop()[1]
        self._seconds.append((second, traces))

    @property
    def is_quiet(self) -> bool:
        """Whether, when something was last counted, fewer than so many a second had begun lately."""
        return self._total < self._quiet * _WINDOW_S

    def _forget(self, now_s: float) -> None:
        while self._seconds and self._seconds[0][0] <= now_s - _WINDOW_S:
            self._total -= self._seconds.popleft()[1]
