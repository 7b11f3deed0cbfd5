"""The bounds are exact: checked against sums of whole numbers and against published values."""

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.binomial import is_above, is_below, lower_bound, surprise, tail_at_least


def exact_tail(hits: int, total: int, share: Fraction) -> float:
    terms = (comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(hits, total + 1))
    return float(sum(terms, Fraction(0)))


counts = st.integers(1, 120).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


@settings(deadline=None)  # a busy machine is not a wrong answer
@given(counts, st.integers(1, 99))
def test_the_tail_is_that_of_exact_arithmetic(count: tuple[int, int], percent: int):
    hits, total = count
    assert tail_at_least(hits, total, percent / 100) == pytest.approx(
        exact_tail(hits, total, Fraction(percent, 100)), rel=1e-9, abs=1e-12
    )


def upper_bound(hits: int, total: int, confidence: float) -> float:
    """What is no hit is bounded from below."""
    return 1.0 - lower_bound(total - hits, total, confidence)


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [(4, 20, 0.0573, 0.4366), (10, 100, 0.0490, 0.1762), (1, 10, 0.0025, 0.4450), (5, 10, 0.1871, 0.8129)],
)
def test_the_bounds_are_the_published_ones_of_clopper_and_pearson(hits: int, total: int, low: float, high: float):
    """Two-sided 95 % intervals: each side at 97.5 %."""
    assert lower_bound(hits, total, 0.975) == pytest.approx(low, abs=5e-5)
    assert upper_bound(hits, total, 0.975) == pytest.approx(high, abs=5e-5)


@settings(deadline=None)  # a busy machine is not a wrong answer
@given(counts, st.sampled_from([0.9, 0.95, 0.995, 0.9999]))
def test_the_bounds_enclose_the_observed_share(count: tuple[int, int], confidence: float):
    hits, total = count
    assert lower_bound(hits, total, confidence) <= hits / total <= upper_bound(hits, total, confidence)


@settings(deadline=None)  # a busy machine is not a wrong answer
@given(counts, st.sampled_from([0.02, 0.05, 0.3]), st.sampled_from([0.1, 0.005, 0.0001]))
def test_the_quick_comparison_agrees_with_the_bound(count: tuple[int, int], share: float, alpha: float):
    hits, total = count
    assert is_above(hits, total, share, alpha) == (lower_bound(hits, total, 1 - alpha) > share + 1e-12)
    assert is_below(hits, total, share, alpha) == (upper_bound(hits, total, 1 - alpha) < share - 1e-12)


def test_without_observations_nothing_is_above_and_nothing_below():
    assert lower_bound(0, 0, 0.99) == 0.0
    assert not is_above(0, 0, 0.05, 0.1)
    assert not is_below(0, 0, 0.05, 0.1)


def test_large_counts_stay_finite_and_fast():
    assert tail_at_least(50_500, 1_000_000, 0.05) == pytest.approx(0.0110, abs=5e-4)  # normal: z = 2.294 -> 0.0109
    assert lower_bound(1_000, 1_000_000, 0.995) == pytest.approx(0.000921, abs=3e-6)


@settings(deadline=None)  # a busy machine is not a wrong answer
@given(counts, st.integers(0, 50), st.integers(0, 5_000))
def test_surprise_is_a_probability_and_falls_with_more_hits(count: tuple[int, int], past_hits: int, more: int):
    hits, total = count
    past_total = past_hits + more
    here = surprise(hits, total, past_hits, past_total)
    assert 0.0 <= here <= 1.0
    if hits < total:
        assert surprise(hits + 1, total, past_hits, past_total) <= here + 1e-12


def test_a_short_past_makes_nothing_surprising_and_a_long_clean_one_makes_five_errors_so():
    assert surprise(5, 48, 0, 0) > 0.1
    assert surprise(5, 48, 0, 5_000) < 1e-9
    assert surprise(5, 48, 150, 5_000) > 1e-3  # it has always failed at 3 %


def test_with_an_endless_past_surprise_is_the_binomial_tail():
    assert surprise(8, 100, 30_000, 1_000_000) == pytest.approx(tail_at_least(8, 100, 0.03), rel=1e-2)
