"""Server spans whose callers have still to come. Used by ``topology``, under the lock of ``red``.

Any number of them may wait for one caller (a broken exporter sends a hundred thousand children of one span that never
comes), so calls are bounded, not callers, and each is put where it waits without touching the others.
"""

from collections.abc import Iterable, Sequence
from typing import Final

WAIT_S: Final = 60
WAITING_MAX: Final = 100_000  # of each half, per generation: about 20 MB

Call = tuple[int, int, float, float]
"""Second, callee, error (0 or 1), duration in ms."""

ByCaller = dict[int, list[Call]]


class WaitingCalls:
    """Calls by their caller's span, in two generations: the older is forgotten when the younger is full or old."""

    def __init__(self, *, at_most: int = WAITING_MAX) -> None:
        self._at_most = at_most
        self._young: ByCaller = {}
        self._old: ByCaller = {}
        self._young_calls = 0
        self._since_s = 0

    def turn(self, coming: int, now_s: int) -> None:
        """Make room for so many."""
        if self._young_calls + coming > self._at_most or abs(now_s - self._since_s) >= WAIT_S:
            self.begin({}, self._young, now_s)

    def put(self, callers: Iterable[int], calls: Iterable[Call]) -> None:
        """Let calls wait, each for its caller. ``turn`` made room for them."""
        young = self._young
        for caller, call in zip(callers, calls, strict=True):
            there = young.get(caller)
            if there is None:
                young[caller] = [call]
            else:
                there.append(call)
            self._young_calls += 1

    def known(self, callers: Sequence[int]) -> list[int]:
        """Those for whom calls wait."""
        young, old = self._young, self._old
        return [caller for caller in callers if caller in young or caller in old] if young or old else []

    def pop(self, caller: int) -> list[Call]:
        """The calls that waited for this one."""
        young = self._young.pop(caller, [])
        self._young_calls -= len(young)
        return [*self._old.pop(caller, []), *young]

    def generations(self) -> tuple[ByCaller, ByCaller]:
        """The younger and the older one."""
        return self._young, self._old

    def begin(self, young: ByCaller, old: ByCaller, now_s: int) -> None:
        """With those that waited when this was saved."""
        self._young, self._old, self._since_s = young, old, now_s
        self._young_calls = sum(map(len, young.values()))
