"""Calls that wait for their callers: none is lost within the bound, none is touched twice, the bound is of calls."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.observe.red import Red
from homeostat.observe.waiting import WAIT_S, Call, WaitingCalls
from support.spans import CLIENT, NOON_S, HandClock, S, table

CALL: Call = (NOON_S, 1, 0.0, 5.0)


def test_a_call_joins_those_that_wait_already_without_copying_them() -> None:
    waiting = WaitingCalls()
    waiting.put([7], [CALL])
    young, _ = waiting.generations()
    line = young[7]
    waiting.put([7] * 1000, [CALL] * 1000)
    assert young[7] is line, "with a copy for each that comes the work would grow with the square"
    assert len(line) == 1001


def test_the_bound_is_of_calls_also_when_all_wait_for_one_caller() -> None:
    waiting = WaitingCalls(at_most=100)
    for _ in range(50):
        waiting.turn(30, 0)
        waiting.put([7] * 30, [CALL] * 30)
        assert sum(len(calls) for part in waiting.generations() for calls in part.values()) <= 200
    assert len(waiting.pop(7)) == 150, "the newest are there: 2 x 30 young ones, 3 x 30 old ones"
    assert waiting.pop(7) == []
    waiting.turn(100, 0)
    waiting.put([8] * 100, [CALL] * 100)
    assert len(waiting.pop(8)) == 100


@given(st.lists(st.tuples(st.sampled_from(["put", "pop"]), st.integers(1, 4)), max_size=40))
@settings(deadline=None)
def test_what_waited_is_given_once_in_order(steps: list[tuple[str, int]]) -> None:
    waiting = WaitingCalls()
    expected: dict[int, list[Call]] = {}
    for number, (what, caller) in enumerate(steps):
        waiting.turn(1, number * WAIT_S // 20)
        if what == "put":
            call: Call = (number, caller, 0.0, 1.0)
            waiting.put([caller], [call])
            expected.setdefault(caller, []).append(call)
        else:
            is_known = waiting.known([caller]) == [caller]
            given_back = waiting.pop(caller)
            assert is_known == bool(given_back)
            wanted = expected.pop(caller, [])
            assert given_back == wanted[len(wanted) - len(given_back) :], "only the oldest may be forgotten"


def test_many_calls_of_one_caller_that_comes_late_are_all_counted() -> None:
    red = Red(HandClock())
    children = 3000
    for start in range(0, children, 500):
        red.fold(table([S(1, 10 + start + n, parent=5, service="bank", at=-1) for n in range(500)]))
    red.fold(table([S(1, 5, service="shop", kind=CLIENT, at=-2, ms=500)]))
    (edge,) = red.edges(NOON_S - 60, NOON_S)
    assert (edge.caller, edge.callee, edge.requests) == ("shop", "bank", children)


def test_what_waits_is_saved_and_restored_within_the_same_bound() -> None:
    red = Red(HandClock())
    red.fold(table([S(1, 10 + n, parent=5, service="bank", at=-1) for n in range(200)]))
    again = Red(HandClock())
    again.restore_waiting(red.waiting_halves())
    again.fold(table([S(1, 5, service="shop", kind=CLIENT, at=-2, ms=500)]))
    (edge,) = again.edges(NOON_S - 60, NOON_S)
    assert edge.requests == 200
    assert np.isclose(edge.duration_sum_ms, 200 * 10)
