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

from homeostat.observe.decode.serialized import is_serialized, texts_of
from homeostat.store.telemetry.arrow import pc

_WORD: Final = 8

Places = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Found:
    """Where one key occurs: places in the flat list of all attributes, ascending, and the values there."""

    codes: npt.NDArray[np.int32]  # for each place, the value: which of ``texts``
    texts: pa.StringArray
    _entries: Places
    _offsets: npt.NDArray[np.int32]

    def rows(self, which: npt.NDArray[np.bool_]) -> Places:
        """The spans of some of the occurrences."""
        return np.searchsorted(self._offsets, self._entries[which], side="right") - 1


class Finder:
    """Looks for the same keys in batch after batch."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = {key: key.encode() for key in keys}
        self._lengths = sorted({len(encoded) for encoded in self._keys.values()})

    def find(self, attributes: pa.MapArray | pa.ListArray) -> Mapping[str, Found]:
        """The keys that occur in a column of ``map<string, string>``, or of attributes that are still serialized."""
        offsets = attributes.offsets.to_numpy()
        first, last = int(offsets[0]), int(offsets[-1])
        if not self._keys or first == last:
            return {}
        texts = _keys(attributes, first, last - first)
        candidates = texts.of_lengths(self._lengths)
        found: dict[str, Found] = {}
        for key, encoded in self._keys.items():
            entries = texts.equal(candidates[len(encoded)], encoded)
            if len(entries):
                entries = entries + first
                found[key] = Found(*_values(attributes, pa.array(entries)), entries, offsets)
        return found


def _values(attributes: pa.MapArray | pa.ListArray, entries: pa.Int64Array) -> tuple[Codes, pa.StringArray]:
    """Codes and texts of the values in some places. Texts that are serialized are parsed once each."""
    serialized = is_serialized(attributes)
    encoded = pc.dictionary_encode((attributes.values if serialized else attributes.items).take(entries))
    texts = texts_of(encoded.dictionary) if serialized else encoded.dictionary
    return encoded.indices.to_numpy(zero_copy_only=False), texts


def _keys(attributes: pa.MapArray | pa.ListArray, first: int, count: int) -> "_Texts":
    if is_serialized(attributes):
        return _Texts.within(attributes.values.slice(first, count))
    keys = attributes.keys
    if not pa.types.is_string(keys.type):
        keys = pc.cast(keys, pa.string())
    return _Texts.of(keys.slice(first, count))


class _Texts:
    """Texts as places in a buffer."""

    @classmethod
    def of(cls, texts: pa.StringArray) -> "_Texts":
        """A column of texts."""
        offsets, data = _parts(texts)
        return cls(data, offsets[:-1], np.diff(offsets))

    @classmethod
    def within(cls, entries: pa.BinaryArray) -> "_Texts":
        """The keys of serialized attributes: behind a tag and a length of one byte each."""
        offsets, data = _parts(entries)
        starts = offsets[:-1] + np.int32(2)
        return cls(data, starts, data[starts - 1].astype(np.int32))

    def __init__(self, data: npt.NDArray[np.uint8], starts: Codes, lengths: Codes) -> None:
        self._starts, self._lengths = starts, lengths
        if len(data) < _WORD:
            data = np.concatenate([data, np.zeros(_WORD, dtype=np.uint8)])
        self._last = len(data) - _WORD
        # A word may begin at any byte: a view with a stride of one byte gives all of them without a copy.
        self._words = np.ndarray((self._last + 1,), dtype="<u8", buffer=data, strides=(1,))

    def of_lengths(self, lengths: Sequence[int]) -> Mapping[int, Places]:
        """The places of the texts that have one of these lengths."""
        maybe = self._lengths == lengths[0]
        for length in lengths[1:]:
            maybe |= self._lengths == length
        places = np.flatnonzero(maybe)
        length_of = self._lengths[places]
        return {length: places[length_of == length] for length in lengths}

    def equal(self, places: Places, wanted: bytes) -> Places:
        """Those of some texts, all of the wanted length, that are the wanted one."""
        for offset in range(0, len(wanted), _WORD):
            if not len(places):
                return places
            part = wanted[offset : offset + _WORD]
            there = self._word(self._starts[places] + offset)
            if len(part) < _WORD:
                there = there & np.uint64((1 << 8 * len(part)) - 1)
            places = places[there == np.uint64(int.from_bytes(part, "little"))]
        return places

    def _word(self, at: npt.NDArray[np.int32]) -> npt.NDArray[np.uint64]:
        """Eight bytes from each place; behind the end of the data, zeros."""
        if int(at[-1]) <= self._last:  # they ascend
            return self._words[at]
        inside = np.minimum(at, self._last)
        return self._words[inside] >> (8 * (at - inside)).astype(np.uint64)


def _parts(texts: pa.StringArray | pa.BinaryArray) -> tuple[Codes, npt.NDArray[np.uint8]]:
    _, offsets_buffer, data_buffer = texts.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int32, count=len(texts) + 1, offset=texts.offset * 4)
    return offsets, np.frombuffer(data_buffer or b"", dtype=np.uint8)
