"""What sets one group of traces apart from another, and where the time of many goes."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.analysis import FeatureKind, Split
from homeostat.core.models import Trace
from homeostat.observe.analysis.bottlenecks import bottlenecks
from homeostat.observe.analysis.differences import differences
from homeostat.observe.analysis.population import judged_ms, weighted_quantile
from homeostat.observe.analysis.significance import benjamini_hochberg, effective_size, two_shares
from support.traces import a_span, a_trace


def _order(number: int, *, shard: str, slow: bool, probability: float = 1.0, **more: str) -> Trace:
    return a_trace(
        a_span(1, name="buy", ms=300 if slow else 40, attributes={"order": f"o-{number}", **more}),
        a_span(2, 1, "db", "SELECT", at=5, ms=270 if slow else 10, attributes={"shard": shard}),
        number=number,
        probability=probability,
    )


def test_the_attribute_behind_the_slowness_comes_first() -> None:
    chance = random.Random(1)
    slow = [_order(n, shard="7", slow=True, region=chance.choice("abc")) for n in range(100)]
    rest = [_order(n, shard=str(n % 8), slow=False, region=chance.choice("abc")) for n in range(100, 300)]
    found = differences(slow, rest, Split.LATENCY, threshold_ms=300)
    first = found.differences[0]
    assert (first.kind, first.service, first.key, first.value) == (FeatureKind.ATTRIBUTE, "db", "shard", "7")
    assert first.significant
    assert first.affected_share == 1.0
    assert first.baseline_share == 0.125
    assert not any(entry.significant for entry in found.differences if entry.key == "region")
    assert not any(entry.key == "order" and entry.relation == "=" for entry in found.differences)
    assert (found.operations[0].operation, round(found.operations[0].delta_self_ms)) == ("SELECT", 260)


def test_shares_are_of_the_traces_that_the_kept_ones_stand_for() -> None:
    affected = [_order(n, shard="7", slow=True) for n in range(40)]
    kept = [_order(n, shard="7", slow=False) for n in range(100, 110)]
    sampled = [_order(n, shard="1", slow=False, probability=0.1) for n in range(200, 290)]
    found = differences(affected, [*kept, *sampled], Split.LATENCY)
    shard = next(entry for entry in found.differences if entry.value == "7")
    assert found.baseline.weight == pytest.approx(910)
    assert shard.baseline_share == pytest.approx(10 / 910)


def test_an_operation_and_a_failure_are_features_too() -> None:
    failed = [a_trace(a_span(1, error=True), a_span(2, 1, "bank", "charge", error=True), number=n) for n in range(30)]
    fine = [a_trace(a_span(1), number=n) for n in range(100, 160)]
    told = {(entry.kind.value, entry.key) for entry in differences(failed, fine, Split.ERRORS).differences}
    assert {("operation", "charge"), ("error", "charge"), ("error", "GET /")} <= told


def test_numbers_are_compared_by_size() -> None:
    large = [a_trace(a_span(1, attributes={"items": str(500 + n)}), number=n) for n in range(40)]
    small = [a_trace(a_span(1, attributes={"items": str(n)}), number=n) for n in range(100, 160)]
    found = [entry for entry in differences(large, small, Split.LATENCY).differences if entry.key == "items"]
    assert len(found) == 1
    assert found[0].relation == ">="
    assert found[0].separation > 0.7


def test_without_traces_on_a_side_nothing_is_claimed() -> None:
    found = differences([], [_order(1, shard="1", slow=False)], Split.LATENCY)
    assert not any(entry.significant for entry in found.differences)
    assert found.affected.mean_ms is None
    assert "nothing to compare" in found.notes[0]


def test_chance_alone_is_rarely_called_a_difference() -> None:
    chance = random.Random(7)

    def noise(n: int) -> Trace:
        attributes = {f"key{k}": chance.choice("abcd") for k in range(30)}
        return a_trace(a_span(1, attributes=attributes), number=n)

    found = differences([noise(n) for n in range(100)], [noise(n) for n in range(100)], Split.TIME, limit=200)
    assert len(found.differences) > 60
    assert sum(entry.significant for entry in found.differences) <= 2


def test_bottlenecks_are_ranked_by_weighted_self_time() -> None:
    traces = [_order(n, shard="1", slow=n < 5, probability=1.0 if n < 5 else 0.1) for n in range(25)]
    first, second = bottlenecks(traces).bottlenecks
    assert (first.operation, second.operation) == ("buy", "SELECT")
    assert first.self_ms == pytest.approx(5 * 30 + 200 * 30)
    assert second.self_ms == pytest.approx(5 * 270 + 200 * 10)
    assert second.traces == pytest.approx(205)
    assert second.self_p95_ms == 10
    assert second.example_trace_ids[0] in {trace.trace_id for trace in traces[:5]}
    assert first.self_share + second.self_share == pytest.approx(1)


def test_how_long_a_trace_took_depends_on_what_is_asked() -> None:
    trace = _order(1, shard="1", slow=True)
    assert judged_ms(trace, None, None) == 300
    assert judged_ms(trace, "db", None) == 270
    assert judged_ms(trace, "db", "INSERT") == 0


# Fisher's own example: eight cups, four of each kind, three of four told rightly (The Design of Experiments, 1935).
def test_the_lady_tasting_tea() -> None:
    assert two_shares(3, 4, 1, 4) == pytest.approx(34 / 70)
    assert two_shares(4, 4, 0, 4) == pytest.approx(2 / 70)


def test_the_g_test_agrees_with_its_definition() -> None:
    table = [[60, 40], [40, 60]]
    g = 2 * sum(seen * math.log(seen / 50) for row in table for seen in row)
    assert two_shares(60, 100, 40, 100) == pytest.approx(math.erfc(math.sqrt(g / 2)))


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 60), st.integers(1, 60))
def test_a_p_value_is_a_probability_and_has_no_sides(a: int, b: int, more_a: int, more_b: int) -> None:
    p = two_shares(a, a + more_a, b, b + more_b)
    assert 0 <= p <= 1
    assert two_shares(b, b + more_b, a, a + more_a) == pytest.approx(p)


def test_q_values_are_those_of_the_paper() -> None:
    # Benjamini and Hochberg 1995, section 4: of these fifteen, four are found at a rate of 5 %.
    p = [
        0.0001,
        0.0004,
        0.0019,
        0.0095,
        0.0201,
        0.0278,
        0.0298,
        0.0344,
        0.0459,
        0.3240,
        0.4262,
        0.5719,
        0.6528,
        0.7590,
        1,
    ]
    q = benjamini_hochberg(p)
    assert sum(value <= 0.05 for value in q) == 4
    assert q == sorted(q)


@given(st.lists(st.floats(0, 1), max_size=30))
def test_a_q_value_is_never_below_its_p_value(p_values: list[float]) -> None:
    assert all(q >= p - 1e-12 for p, q in zip(p_values, benjamini_hochberg(p_values), strict=True))


def test_equal_weights_count_fully_and_one_heavy_weight_hardly() -> None:
    assert effective_size([3.0] * 50) == pytest.approx(50)
    assert effective_size([1000.0, *[1.0] * 10]) < 1.1
    assert effective_size([]) == 0


def test_a_weighted_quantile_counts_what_a_value_stands_for() -> None:
    assert weighted_quantile([1, 2, 3], [1, 1, 98], 0.5) == 3
    assert weighted_quantile([1, 2, 3], [98, 1, 1], 0.5) == 1
    with pytest.raises(ValueError, match="nothing"):
        weighted_quantile([], [], 0.5)
