"""Finds a few attributes among the many of a batch: compiled (``key_places``), or by length and then eight bytes at a
time, vectorised.

Used by ``facts``. A span has a dozen attributes and a policy asks for three keys: comparing texts one by one would be
the dearest part of sampling.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.observe.decode.serialized import is_serialized, texts_of
from homeostat.store.telemetry.arrow import pc

try:
    from homeostat.observe.sampling import key_places
except ImportError:  # there was no compiler when the package was built
    key_places = None

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
        self._text = b"".join(self._keys.values())
        self._ends = np.cumsum([len(encoded) for encoded in self._keys.values()], dtype=np.int32)

    def find(self, attributes: pa.MapArray | pa.ListArray) -> Mapping[str, Found]:
        """The keys that occur in a column of ``map<string, string>``, or of attributes that are still serialized."""
        offsets = attributes.offsets.to_numpy()
        first, last = int(offsets[0]), int(offsets[-1])
        if not self._keys or first == last:
            return {}
        column = _column(attributes).slice(first, last - first)
        search = self._compared if key_places is None else self._walked
        found: dict[str, Found] = {}
        for key, places in search(column, serialized=is_serialized(attributes)):
            if len(places):
                entries = places + first
                found[key] = Found(*_values(attributes, pa.array(entries)), entries, offsets)
        return found

    def _walked(self, column: pa.Array, *, serialized: bool) -> Iterator[tuple[str, Places]]:
        assert key_places is not None
        offsets, data = _parts(column)
        places, which = np.empty(len(column), dtype=np.int32), np.empty(len(column), dtype=np.int32)
        count = key_places.find(offsets, data, serialized, self._text, self._ends, places, which)
        for number, key in enumerate(self._keys):
            yield key, places[:count][which[:count] == number].astype(np.int64)

    def _compared(self, column: pa.Array, *, serialized: bool) -> Iterator[tuple[str, Places]]:
        texts = _Texts.within(column) if serialized else _Texts.of(column)
        candidates = texts.of_lengths(self._lengths)
        for key, encoded in self._keys.items():
            yield key, texts.equal(candidates[len(encoded)], encoded)


def _values(attributes: pa.MapArray | pa.ListArray, entries: pa.Int64Array) -> tuple[Codes, pa.StringArray]:
    """Codes and texts of the values in some places. Texts that are serialized are parsed once each."""
    serialized = is_serialized(attributes)
    encoded = pc.dictionary_encode((attributes.values if serialized else attributes.items).take(entries))
    texts = texts_of(encoded.dictionary) if serialized else encoded.dictionary
    return encoded.indices.to_numpy(zero_copy_only=False), texts


def _column(attributes: pa.MapArray | pa.ListArray) -> pa.Array:
    """The flat column that has the keys, or begins with them."""
    if is_serialized(attributes):
        return attributes.values
    keys = attributes.keys
    return keys if pa.types.is_string(keys.type) else pc.cast(keys, pa.string())


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
