"""Circuit breaker and rate limit, by a clock that is turned by hand."""

from hypothesis import given
from hypothesis import strategies as st

from homeostat.world.breaker import FAILURES_TO_OPEN, OPEN_S, Breaker, BreakerState
from homeostat.world.ratelimit import TokenBucket
from support.world_clock import HandClock


def opened(clock: HandClock) -> Breaker:
    breaker = Breaker("OrderService", clock)
    for _ in range(FAILURES_TO_OPEN):
        assert breaker.allow()
        breaker.failed()
    return breaker


def test_five_failures_in_a_row_open_the_circuit_for_ten_seconds() -> None:
    clock = HandClock()
    breaker = opened(clock)
    assert breaker.state is BreakerState.OPEN
    assert not breaker.allow()
    clock.pass_s(OPEN_S - 0.01)
    assert not breaker.allow()
    clock.pass_s(0.02)
    assert breaker.state is BreakerState.HALF_OPEN


def test_a_success_in_between_starts_the_count_anew() -> None:
    breaker = Breaker("OrderService", HandClock())
    for outcome in [breaker.failed] * 4 + [breaker.succeeded] + [breaker.failed] * 4:
        outcome()
    assert breaker.state is BreakerState.CLOSED


def test_half_open_lets_one_call_try_and_its_success_closes() -> None:
    clock = HandClock()
    breaker = opened(clock)
    clock.pass_s(OPEN_S)
    assert breaker.allow()
    assert not breaker.allow()
    breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED
    assert breaker.allow()


def test_half_open_opens_again_when_the_trial_fails() -> None:
    clock = HandClock()
    breaker = opened(clock)
    clock.pass_s(OPEN_S)
    assert breaker.allow()
    breaker.failed()
    assert breaker.state is BreakerState.OPEN
    assert breaker.view().failure_count == FAILURES_TO_OPEN + 1
    assert breaker.view().last_failure == clock.now()


def test_a_bucket_gives_its_burst_and_then_the_rate() -> None:
    clock = HandClock()
    bucket = TokenBucket(10.0, clock)
    assert sum(bucket.take() for _ in range(30)) == 10
    assert bucket.retry_after_s() == 1
    clock.pass_s(0.5)
    assert sum(bucket.take() for _ in range(30)) == 5


@given(rate=st.floats(0.1, 200), gaps=st.lists(st.floats(0, 2), max_size=200))
def test_a_bucket_never_gives_more_than_rate_times_time_and_one_burst(rate: float, gaps: list[float]) -> None:
    clock = HandClock()
    bucket = TokenBucket(rate, clock)
    taken = 0
    for gap in gaps:
        clock.pass_s(gap)
        taken += bucket.take()
    assert taken <= max(1.0, rate) + rate * sum(gaps) + 1e-6
