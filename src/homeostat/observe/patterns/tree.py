"""Groups masked log texts into templates with Drain. Called by ``gather`` in a worker thread.

P. He, J. Zhu, Z. Zheng, M. R. Lyu: "Drain: An Online Log Parsing Approach with Fixed Depth Tree", ICWS 2017, with
what practice has added since: a first word with a digit in it, and those beyond ``_CHILDREN_MAX``, go together. A
text is held against all templates of its leaf at once, as numbers in an array. What that costs depends on how many
there are; texts that all differ would take for ever, and so the comparisons are counted, and end.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

_SIMILARITY: Final = 0.6
"""Share of equal words that makes two texts one pattern. Higher than the paper's, because variable parts have their
names already: "connection opened" and "connection closed" are two patterns."""

_CHILDREN_MAX: Final = 100
_ANY: Final = "<*>"
_ANY_CODE: Final = 0  # in a template
_NEVER: Final = -1  # in a text: a word that is written as ``_ANY`` is equal to nothing
_ROWS_FIRST: Final = 4

BUDGET: Final = 400_000_000
"""Comparisons of words for one question: a second or two of CPU time."""

Codes = npt.NDArray[np.int32]


@dataclass(slots=True)
class _Leaf:
    """Templates of one length (and one first word): a row of word codes each."""

    words: int
    rows: Codes = field(init=False)
    wild: npt.NDArray[np.int64] = field(init=False)  # how many words of each are variable
    numbers: list[int] = field(default_factory=list[int])  # of the templates, by row

    def __post_init__(self) -> None:
        self.rows = np.zeros((_ROWS_FIRST, self.words), dtype=np.int32)
        self.wild = np.zeros(_ROWS_FIRST, dtype=np.int64)

    def best(self, codes: Codes) -> int | None:
        """The row that shares most words with a text, of equals the one with more variable words; None: too few."""
        count = len(self.numbers)
        shared = (self.rows[:count] == codes).sum(axis=1)
        row = int((shared * (self.words + 1) + self.wild[:count]).argmax())
        return row if int(shared[row]) / self.words >= _SIMILARITY else None

    def add(self, codes: Codes, number: int) -> None:
        """A text becomes a template."""
        row = len(self.numbers)
        if row == len(self.rows):
            self.rows = np.concatenate([self.rows, np.zeros_like(self.rows)])
            self.wild = np.concatenate([self.wild, np.zeros_like(self.wild)])
        self.rows[row] = np.where(codes == _NEVER, _ANY_CODE, codes)
        self.wild[row] = np.count_nonzero(codes == _NEVER)
        self.numbers.append(number)

    def widen(self, row: int, codes: Codes) -> None:
        """What differs between a template and a text of it is variable."""
        template = self.rows[row]
        template[template != codes] = _ANY_CODE
        self.wild[row] = self.words - np.count_nonzero(template)


class _Tree:
    """Leaves by the number of words and the first word."""

    def __init__(self, budget: int) -> None:
        self.left = budget
        self._codes: dict[str, int] = {_ANY: _NEVER}
        self._spelled = [_ANY]
        self._leaves: dict[int, dict[str, _Leaf]] = {}
        self._where: list[tuple[_Leaf, int]] = []  # of each template: its leaf and row

    def number_of(self, text: str) -> int | None:
        """The number of the text's template; None when the budget is used up."""
        words = text.split()
        leaf = self._find(words)
        codes = np.array([self._code(word) for word in words], dtype=np.int32)
        if leaf is None:
            return self._add(words, codes)
        if not words:
            return leaf.numbers[0]
        self.left -= len(leaf.numbers) * (len(words) + 1)
        if self.left < 0:
            return None
        row = leaf.best(codes)
        if row is None:
            return self._add(words, codes)
        leaf.widen(row, codes)
        return leaf.numbers[row]

    def template(self, number: int) -> str:
        """As it is now."""
        leaf, row = self._where[number]
        return " ".join(self._spelled[code] for code in leaf.rows[row].tolist())

    def _code(self, word: str) -> int:
        code = self._codes.get(word)
        if code is None:
            code = self._codes[word] = len(self._spelled)
            self._spelled.append(word)
        return code

    def _find(self, words: Sequence[str]) -> _Leaf | None:
        leaves = self._leaves.get(len(words), {})
        if len(words) < 2:
            return leaves.get("")
        return leaves.get(words[0]) or leaves.get(_ANY)

    def _add(self, words: Sequence[str], codes: Codes) -> int:
        leaves = self._leaves.setdefault(len(words), {})
        key = _key(words[0], leaves) if len(words) > 1 else ""
        leaf = leaves.setdefault(key, _Leaf(len(words)))
        number = len(self._where)
        self._where.append((leaf, len(leaf.numbers)))
        leaf.add(codes, number)
        return number


def _key(word: str, leaves: dict[str, _Leaf]) -> str:
    """The leaf for a new template: its first word's own, or that of all others (which has its place kept)."""
    if word in leaves:
        return word
    if any(character.isdigit() for character in word):
        return _ANY
    return word if len(leaves) + (_ANY not in leaves) < _CHILDREN_MAX else _ANY


def templates_of(texts: Sequence[str], budget: int) -> tuple[list[str], int]:
    """The template of each text, and what is left of the budget (comparisons of words).

    The same texts in the same order have the same templates. Where the budget ends early, the answer is shorter than
    the texts: give the important ones first.
    """
    tree = _Tree(budget)
    numbers: list[int] = []
    for text in texts:
        number = tree.number_of(text)
        if number is None:
            break
        numbers.append(number)
    return [tree.template(number) for number in numbers], max(0, tree.left)
