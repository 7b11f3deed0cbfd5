"""What was decided about which trace: late spans go the same way. Bounded; the oldest decisions go first.

Two tables, one for the traces that were kept (with probability and reason) and one for the others; each in two
generations: when the younger one is full the older one is forgotten. A trace that late spans ask for moves up.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from homeostat.observe.sampling.keys import ABSENT, Keys, KeyTable

Floats = npt.NDArray[np.float32]
Reasons = npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of some traces; the arrays are as long as the keys that were asked for."""

    kept: npt.NDArray[np.bool_]
    dropped: npt.NDArray[np.bool_]
    probability: Floats  # of those that were kept
    reason: Reasons


class _Generation:
    """Entries until it is full. Payload lies in the order of arrival."""

    def __init__(self, capacity: int, seed: int, with_payload: bool) -> None:
        self.capacity = capacity
        self.count = 0
        self._table = KeyTable(seed)
        room = min(capacity, 1024) if with_payload else 0
        self._probability: Floats = np.empty(room, dtype=np.float32)
        self._reason: Reasons = np.empty(room, dtype=np.uint16)

    @property
    def nbytes(self) -> int:
        return self._table.nbytes + self._probability.nbytes + self._reason.nbytes

    def find(self, keys: Keys) -> npt.NDArray[np.int32]:
        return self._table.find(keys)

    def payload(self, numbers: npt.NDArray[np.int32]) -> tuple[Floats, Reasons]:
        return self._probability[numbers], self._reason[numbers]

    def put(self, keys: Keys, probability: Floats | None, reason: Reasons | None) -> None:
        numbers = np.arange(self.count, self.count + len(keys), dtype=np.int32)
        self._table.put(keys, numbers)
        if probability is not None and reason is not None:
            needed = self.count + len(keys)
            if needed > len(self._probability):
                room = min(max(needed, 2 * len(self._probability)), max(self.capacity, needed))
                self._probability = np.resize(self._probability, room)
                self._reason = np.resize(self._reason, room)
            self._probability[self.count : needed] = probability
            self._reason[self.count : needed] = reason
        self.count += len(keys)

    def items(self) -> tuple[Keys, npt.NDArray[np.int32]]:
        """Keys in the order of arrival, and the place of each."""
        keys, numbers = self._table.items()
        order = np.argsort(numbers)
        return keys[order], numbers[order]


class _Memory:
    """Two generations of one kind."""

    def __init__(self, capacity: int, seed: int, with_payload: bool) -> None:
        self._make = lambda: _Generation(max(capacity // 2, 1), seed, with_payload)
        self._young = self._make()
        self._old = self._make()
        self._with_payload = with_payload

    @property
    def nbytes(self) -> int:
        return self._young.nbytes + self._old.nbytes

    def __len__(self) -> int:
        return self._young.count + self._old.count

    def find(self, keys: Keys) -> tuple[npt.NDArray[np.bool_], Floats, Reasons]:
        """Which are there, and their payload. Those of the older generation are put into the younger one."""
        number = self._young.find(keys)
        found = number != ABSENT
        probability, reason = np.zeros(len(keys), np.float32), np.zeros(len(keys), np.uint16)
        if self._with_payload and found.any():
            probability[found], reason[found] = self._young.payload(number[found])
        if self._old.count and not found.all():
            left = np.flatnonzero(~found)
            number = self._old.find(keys[left])
            again, number = left[number != ABSENT], number[number != ABSENT]
            if len(again):
                found[again] = True
                if self._with_payload:
                    probability[again], reason[again] = self._old.payload(number)
                self.put(keys[again], probability[again], reason[again])
        return found, probability, reason

    def put(self, keys: Keys, probability: Floats, reason: Reasons) -> None:
        """Remember new ones, each key once."""
        while len(keys):
            if self._young.count >= self._young.capacity:
                self._old, self._young = self._young, self._make()
            room = self._young.capacity - self._young.count
            payload = (probability[:room], reason[:room]) if self._with_payload else (None, None)
            self._young.put(keys[:room], *payload)
            keys, probability, reason = keys[room:], probability[room:], reason[room:]

    def items(self) -> tuple[Keys, Floats, Reasons]:
        """Everything, the oldest first; a key that is in both generations once."""
        parts = []
        young, young_numbers = self._young.items()
        for generation in (self._old, self._young):
            keys, numbers = (young, young_numbers) if generation is self._young else generation.items()
            if generation is self._old and len(keys):
                fresh = self._young.find(keys) == ABSENT
                keys, numbers = keys[fresh], numbers[fresh]
            empty = np.zeros(len(keys), np.float32), np.zeros(len(keys), np.uint16)
            parts.append((keys, *(generation.payload(numbers) if self._with_payload else empty)))
        return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))  # pyright: ignore[reportReturnType]


class DecisionCache:
    """Bounded memory of decisions."""

    def __init__(self, sampled: int, non_sampled: int, seed: int) -> None:
        self._kept = _Memory(sampled, seed, with_payload=True)
        self._dropped = _Memory(non_sampled, seed, with_payload=False)

    @property
    def nbytes(self) -> int:
        """Memory, bytes."""
        return self._kept.nbytes + self._dropped.nbytes

    def __len__(self) -> int:
        return len(self._kept) + len(self._dropped)

    def find(self, keys: Keys) -> Known:
        """What is known of these traces."""
        kept, probability, reason = self._kept.find(keys)
        dropped = np.zeros(len(keys), dtype=np.bool_)
        if not kept.all():
            left = np.flatnonzero(~kept)
            dropped[left] = self._dropped.find(keys[left])[0]
        return Known(kept, dropped, probability, reason)

    def put(self, keys: Keys, kept: npt.NDArray[np.bool_], probability: Floats, reason: Reasons) -> None:
        """Remember decisions about traces that have none."""
        self._kept.put(keys[kept], probability[kept], reason[kept])
        none = ~kept
        self._dropped.put(keys[none], probability[none], reason[none])

    def arrays(self) -> tuple[Keys, Floats, Reasons, Keys]:
        """Keys, probabilities and reasons of the kept, keys of the others; the oldest first."""
        kept, probability, reason = self._kept.items()
        return kept, probability, reason, self._dropped.items()[0]

    def restore(self, kept: Keys, probability: Floats, reason: Reasons, dropped: Keys) -> None:
        """Take in what ``arrays`` gave."""
        self._kept.put(kept, probability, reason)
        self._dropped.put(dropped, np.zeros(len(dropped), np.float32), np.zeros(len(dropped), np.uint16))
