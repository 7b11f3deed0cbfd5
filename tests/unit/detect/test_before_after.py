"""Worse than before the act, not recovered from before it, well, or unknown: one share in three windows."""

import random
from dataclasses import replace
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.binomial import is_higher
from homeostat.core.dependents import DependentState
from homeostat.detect.before_after import REQUESTS_MIN, WORSE_ALPHA, Count, Sides, compare

ALLOWED = 0.025
WORSE, NOT_RECOVERED = DependentState.WORSE, DependentState.NOT_RECOVERED
WELL, UNKNOWN = DependentState.WELL, DependentState.UNKNOWN

NOTHING = Count()
USUAL = Count(12, 4000)  # 0.3 %


def state(before: Count, during: Count, after: Count, allowed: float = ALLOWED) -> DependentState:
    return compare(Sides(before, during, after), allowed, WORSE_ALPHA)


@pytest.mark.parametrize(
    ("before", "during", "after", "expected"),
    [
        (USUAL, Count(0, 60), Count(0, 60), WELL),
        (USUAL, Count(0, 60), Count(21, 150), WORSE),  # 14 % since the act, 0.3 % before
        (USUAL, Count(0, 60), Count(1, 25), WELL),  # one error is no harm
        (USUAL, Count(18, 60), Count(45, 150), NOT_RECOVERED),  # 30 % in the incident already
        (USUAL, Count(18, 60), Count(120, 150), WORSE),  # 30 % in the incident, 80 % since the act
        (USUAL, Count(18, 60), Count(1, 150), WELL),
        (USUAL, NOTHING, Count(60, 150), NOT_RECOVERED),  # at once: what the incident did to it is not known
        (USUAL, Count(0, 2), Count(60, 150), NOT_RECOVERED),  # two requests a second, an act a second later
        (USUAL, Count(5, 5), Count(21, 150), NOT_RECOVERED),  # a second of a crash: few requests, all bad
        (NOTHING, Count(0, 60), Count(21, 150), WORSE),
        (NOTHING, Count(18, 60), Count(45, 150), UNKNOWN),  # nobody knows what was usual
        (NOTHING, NOTHING, Count(150, 150), UNKNOWN),
        (USUAL, Count(0, 60), NOTHING, UNKNOWN),
        (USUAL, Count(0, 60), Count(REQUESTS_MIN - 1, REQUESTS_MIN - 1), UNKNOWN),
        (Count(200, 4000), Count(3, 60), Count(10, 150), WELL),  # it has always failed at 5 %
    ],
)
def test_it_is_compared_with_what_was_before(
    before: Count, during: Count, after: Count, expected: DependentState
) -> None:
    assert state(before, during, after) is expected


def test_an_objective_that_allows_more_is_not_missed_and_one_that_allows_less_is() -> None:
    before, after = Count(40, 40_000), Count(40, 4_000)  # 0.1 % and 1 %
    assert state(before, Count(0, 60), after, allowed=0.05) is WELL
    assert state(before, Count(0, 60), after, allowed=0.005) is WORSE


def test_after_a_crash_nobody_is_measured_by_the_time_before_it() -> None:
    unharmed = Sides(USUAL, Count(0, 60), Count(60, 150))
    assert compare(unharmed, ALLOWED, WORSE_ALPHA) is WORSE
    assert compare(unharmed, ALLOWED, WORSE_ALPHA, crashed=True) is NOT_RECOVERED
    harmed = Sides(USUAL, Count(18, 60), Count(120, 150))  # also by how it was without what crashed
    assert compare(harmed, ALLOWED, WORSE_ALPHA, crashed=True) is WORSE


def test_who_was_slow_already_is_worse_only_when_it_is_slower_still() -> None:
    sides = Sides(Count(0, 1000), Count(95, 100), Count(100, 100))  # all of it beyond the usual limit, twice
    no_slower = Sides(NOTHING, Count(5, 100), Count(6, 100))
    slower = Sides(NOTHING, Count(5, 100), Count(80, 100))
    assert compare(sides, 0.05, WORSE_ALPHA, no_slower) is NOT_RECOVERED
    assert compare(sides, 0.05, WORSE_ALPHA, slower) is WORSE


counts = st.integers(0, 400).flatmap(lambda total: st.builds(Count, st.integers(0, total), st.just(total)))
sides_of_a_share = st.builds(Sides, counts, counts, counts)
allowances = st.sampled_from([0.0001, 0.005, 0.025, 0.05, 0.5])


@given(counts, counts, allowances)
def test_no_traffic_since_the_act_is_unknown(before: Count, during: Count, allowed: float) -> None:
    assert state(before, during, NOTHING, allowed) is UNKNOWN


@given(counts, allowances)
def test_nothing_to_compare_with_is_never_harm(after: Count, allowed: float) -> None:
    assert state(NOTHING, NOTHING, after, allowed) is UNKNOWN


@given(sides_of_a_share, allowances)
def test_what_is_allowed_is_never_harm(sides: Sides, allowed: float) -> None:
    found = compare(sides, allowed, WORSE_ALPHA)
    if sides.after.share <= allowed:
        assert found in {WELL, UNKNOWN}


@given(sides_of_a_share, allowances)
def test_a_share_that_did_not_rise_is_never_worse(sides: Sides, allowed: float) -> None:
    reference = sides.reference(allowed)
    if compare(sides, allowed, WORSE_ALPHA) is WORSE:
        assert reference is not None
        assert sides.after.share > reference.share


@given(sides_of_a_share, allowances, st.integers(1, 50))
def test_more_bad_requests_after_the_act_never_make_it_better(sides: Sides, allowed: float, more: int) -> None:
    rank = {WELL: 0, UNKNOWN: 1, NOT_RECOVERED: 1, WORSE: 2}
    after = sides.after
    worse = replace(sides, after=Count(min(after.total, after.bad + more), after.total))
    assert rank[compare(worse, allowed, WORSE_ALPHA)] >= rank[compare(sides, allowed, WORSE_ALPHA)]


def test_chance_alone_hardly_ever_looks_like_harm() -> None:
    """A service that fails at the very share that it is allowed, before and after: at most twice the stated odds."""
    chance, trials = random.Random(11), 3_000

    def draw(total: int) -> Count:
        return Count(sum(chance.random() < ALLOWED for _ in range(total)), total)

    harmed = sum(state(draw(300), draw(40), draw(120)) is WORSE for _ in range(trials))
    assert harmed <= 2 * WORSE_ALPHA * trials


@settings(deadline=None)
@given(counts, counts, st.sampled_from([0.05, 0.001, 0.00001]))
def test_the_comparison_of_two_shares_is_that_of_exact_arithmetic(one: Count, other: Count, alpha: float) -> None:
    hits, total = one.bad + other.bad, one.total + other.total
    higher = bool(one.total and other.total) and one.bad * other.total > other.bad * one.total
    ways = sum(comb(one.total, k) * comb(other.total, hits - k) for k in range(one.bad, min(one.total, hits) + 1))
    exact = Fraction(ways, comb(total, hits))
    if abs(float(exact) - alpha) > alpha * 1e-6:
        assert is_higher(one.bad, one.total, other.bad, other.total, alpha) == (higher and exact < alpha)


def test_millions_of_requests_are_compared_at_once() -> None:
    assert is_higher(60_000, 1_000_000, 50_000, 1_000_000, 1e-6)
    assert not is_higher(50_010, 1_000_000, 50_000, 1_000_000, 1e-6)
