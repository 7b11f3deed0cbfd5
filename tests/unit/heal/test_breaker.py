"""The breaker opens, pauses, lets one trial through, and needs nothing but the journal to know its state."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.config import LimitConfig
from homeostat.core.models import EffectClass, PlanStep, Run, RunStatus
from homeostat.heal.breaker import PAUSE, breaker_state
from support.runs import T0

LIMITS = LimitConfig()


def a_run(minute: float, status: RunStatus) -> Run:
    at = T0 + timedelta(minutes=minute)
    finished = None if status in (RunStatus.INTENT, RunStatus.ACTED) else at
    return Run(
        id=f"run-{minute}",
        incident_id="incident-1",
        issue_id="issue-1",
        plan_id="plan-1",
        plan_digest="d",
        step=PlanStep(action="cure", resource="thing:1", why="because", confidence=0.9),
        effect=EffectClass.IDEMPOTENT,
        status=status,
        created_at=at,
        intent_at=at,
        finished_at=finished,
    )


GOOD, FAILED, UNDONE = RunStatus.VERIFIED, RunStatus.FAILED, RunStatus.UNDONE


def state(outcomes: list[RunStatus], minute: float) -> tuple[bool, bool]:
    runs = [a_run(number / 10, status) for number, status in enumerate(outcomes)]
    found = breaker_state(runs, T0 + timedelta(minutes=minute), LIMITS)
    return found.open, found.half_open


def test_few_runs_never_open_it() -> None:
    assert state([FAILED] * 4, 1) == (False, False)


def test_three_failures_in_ten_open_it_and_two_do_not() -> None:
    assert state([GOOD] * 8 + [UNDONE] * 2, 1) == (False, False)
    assert state([GOOD] * 7 + [UNDONE] * 3, 1) == (True, False)


def test_after_the_pause_one_trial_is_allowed() -> None:
    failures = [FAILED] * 5
    assert state(failures, 2) == (True, False)
    assert state(failures, 0.4 + PAUSE.total_seconds() / 60 + 0.1) == (False, True)


def test_while_the_trial_runs_nothing_else_may() -> None:
    runs = [a_run(n / 10, FAILED) for n in range(5)] + [a_run(6, RunStatus.ACTED)]
    assert breaker_state(runs, T0 + timedelta(minutes=7), LIMITS).open


def test_a_trial_that_helps_closes_it_and_one_that_fails_opens_it_anew() -> None:
    failures = [a_run(n / 10, FAILED) for n in range(5)]
    after = breaker_state([*failures, a_run(6, GOOD)], T0 + timedelta(minutes=7), LIMITS)
    assert not after.open
    assert not after.half_open
    after = breaker_state([*failures, a_run(6, FAILED)], T0 + timedelta(minutes=7), LIMITS)
    assert after.open
    after = breaker_state([*failures, a_run(6, FAILED)], T0 + timedelta(minutes=12), LIMITS)
    assert after.half_open


def test_an_hour_later_all_is_forgotten() -> None:
    assert state([FAILED] * 20, 75) == (False, False)


@given(st.lists(st.sampled_from([GOOD, FAILED, UNDONE]), max_size=40), st.floats(0, 100), st.randoms())
def test_the_order_in_which_the_journal_answers_does_not_matter(
    outcomes: list[RunStatus], minute: float, chance: object
) -> None:
    runs = [a_run(number / 10, status) for number, status in enumerate(outcomes)]
    now = T0 + timedelta(minutes=minute)
    expected = breaker_state(runs, now, LIMITS)
    assert breaker_state(list(reversed(runs)), now, LIMITS) == expected
    assert not (expected.open and expected.half_open)
