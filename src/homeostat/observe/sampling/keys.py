"""Trace keys to numbers, millions of them: an open-addressing hash table in two arrays, every operation vectorised.

Used for the traces that are undecided (``pending``) and for those that are decided (``decisions``). A Python dict
would need a hundred bytes a trace and a loop.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from homeostat.store.telemetry.text_hash import mix

Keys = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int32]

_SLOTS_MIN: Final = 1024
_LOAD_MAX: Final = 0.5  # linear probing: above, clusters grow long
_EMPTY: Final = np.uint64(0)
_ZERO: Final = np.uint64(0x9E3779B97F4A7C15)
"""Stands for the key 0, which marks an empty slot."""

ABSENT: Final = -1


def normal(keys: Keys) -> Keys:
    """Keys as tables hold them: none is 0."""
    return np.where(keys == _EMPTY, _ZERO, keys) if (keys == _EMPTY).any() else keys


class KeyTable:
    """Grows as it fills. ``seed`` makes it impossible to choose trace ids that all fall into one place."""

    def __init__(self, seed: int, expected: int = 0) -> None:
        self._seed = np.uint64(seed & (2**64 - 1))
        self._used = 0  # slots with a key, also of what was removed
        self._make(_slots_for(expected))

    def _make(self, slots: int) -> None:
        self._keys = np.zeros(slots, dtype=np.uint64)
        self._numbers = np.full(slots, ABSENT, dtype=np.int32)
        self._shift = np.uint64(64 - slots.bit_length() + 1)
        self._mask = slots - 1

    @property
    def nbytes(self) -> int:
        """Memory, bytes."""
        return self._keys.nbytes + self._numbers.nbytes

    def _home(self, keys: Keys) -> npt.NDArray[np.int64]:
        return (mix(keys ^ self._seed) >> self._shift).astype(np.int64)

    def _slots(self, keys: Keys) -> npt.NDArray[np.int64]:
        """The slot of each key, or the empty one where its search ends."""
        slots = self._home(keys)
        there = self._keys[slots]
        active = np.flatnonzero((there != keys) & (there != _EMPTY))
        while len(active):
            slots[active] = (slots[active] + 1) & self._mask
            there = self._keys[slots[active]]
            active = active[(there != keys[active]) & (there != _EMPTY)]
        return slots

    def find(self, keys: Keys) -> Numbers:
        """The number of each key; ABSENT for one that is not there."""
        slots = self._slots(keys)
        return np.where(self._keys[slots] == keys, self._numbers[slots], np.int32(ABSENT))

    def put(self, keys: Keys, numbers: Numbers) -> None:
        """Set the numbers of keys, each of which occurs once."""
        if self._used + len(keys) > _LOAD_MAX * len(self._keys):
            self._grow(len(keys))
        slots = self._slots(keys)
        left = np.arange(len(keys))
        while True:
            free = self._keys[slots[left]] == _EMPTY
            self._keys[slots[left[free]]] = keys[left[free]]  # of two that want one slot the later one gets it
            won = self._keys[slots[left]] == keys[left]
            self._used += int((free & won).sum())
            placed = left[won]
            self._numbers[slots[placed]] = numbers[placed]
            left = left[~won]
            if not len(left):
                return
            slots[left] = self._slots(keys[left])

    def remove(self, keys: Keys) -> None:
        """Forget keys. Their slots stay taken until the table is made anew."""
        slots = self._slots(keys)
        self._numbers[slots[self._keys[slots] == keys]] = ABSENT

    def items(self) -> tuple[Keys, Numbers]:
        """All keys and their numbers, in no order."""
        live = self._numbers != ABSENT
        return self._keys[live], self._numbers[live]

    def _grow(self, coming: int) -> None:
        keys, numbers = self.items()
        self._used = 0
        self._make(_slots_for(len(keys) + coming + len(keys) // 4))
        if len(keys):
            self.put(keys, numbers)


def _slots_for(entries: int) -> int:
    return max(_SLOTS_MIN, 1 << int(entries / _LOAD_MAX).bit_length())
