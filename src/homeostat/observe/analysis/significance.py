"""Whether two shares differ by more than chance. Used by ``differences``."""

import math
from collections.abc import Sequence
from functools import lru_cache

_FISHER_EXPECTED_MAX = 5.0
"""Where fewer are expected in a cell, the approximation of the G-test is too coarse (Cochran 1954)."""


def two_shares(hits_a: float, total_a: float, hits_b: float, total_b: float) -> float:
    """Two-sided p-value of "both groups have the same share", from counts (fractional for weighted samples).

    The G-test of independence (Sokal and Rohlf, Biometry, 17.4), and Fisher's exact test where a cell is small. A
    group without members says nothing: 1.
    """
    if total_a <= 0 or total_b <= 0:
        return 1.0
    total, hits = total_a + total_b, hits_a + hits_b
    expected = [group * share / total for group in (total_a, total_b) for share in (hits, total - hits)]
    if min(expected) < _FISHER_EXPECTED_MAX:
        return _fisher(round(hits_a), round(total_a), round(hits_b), round(total_b))
    observed = (hits_a, total_a - hits_a, hits_b, total_b - hits_b)
    g = 2 * sum(seen * math.log(seen / awaited) for seen, awaited in zip(observed, expected, strict=True) if seen > 0)
    return math.erfc(math.sqrt(max(0.0, g) / 2))  # chi-squared with one degree of freedom


def _fisher(hits_a: int, total_a: int, hits_b: int, total_b: int) -> float:
    """Fisher's exact test: all tables with these margins that are no more likely than the one at hand."""
    hits, total = hits_a + hits_b, total_a + total_b
    if total == 0:
        return 1.0
    base = _choose(total, hits)

    def log_p(in_a: int) -> float:
        return _choose(total_a, in_a) + _choose(total_b, hits - in_a) - base

    limit = log_p(min(hits_a, total_a)) + 1e-7  # rounding must not leave out the table itself
    lowest, highest = max(0, hits - total_b), min(hits, total_a)
    return min(1.0, sum(math.exp(p) for in_a in range(lowest, highest + 1) if (p := log_p(in_a)) <= limit))


@lru_cache(maxsize=65536)
def _choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """The q-value of each p-value: the false discovery rate at which it would just be accepted (1995)."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__, reverse=True)
    q_values = [1.0] * len(p_values)
    smallest = 1.0
    for position, index in enumerate(order):
        rank = len(p_values) - position
        smallest = min(smallest, p_values[index] * len(p_values) / rank)
        q_values[index] = smallest
    return q_values


def effective_size(weights: Sequence[float]) -> float:
    """How many equally weighted observations say as much as these (Kish 1965): never more than there are."""
    squares = sum(weight * weight for weight in weights)
    return sum(weights) ** 2 / squares if squares else 0.0
