"""Finds a few attributes among the many of a batch: by length, then eight bytes at a time, vectorised.

Used by ``facts``. A span has a dozen attributes and a policy asks for three keys: comparing texts one by one would be
the dearest part of sampling.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.store.telemetry.arrow import pc

_WORD: Final = 8
_LENGTHS: Final = 256  # keys that are longer share the last place

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Found:
    """Where one key occurs: the rows of the spans (ascending, one per occurrence) and the values there."""

    rows: Rows
    values: pa.StringArray


class Finder:
    """Looks for the same keys in batch after batch."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = {key: key.encode() for key in keys}
        self._wanted = np.zeros(_LENGTHS + 1, dtype=np.bool_)
        for encoded in self._keys.values():
            self._wanted[min(len(encoded), _LENGTHS)] = True

    def find(self, attributes: pa.MapArray) -> Mapping[str, Found]:
        """The keys that occur in a column of ``map<string, string>``."""
        offsets = attributes.offsets.to_numpy()
        first, last = int(offsets[0]), int(offsets[-1])
        if not self._keys or first == last:
            return {}
        keys = attributes.keys
        if not pa.types.is_string(keys.type):
            keys = pc.cast(keys, pa.string())
        start, length, data = _texts(keys.slice(first, last - first))
        maybe = np.flatnonzero(self._wanted[np.minimum(length, _LENGTHS)])
        lengths = length[maybe]
        found: dict[str, Found] = {}
        for key, encoded in self._keys.items():
            entries = _equal(data, start, maybe[lengths == len(encoded)], encoded)
            if len(entries):
                entries += first
                rows = np.searchsorted(offsets, entries, side="right") - 1
                found[key] = Found(rows, attributes.items.take(pa.array(entries)))
        return found


def _texts(texts: pa.StringArray) -> tuple[Rows, npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Start and length of each text, and the bytes, padded so that a word can be read at any start."""
    _, offsets_buffer, data = texts.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int32, count=len(texts) + 1, offset=texts.offset * 4)
    low, high = int(offsets[0]), int(offsets[-1])
    padded = np.zeros(high - low + _WORD, dtype=np.uint8)
    if data is not None and high > low:
        padded[: high - low] = np.frombuffer(data, dtype=np.uint8, count=high - low, offset=low)
    return (offsets[:-1] - low).astype(np.int64), np.diff(offsets), padded


def _equal(data: npt.NDArray[np.uint8], start: Rows, candidates: Rows, wanted: bytes) -> Rows:
    """Those candidates, all of the wanted length, that are the wanted text."""
    words = np.ndarray((len(data) - _WORD + 1,), dtype="<u8", buffer=data, strides=(1,))
    for place in range(0, len(wanted), _WORD):
        if not len(candidates):
            return candidates
        part = wanted[place : place + _WORD]
        mask = np.uint64((1 << 8 * len(part)) - 1)
        there = words[start[candidates] + place] & mask
        candidates = candidates[there == np.uint64(int.from_bytes(part, "little"))]
    return candidates
