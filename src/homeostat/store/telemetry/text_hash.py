"""A 64-bit hash of every text of a column, vectorised. Used by ``index`` and ``log_text`` for Bloom filters.

Segments keep what it computes, so it must never change: FNV-1a over little-endian 64-bit words (the last one padded
with zeros), begun with the length. Its low bits are weak: ``mix`` what is made of it.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

PADDING: Final = 8
"""Bytes that must follow what is hashed, whatever they are: it is read by the word."""

_FNV_OFFSET: Final = np.uint64(0xCBF29CE484222325)
_FNV_PRIME: Final = np.uint64(0x100000001B3)
_WORD: Final = 8
_LOW_BYTES: Final = np.array([(1 << 8 * count) - 1 for count in range(_WORD + 1)], dtype=np.uint64)


def mix(values: Hashes) -> Hashes:
    """SplitMix64's finalizer (Steele, Lea, Flood 2014): every input bit moves every output bit."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def distinct(hashes: Hashes) -> Hashes:
    """Each of them once, sorted. Of hashes ``np.unique`` takes several times as long."""
    ordered = np.sort(hashes)
    fresh = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=fresh[1:])
    return ordered[fresh]


def hash_texts(texts: pa.StringArray) -> Hashes:
    """One hash per text, shape ``(len(texts),)``. Nulls hash like the empty text."""
    count = len(texts)
    offsets_buffer, data = texts.buffers()[1:]
    if not count or offsets_buffer is None:
        return np.zeros(count, dtype=np.uint64)
    offsets = np.frombuffer(offsets_buffer, dtype=np.int32, count=count + 1, offset=texts.offset * 4).astype(np.int64)
    size = int(offsets[-1] - offsets[0])
    padded = np.zeros(size + PADDING, dtype=np.uint8)
    if data is not None and size:
        padded[:size] = np.frombuffer(data, dtype=np.uint8, count=size, offset=int(offsets[0]))
    return hash_stretches(padded, offsets[:-1] - offsets[0], np.diff(offsets))


def hash_stretches(padded: npt.NDArray[np.uint8], start: Places, length: Places) -> Hashes:
    """One hash per stretch of UTF-8, as ``hash_texts``. Behind the last stretch there must be ``PADDING`` bytes."""
    # A word may begin at any byte: a view with a stride of one byte gives all of them without a copy.
    words = np.ndarray((len(padded) - PADDING + 1,), dtype="<u8", buffer=padded, strides=(1,))
    hashes = (length.astype(np.uint64) ^ _FNV_OFFSET) * _FNV_PRIME
    first = words[start] & _LOW_BYTES[np.minimum(length, _WORD)]
    hashes = np.where(length > 0, (hashes ^ first) * _FNV_PRIME, hashes)
    active = np.flatnonzero(length > _WORD)
    position = _WORD
    while len(active):
        left = length[active] - position
        word = words[start[active] + position] & _LOW_BYTES[np.minimum(left, _WORD)]
        hashes[active] = (hashes[active] ^ word) * _FNV_PRIME
        position += _WORD
        active = active[left > _WORD]
    return hashes


def hash_text(text: str) -> int:
    """The hash of one text."""
    return int(hash_texts(pa.array([text], type=pa.string()))[0])
