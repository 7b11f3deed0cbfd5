"""Policies that raise: nothing is lost, memory stays bounded, and what is kept for it says so."""

import logging

import pytest

from homeostat.core.sampling import DECISION_FAILED
from homeostat.observe.sampling.sampler import FAILURES_MAX, Kept, Sampler
from homeostat.observe.sampling.verdict import Verdicts
from support.sampled import P, decided, policy, sampler, span_ids, spans

NOTHING = policy("probabilistic", "nothing", sampling_percentage=0)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """While its entry is True policies raise."""
    state, real = [True], Verdicts.decide

    def decide(self: Verdicts, *given: object, **named: object) -> object:
        if state[0]:
            raise ArithmeticError("a policy of no use")
        return real(self, *given, **named)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(Verdicts, "decide", decide)
    return state


def _tried(by: Sampler, now_s: float) -> Kept | None:
    try:
        return by.due(now_s)
    except ArithmeticError:
        return None


def test_what_is_due_is_kept_with_a_reason_of_its_own_after_a_few_failures(
    broken: list[bool], caplog: pytest.LogCaptureFixture
) -> None:
    by = sampler(NOTHING)
    by.take(spans(P(1), P(2), P(2, 2, 1)), 1, 1, 0.0)
    for attempt in range(1, FAILURES_MAX):
        with pytest.raises(ArithmeticError):
            by.due(10.0 + attempt)
        assert sorted(span_ids(by.pending_tables())) == [(1, 1), (2, 1), (2, 2)], "all of it is still held"
        assert by.oldest_pending_seq() == 1, "and in the log"
    made = by.due(20.0)
    assert made is not None
    assert decided(made) == {1: (1.0, DECISION_FAILED), 2: (1.0, DECISION_FAILED)}
    assert by.pending_traces == 0
    assert by.counters.traces_kept_undecided == 2
    for number in range(3, 50):  # from now on without waiting, and without a word in the log
        by.take(spans(P(number)), number, number, 20.0 + number)
        made = by.due(30.0 + number)
        assert decided(made) == {number: (1.0, DECISION_FAILED)}
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    late = by.take(spans(P(1, 9, 1)), 60, 60, 100.0)
    assert late is not None
    assert late.num_rows == 1, "late spans go the same way"


def test_policies_that_work_again_decide_again(broken: list[bool], caplog: pytest.LogCaptureFixture) -> None:
    by = sampler(NOTHING)
    for number in range(1, FAILURES_MAX + 1):
        by.take(spans(P(number)), number, number, 10.0 * number)
        _tried(by, 10.0 * number + 5)
    assert by.counters.traces_kept_undecided == FAILURES_MAX
    broken[0] = False
    by.take(spans(P(10)), 10, 10, 100.0)
    made = by.due(105.0)
    assert made is not None
    assert (made.traces_kept, made.traces_dropped) == (0, 1)
    assert caplog.records[-1].message == "The policies of sampling work again"
    broken[0] = True
    by.take(spans(P(11)), 11, 11, 110.0)
    with pytest.raises(ArithmeticError):
        by.due(115.0)


def test_memory_stays_bounded_while_policies_fail(broken: list[bool]) -> None:
    by = sampler(NOTHING, num_traces=50)
    kept = 0
    for number in range(1, 501):
        by.take(spans(P(number)), number, number, 0.0)
        made = _tried(by, 0.0)
        kept += made.traces_kept if made is not None else 0
        assert by.pending_traces <= 50 + FAILURES_MAX
    assert kept + by.pending_traces == 500


def test_what_was_sampled_before_it_came_keeps_its_weight(broken: list[bool]) -> None:
    by = sampler(NOTHING)
    by.take(spans(P(1, state="ot=th:8")), 1, 1, 0.0)
    made = next(made for attempt in range(FAILURES_MAX) if (made := _tried(by, 10.0 + attempt)) is not None)
    assert decided(made) == {1: (0.5, DECISION_FAILED)}
