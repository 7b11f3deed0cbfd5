"""An objective is evaluated from its minutes: budget, burn rates, alerts, forecast, history, and what is unknown."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slo_parts import NOW, NOW_S, an_slo

from homeostat.core.models import Severity
from homeostat.core.red import bucket_upper_ms, share_within
from homeostat.core.slo import BurnRule, Slo, SloState, SloStatus
from homeostat.observe.slo.evaluate import compatible_budget, evaluate, history, state_of, true_budget
from homeostat.observe.slo.minutes import MinuteCounts, Minutes
from homeostat.observe.slo.windows import duration_text, rules_of

JUST_BEFORE = NOW - timedelta(seconds=1)  # the last second of a minute: every window is whole minutes
NOW_MINUTE = NOW_S // 60
MONTH = 30 * 24 * 60


def month(bad: np.ndarray | float, total: np.ndarray | float, minutes: int = MONTH) -> Minutes:
    """Minutes up to now, every one with these events."""
    kept = Minutes(MONTH + 1)
    at = np.arange(NOW_MINUTE - minutes, NOW_MINUTE, dtype=np.int64) * 60
    counts = MinuteCounts(
        at, np.broadcast_to(bad, minutes).astype(float), np.broadcast_to(total, minutes).astype(float)
    )
    kept.replace(NOW_MINUTE - minutes, NOW_MINUTE, counts)
    return kept


def judged(minutes: Minutes, slo: Slo | None = None) -> SloStatus:
    return evaluate(slo or an_slo(), minutes, JUST_BEFORE, covered_s=30 * 86_400)


def test_without_an_event_everything_is_unknown() -> None:
    found = judged(Minutes(MONTH))
    assert found.state is SloState.UNKNOWN
    assert (found.current, found.error_budget_remaining, found.error_budget_true_remaining) == (None, None, None)
    assert {rate.rate for rate in found.burn_rates} == {None}
    assert {alert.firing for alert in found.alerts} == {None}
    assert found.exhausted_in_s is None


def test_exactly_at_the_target_the_true_budget_is_spent_while_the_compatible_one_is_whole() -> None:
    found = judged(month(bad=0.1, total=100))
    assert found.current == pytest.approx(0.999)
    assert found.state is SloState.HEALTHY
    assert found.error_budget_remaining == pytest.approx(100)
    assert found.error_budget_true_remaining == pytest.approx(0, abs=1e-6)
    assert all(rate.rate == pytest.approx(1, rel=1e-6) for rate in found.burn_rates)


@pytest.mark.parametrize(
    ("current", "state", "remaining"),
    [
        (99.95, SloState.HEALTHY, 100.0),
        (99.9, SloState.HEALTHY, 100.0),
        (99.85, SloState.WARNING, 50.0),
        (99.4, SloState.WARNING, 0.0),
        (99.39, SloState.CRITICAL, 0.0),
        (98.9, SloState.CRITICAL, 0.0),
        (98.89, SloState.BREACHED, 0.0),
    ],
)
def test_states_and_the_compatible_budget_follow_the_documented_rule(
    current: float, state: SloState, remaining: float
) -> None:
    assert state_of(current / 100, 0.999) is state
    assert compatible_budget(current / 100, 0.999) == pytest.approx(remaining, abs=1e-4)


def test_the_budget_counts_events_and_not_time() -> None:
    bad, total = np.zeros(MONTH), np.full(MONTH, 10.0)
    total[0], bad[0] = 10_000, 1_000  # one busy minute
    found = judged(month(bad, total))
    assert found.total == 10_000 + 10 * (MONTH - 1)
    assert found.error_budget_true_remaining == pytest.approx(1 - 1_000 / (0.001 * found.total))


def test_a_fast_burn_fires_the_page_and_only_with_both_windows() -> None:
    bad = np.zeros(MONTH)
    bad[-60:] = 2  # 2 % of the last hour: 20 times too fast
    found = judged(month(bad, 100.0))
    firing = {alert.rule.name: alert.firing for alert in found.alerts}
    assert firing["page 14.4x 1h/5m"] is True
    bad[-5:] = 0  # it has stopped
    found = judged(month(bad, 100.0))
    assert found.alerts[0].long_rate == pytest.approx(55 * 2 / 6_000 / 0.001)
    assert found.alerts[0].firing is False


def test_a_short_window_without_events_leaves_a_burning_rule_open() -> None:
    bad, total = np.zeros(MONTH), np.full(MONTH, 100.0)
    bad[-60:] = 5
    bad[-5:] = total[-5:] = 0
    assert judged(month(bad, total)).alerts[0].firing is None


def test_the_windows_of_the_standard_table_scale_with_the_objective() -> None:
    week = rules_of(an_slo(window=timedelta(days=7)))
    assert [(rule.long_window_s // 60, rule.short_window_s // 60, rule.factor) for rule in week] == [
        (14, 1, 14.4),
        (84, 7, 6.0),
        (336, 28, 3.0),
        (1008, 84, 1.0),
    ]
    own = BurnRule(severity=Severity.LOW, long_window_s=7200, short_window_s=600, factor=2)
    assert [rule.name for rule in rules_of(an_slo(rules=(own,)))] == ["alert 2x 2h/10m"]


def test_the_forecast_says_when_the_budget_is_spent() -> None:
    bad = np.zeros(MONTH)
    bad[-60:] = 1  # 60 of the 4,320 that are allowed; one more a minute
    found = judged(month(bad, 100.0))
    assert found.exhausted_in_s == (4_320 - 60) * 60
    assert judged(month(0.05, 100.0)).exhausted_in_s is None  # half the allowance, for ever
    assert judged(month(0.2, 100.0)).exhausted_in_s == 0.0
    bad[:] = 0
    assert judged(month(bad, 100.0)).exhausted_in_s is None


def test_the_forecast_knows_that_old_trouble_leaves_the_window() -> None:
    bad = np.zeros(MONTH)
    bad[:4_000] = 1  # leaves as fast as the new trouble comes
    bad[-60:] = 1
    found = judged(month(bad, 100.0))
    assert found.exhausted_in_s is not None
    assert found.exhausted_in_s > 4_000 * 60


def test_time_slices_count_time_and_not_events() -> None:
    slo = an_slo(target=0.9, slice_target=0.95, slice_s=300)
    bad, total = np.zeros(MONTH), np.full(MONTH, 100.0)
    bad[-5] = 26  # 26 of 500: this slice holds 94.8 %
    bad[-10] = 24  # 24 of 500: this one 95.2 %
    total[:100] = bad[:100] = 0  # 20 slices without events count neither way
    found = judged(month(bad, total), slo)
    assert found.total == MONTH / 5 - 20
    assert found.total - found.good == 1


def test_the_history_burns_down_to_the_present_budget() -> None:
    bad = np.zeros(MONTH)
    bad[MONTH // 2] = 1_000
    minutes = month(bad, 100.0)
    points = history(an_slo(), minutes, JUST_BEFORE, 6 * 3600, lambda start, end: end - start)
    assert len(points) == 120
    assert points[0].budget_remaining == pytest.approx(1)
    assert points[-1].budget_remaining == pytest.approx(judged(minutes).error_budget_true_remaining)
    assert sum(point.total or 0 for point in points) == pytest.approx(judged(minutes).total)
    assert points[0].time == NOW - timedelta(days=30)


def test_steps_in_which_nobody_was_counting_are_unknown() -> None:
    minutes = month(0.0, 100.0, minutes=60)
    points = history(an_slo(), minutes, JUST_BEFORE, 3600, lambda start, end: max(0.0, end - (NOW_S - 3600)))
    assert {(point.good, point.total, point.budget_remaining) for point in points[:-1]} == {(None, None, None)}
    assert points[-1].total == 6_000


def test_what_is_kept_rolls_on_with_time() -> None:
    minutes = Minutes(10)
    for minute in range(1_000_000, 1_000_900):
        counts = MinuteCounts(np.array([minute * 60]), np.array([1.0]), np.array([float(minute % 7 + 1)]))
        minutes.replace(minute, minute + 1, counts)
        columns = minutes.columns(minute - 9, minute + 1)
        expected = [float(one % 7 + 1) if one >= 1_000_000 else 0.0 for one in range(minute - 9, minute + 1)]
        assert columns.total.tolist() == expected


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.floats(0.5, 0.9999))
def test_the_true_budget_is_one_minus_bad_over_allowed(total: int, bad: int, target: float) -> None:
    bad = min(bad, total)
    kept = true_budget(bad, total, target)
    assert kept is not None
    assert kept <= 1
    assert (kept >= 0) == (bad <= (1 - target) * total * (1 + 1e-12))


@given(st.floats(0.01, 200_000))
def test_a_threshold_divides_its_bucket_in_proportion(threshold_ms: float) -> None:
    shares = share_within(threshold_ms)
    index = int((shares == 1).sum())
    lower = bucket_upper_ms(index - 1) if index else 0.0
    assert 0 <= shares[index] < 1
    assert lower + shares[index] * (bucket_upper_ms(index) - lower) == pytest.approx(threshold_ms)
    assert not shares[index + 1 :].any()


def test_durations_are_written_in_their_largest_unit() -> None:
    assert [duration_text(s) for s in (60, 300, 3600, 5400, 86_400, 30 * 86_400)] == [
        "1m",
        "5m",
        "1h",
        "90m",
        "1d",
        "30d",
    ]
