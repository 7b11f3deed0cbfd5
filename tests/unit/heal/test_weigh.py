"""A verdict weighs the issue's own signal and those who depend on what was touched."""

import pytest

from homeostat.core.dependents import Dependent, DependentState
from homeostat.heal.judge import Judgement, Word
from homeostat.heal.weigh import Proposal, in_words, weigh

GOOD = Proposal(True, Judgement(Word.GOOD, 0.0, 60, "0.0% of 60 requests fail"))
BAD = Proposal(False, Judgement(Word.BAD, 0.3, 60, "30.0% of 60 requests fail"))
EARLY = Proposal(None, Judgement(Word.UNKNOWN, None, 0, "no requests"), settled=False)


def dependents(*states: DependentState) -> list[Dependent]:
    return [
        Dependent(f"s{number}", 1, state, f"s{number} answers 14.0% errors since the act")
        for number, state in enumerate(states)
    ]


WORSE, NOT_RECOVERED = dependents(DependentState.WORSE), dependents(DependentState.NOT_RECOVERED)
SILENT = dependents(DependentState.UNKNOWN, DependentState.WELL)


@pytest.mark.parametrize("found", [[], SILENT])
def test_who_is_well_or_says_nothing_neither_helps_nor_harms(found: list[Dependent]) -> None:
    assert weigh(GOOD, found, patient=True, time_left=True) == GOOD
    assert weigh(BAD, found, patient=False, time_left=True) == BAD
    assert weigh(EARLY, found, patient=False, time_left=True) is None


def test_who_had_traffic_and_says_nothing_yet_is_waited_for_as_long_as_harm_would_be() -> None:
    awaited = [Dependent("s0", 1, DependentState.UNKNOWN, "no complete second lies after the act yet", awaited=True)]
    assert weigh(GOOD, awaited, patient=True, time_left=True) is None
    assert weigh(GOOD, awaited, patient=False, time_left=True) == GOOD
    assert weigh(BAD, awaited, patient=True, time_left=True) == BAD


def test_harm_gets_a_little_patience_and_then_makes_a_good_signal_a_bad_verdict() -> None:
    assert weigh(GOOD, WORSE, patient=True, time_left=True) is None
    verdict = weigh(GOOD, WORSE, patient=False, time_left=True)
    assert verdict is not None
    assert verdict.helped is False
    text = in_words(verdict)
    assert text.startswith("It did harm: s0 answers 14.0% errors since the act.")
    assert "0.0% of 60 requests fail" in text


def test_harm_is_told_also_while_its_own_signal_is_not_clear_yet() -> None:
    verdict = weigh(EARLY, WORSE, patient=False, time_left=True)
    assert verdict is not None
    assert verdict.helped is False


def test_who_has_not_recovered_gets_all_of_the_time_and_then_the_verdict_says_so() -> None:
    assert weigh(GOOD, NOT_RECOVERED, patient=True, time_left=True) is None
    assert weigh(GOOD, NOT_RECOVERED, patient=False, time_left=True) is None
    verdict = weigh(GOOD, NOT_RECOVERED, patient=False, time_left=False)
    assert verdict is not None
    assert verdict.helped is True
    assert "Not recovered in this time: s0 answers" in in_words(verdict)


def test_a_bad_signal_waits_for_nobody() -> None:
    verdict = weigh(BAD, NOT_RECOVERED, patient=True, time_left=True)
    assert verdict is not None
    assert verdict.helped is False
    assert in_words(verdict) == "It did not help: 30.0% of 60 requests fail."


def test_who_calls_what_is_still_ill_suffers_from_that_and_not_from_the_act() -> None:
    verdict = weigh(BAD, WORSE, patient=False, time_left=True)
    assert verdict is not None
    assert verdict.harmed == ()
    assert in_words(verdict) == "It did not help: 30.0% of 60 requests fail."


def test_of_many_a_few_are_named_and_the_rest_is_counted() -> None:
    verdict = weigh(GOOD, dependents(*[DependentState.WORSE] * 8), patient=False, time_left=True)
    assert verdict is not None
    assert in_words(verdict).count("answers 14.0%") == 3
    assert "and 5 more" in in_words(verdict)
