"""Chance that is not random: shares of traces, chosen so that weighted counts stay true. Used by ``policies``.

Nothing here draws a random number: given the same traces in the same rounds the same ones are chosen.
"""

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from homeostat.store.telemetry.text_hash import mix

Mask = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int64]

_FNV_OFFSET: Final = 0xCBF29CE484222325
_FNV_PRIME: Final = 0x100000001B3
_WORD_MAX: Final = 2**64 - 1
_SERVICES_MAX: Final = 4096


@dataclass(slots=True)
class Systematic:
    """Of each service every 1/p-th of the traces that begin there, in the order of operation and span count.

    Systematic sampling from an ordered list is stratified by that order without having to name the strata
    (W. G. Cochran, Sampling Techniques, 3rd ed. 1977, chapter 8). The fraction left over goes into the service's next
    round, so that over time the number of traces kept of it is p times their number to within one.
    """

    probability: float
    salt: int  # two policies shall not choose the same traces
    carries: dict[int, float] = field(default_factory=dict)  # of each service

    def choose(self, stratum: Words, spans: Counts, keys: Words) -> Mask:
        """Which of the traces of one round. The upper half of a stratum is the service, the lower the operation."""
        chosen = np.zeros(len(keys), dtype=np.bool_)
        if not len(keys):
            return chosen
        order = np.lexsort((mix(keys ^ np.uint64(self.salt)), spans, stratum))
        services, starts, counts = np.unique(stratum[order] >> np.uint64(32), return_index=True, return_counts=True)
        carries = np.array([self._carry(service) for service in services.tolist()])
        place = np.arange(len(keys)) - np.repeat(starts, counts)
        before = np.repeat(carries, counts) + self.probability * place
        chosen[order] = np.floor(before + self.probability) > np.floor(before)
        self.carries.update(
            zip(services.tolist(), ((carries + self.probability * counts) % 1.0).tolist(), strict=True)
        )
        return chosen

    def _carry(self, service: int) -> float:
        """Where a service goes on. A new one begins anywhere: the first of its traces is no likelier than others."""
        if len(self.carries) > _SERVICES_MAX:
            self.carries.clear()
        if service not in self.carries:
            self.carries[service] = float(mix(np.array([service ^ self.salt], dtype=np.uint64))[0]) / 2**64
        return self.carries[service]


def fnv1a_at_most(salt: str, high: Words, low: Words, probability: float) -> Mask:
    """Whether FNV-1a (64 bits) of salt and trace id is in the lowest part: what the Collector computes.

    The same traces are chosen wherever the same salt is used; those of a lower probability are among those of a
    higher one.
    """
    begun = _FNV_OFFSET
    for byte in salt.encode():
        begun = ((begun ^ byte) * _FNV_PRIME) & _WORD_MAX
    hashes = np.full(len(low), begun, dtype=np.uint64)
    for word in (high, low):
        for shift in range(56, -8, -8):
            hashes = (hashes ^ ((word >> np.uint64(shift)) & np.uint64(0xFF))) * np.uint64(_FNV_PRIME)
    return hashes <= np.uint64(min(int(_WORD_MAX * probability), _WORD_MAX))


def fitting(sizes: Counts, room: float) -> Mask:
    """First come, first served: each that still fits into what is left is taken, as one by one would do."""
    taken = np.zeros(len(sizes), dtype=np.bool_)
    left = np.arange(len(sizes))
    while len(left := left[sizes[left] <= room]):
        total = np.cumsum(sizes[left])
        count = int(np.searchsorted(total, room, side="right"))
        taken[left[:count]] = True
        room -= float(total[count - 1])
        left = left[count:]
    return taken


@dataclass(slots=True)
class Realised:
    """The rate at which a limit let traces pass. Those of rounds in which none passed wait for the next that does."""

    waiting: int = 0

    def rate(self, candidates: int, passed: int) -> float:
        """The probability that each of those who passed stands for."""
        asked = candidates + self.waiting
        if not passed:
            self.waiting = asked
            return 0.0
        self.waiting = 0
        return passed / asked


@dataclass(slots=True)
class PerSecond:
    """An allowance that is there anew each second."""

    allowance: float
    second: int = -1
    used: float = 0.0

    def room(self, now_s: float) -> float:
        """What is left of this second's."""
        if math.floor(now_s) != self.second:
            self.second, self.used = math.floor(now_s), 0.0
        return self.allowance - self.used


@dataclass(slots=True)
class TokenBucket:
    """Refilled continuously, up to what it holds."""

    per_second: float
    capacity: float
    tokens: float
    filled_s: float = 0.0

    def room(self, now_s: float) -> float:
        """What is in it."""
        self.tokens = min(self.capacity, self.tokens + (now_s - self.filled_s) * self.per_second)
        self.filled_s = now_s
        return self.tokens
