"""Words of log bodies: what the index of a segment holds, and what a search for text means.

A word is a run of letters, digits and underscores, in lower case. A search for text asks for words, and for phrases
in quotes; each must occur as it stands, beginning and ending where a word does. Used by ``log_segment`` and
``log_search``; the very same splitting serves both, so that the index never misses.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.text_hash import PADDING, Hashes, distinct, hash_stretches, hash_texts

_BETWEEN: Final = r"[^\p{L}\p{N}_]+"  # RE2's, as all patterns for Arrow
_WORD: Final = r"[\p{L}\p{N}_]"
_PART: Final = re.compile(r'"([^"]*)"|(\S+)')
_QUOTED_MAX: Final = 64
"""Terms of one search; further ones are left out of the index's question, not of the search."""

_UNSAFE: Final = re.compile(r"([^\w\s]|_)", re.ASCII)

_LOWER_WORD: Final = np.array(
    [ord(letter.lower()) if (letter := chr(code)).isalnum() or letter == "_" else 0 for code in range(128)]
    + [0] * 128,
    np.uint8,
)
"""For each byte of ASCII that may stand in a word, its lower case; 0 for others."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TextFilter:
    """What a body must hold: every term."""

    terms: tuple[str, ...]  # in lower case

    @classmethod
    def of(cls, text: str) -> "TextFilter":
        """``refused "connection reset"``: the word and the phrase. What holds no word at all asks for nothing."""
        parts = [quoted or bare for quoted, bare in _PART.findall(_lower(pa.array([text]))[0].as_py())]
        return cls(tuple(dict.fromkeys(part.strip() for part in parts if words_of(part))))

    @property
    def words(self) -> list[str]:
        """Every word that a body must hold, for the index."""
        found = [word for term in self.terms for word in words_of(term)]
        return list(dict.fromkeys(found))[:_QUOTED_MAX]

    @property
    def patterns(self) -> list[str]:
        """What a body in lower case must match, each of them: RE2's syntax."""
        return [_bounded(term) for term in self.terms]

    def mask(self, bodies: pa.StringArray) -> Mask:
        """The rows whose body holds every term."""
        mask: Mask = np.ones(len(bodies), dtype=np.bool_)
        for term in self.terms:
            where = np.flatnonzero(mask)
            if not len(where):
                break
            left = _lower(bodies.take(pa.array(where)))
            mask[where] = pc.match_substring_regex(left, _bounded(term)).to_numpy(zero_copy_only=False)
        return mask


def words_of(text: str) -> list[str]:
    """The words of one text."""
    return [word for word in split(pa.array([text], pa.string())).values.to_pylist() if word]


def split(bodies: pa.StringArray) -> pa.ListArray:
    """The words of each body, some of them empty."""
    return pc.split_pattern_regex(_lower(bodies), pattern=_BETWEEN)


def _lower(texts: pa.StringArray) -> pa.StringArray:
    return pc.utf8_lower(texts)


def _bounded(term: str) -> str:
    """A pattern for the term, beginning and ending where a word does, if a word begins or ends it."""
    first, last = (bool(words_of(character)) for character in (term[0], term[-1]))
    before, behind = f"(?:^|[^{_WORD[1:-1]}])" if first else "", f"(?:$|[^{_WORD[1:-1]}])" if last else ""
    return f"(?s){before}{_UNSAFE.sub(_escaped, term)}{behind}"


def _escaped(match: re.Match[str]) -> str:
    return rf"\x{{{ord(match[0]):x}}}"


def word_hashes(bodies: pa.StringArray, bounds: Sequence[int]) -> list[Hashes]:
    """Hashes of the distinct words of each run of rows ``[bounds[i], bounds[i + 1])``, sorted."""
    return [_hashes_of(bodies.slice(start, stop - start)) for start, stop in pairwise(bounds)]


def _hashes_of(bodies: pa.StringArray) -> Hashes:
    """ASCII is split byte by byte, all bodies at once; what else a body may hold is left to RE2 and Unicode."""
    is_ascii = pc.fill_null(pc.string_is_ascii(bodies), True).to_numpy(zero_copy_only=False)
    if is_ascii.all():
        return distinct(_ascii_hashes(bodies))
    plain, other = bodies.filter(pa.array(is_ascii)), bodies.filter(pa.array(~is_ascii))
    words = pc.unique(split(other).flatten())
    found = hash_texts(words.filter(pc.not_equal(words, "")))
    return distinct(np.concatenate([_ascii_hashes(plain), found]))


def _ascii_hashes(bodies: pa.StringArray) -> Hashes:
    """The hash of each word of bodies that are ASCII."""
    _, offsets_buffer, data = bodies.buffers()
    if data is None or not len(bodies):
        return np.zeros(0, np.uint64)
    offsets = np.frombuffer(offsets_buffer, np.int32, len(bodies) + 1, 4 * bodies.offset).astype(np.int64)
    size = int(offsets[-1] - offsets[0])
    lowered = np.zeros(size + PADDING, np.uint8)
    _LOWER_WORD.take(np.frombuffer(data, np.uint8, size, int(offsets[0])), out=lowered[:size], mode="clip")
    inside = lowered[:size] != 0
    begins, ends = inside.copy(), inside.copy()
    begins[1:] &= ~inside[:-1]
    ends[:-1] &= ~inside[1:]
    firsts = (offsets[:-1] - offsets[0])[np.diff(offsets) > 0]  # no word goes on in the next body
    begins[firsts] = inside[firsts]
    ends[firsts[1:] - 1] = inside[firsts[1:] - 1]
    start = np.flatnonzero(begins)
    return hash_stretches(lowered, start, np.flatnonzero(ends) + 1 - start)
