"""Journeys, errors and money are counted once, where they belong."""

from hypothesis import given
from hypothesis import strategies as st

from homeostat.world.ledger import NAMES_MAX, OTHER, SERIES_S, Ledger
from support.world_clock import HandClock


def test_money_counts_when_a_journey_completes_and_is_lost_when_it_fails() -> None:
    ledger = Ledger(HandClock(), 1)
    ledger.record(customer="Alice", journey="Shop", completed=True, amount_cents=1_050, duration_ms=10)
    ledger.record(customer="Alice", journey="Shop", completed=False, amount_cents=500, duration_ms=20)
    ledger.record(
        customer="Bob", journey="Shop", completed=False, amount_cents=None, duration_ms=5_000, timed_out=True
    )
    stats = ledger.snapshot()
    assert (stats.total, stats.errors, stats.timeouts) == (3, 2, 1)
    assert (stats.revenue, stats.revenue_lost) == (10.5, 5.0)
    assert stats.customers["Alice"].error_rate == 0.5
    assert stats.by_journey["Shop"].journeys == 3
    assert stats.seconds[0].duration_max_ms == 5_000


def test_without_journeys_rates_are_unknown_and_not_zero() -> None:
    stats = Ledger(HandClock(), 1).snapshot()
    assert (stats.error_rate, stats.success_rate, stats.last_10_s.error_rate) == (None, None, None)


def test_the_series_keeps_ten_minutes() -> None:
    clock = HandClock()
    ledger = Ledger(clock, 1)
    for _ in range(SERIES_S + 100):
        ledger.record(customer="Alice", journey="Shop", completed=True, amount_cents=1, duration_ms=1)
        clock.pass_s(1)
    stats = ledger.snapshot()
    assert len(stats.seconds) <= SERIES_S
    assert stats.seconds[-1].second_unix == int(clock.now().timestamp()) - 1
    assert len(ledger.snapshot(10).seconds) <= 10
    assert stats.last_10_s.journeys_per_s == 1.0
    assert stats.total == SERIES_S + 100


def test_strange_customers_cannot_fill_the_memory() -> None:
    ledger = Ledger(HandClock(), 1)
    for number in range(NAMES_MAX + 50):
        ledger.record(customer=f"c{number}", journey="Shop", completed=True, amount_cents=1, duration_ms=1)
    customers = ledger.snapshot().customers
    assert len(customers) == NAMES_MAX + 1
    assert customers[OTHER].journeys == 50


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 10_000), st.floats(0, 3), st.sampled_from("abc")), max_size=100)
)
def test_the_seconds_and_the_customers_add_up_to_the_total(entries: list[tuple[bool, int, float, str]]) -> None:
    clock = HandClock()
    ledger = Ledger(clock, 1)
    for completed, cents, gap, customer in entries:
        clock.pass_s(gap)
        ledger.record(customer=customer, journey="Shop", completed=completed, amount_cents=cents, duration_ms=1)
    stats = ledger.snapshot()
    for parts in (stats.seconds, stats.customers.values()):
        assert sum(part.journeys for part in parts) == stats.journeys
        assert sum(part.errors for part in parts) == stats.errors
        assert round(sum(part.revenue for part in parts), 2) == stats.revenue
        assert round(sum(part.revenue_lost for part in parts), 2) == stats.revenue_lost
