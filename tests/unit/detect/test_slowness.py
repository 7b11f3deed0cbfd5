"""What all have in common is nobody's; what one has beyond it stands out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.detect.slowness import MARGIN, STARVED_MARGIN, Own, standing_out


def per_request(*added_ms: float, usual_ms: float = 10.0) -> dict[str, Own]:
    return {f"s{place}": Own(100 * added, 100, usual_ms) for place, added in enumerate(added_ms)}


def stands_out(own: dict[str, Own], margin: float = MARGIN) -> set[str]:
    return {name for name, ms in standing_out(own, set(own), margin).items() if ms > 0}


def test_one_slow_service_among_well_ones_keeps_all_that_it_has() -> None:
    own = per_request(0, 0, 450, 0)
    assert standing_out(own, set(own), MARGIN) == {"s0": 0, "s1": 0, "s2": 45_000, "s3": 0}


def test_where_all_are_slower_alike_nobody_stands_out() -> None:
    assert stands_out(per_request(50, 60, 45, 70, 55, 40)) == set()


@pytest.mark.parametrize("margin", [MARGIN, STARVED_MARGIN])
def test_who_is_far_slower_than_all_stands_out_alone(margin: float) -> None:
    assert stands_out(per_request(50, 60, 450, 70, 55, 40), margin) == {"s2"}


def test_who_computes_more_waits_more_and_that_is_no_trouble_of_its_own() -> None:
    own = per_request(50, 60, 45, 40) | {"heavy": Own(100 * 450, 100, 90.0)}
    assert stands_out(own) == set()


def test_two_sick_ones_both_stand_out_among_many() -> None:
    assert stands_out(per_request(20, 500, 30, 600, 25, 20, 30)) == {"s1", "s3"}


def test_two_services_alone_are_no_crowd_to_be_compared_with() -> None:
    assert stands_out(per_request(30, 450)) == {"s0", "s1"}


def test_neighbours_count_before_strangers() -> None:
    own = per_request(300, 310, 320, *[0.0] * 20)
    neighbours = {"s0", "s1", "s2"}
    assert not any(standing_out(own, neighbours, MARGIN)[name] for name in neighbours)


owns = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=2),
    st.builds(Own, st.floats(0, 1e6), st.floats(0, 1e4), st.floats(0, 1e3)),
    max_size=12,
)


@given(owns, st.floats(0, 10))
def test_nobody_gets_more_than_it_has_and_nobody_less_than_nothing(own: dict[str, Own], margin: float) -> None:
    found = standing_out(own, set(own), margin)
    assert found.keys() == own.keys()
    assert all(0.0 <= found[name] <= one.added_ms for name, one in own.items())


@given(st.floats(0.1, 1e4), st.integers(3, 12), st.floats(1, 100))
def test_the_same_slowness_of_everybody_is_never_anybodys(added: float, services: int, usual: float) -> None:
    assert stands_out(per_request(*[added] * services, usual_ms=usual)) == set()


@given(owns, st.floats(1, 5), st.floats(0, 5))
def test_a_larger_margin_never_lets_more_stand_out(own: dict[str, Own], margin: float, more: float) -> None:
    narrow, wide = standing_out(own, set(own), margin), standing_out(own, set(own), margin + more)
    assert all(wide[name] <= narrow[name] + 1e-6 for name in own)
