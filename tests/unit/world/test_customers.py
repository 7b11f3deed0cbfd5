"""Error profiles: the table, the seed, the rates."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.world.customers import (
    DEFAULT_PROFILE,
    PROFILES,
    ErrorHint,
    ErrorProfile,
    ErrorScope,
    InjectedError,
    decide,
    error_message,
    profile_of,
)
from homeostat.world.journeys import BANKING, ECOMMERCE

Z_999 = 3.29  # two-sided 99.9 %


def journeys_failed(customer: str, steps: tuple[str, ...], journeys: int, scope: ErrorScope, seed: int = 42) -> int:
    failed = 0
    for number in range(journeys):
        failed += any(
            decide(
                seed=seed,
                key=str(number),
                step=step,
                step_number=index,
                steps_total=len(steps),
                customers=(customer,),
                scope=scope,
            ).has_error
            for index, step in enumerate(steps, 1)
        )
    return failed


def wilson(successes: int, trials: int, z: float = Z_999) -> tuple[float, float]:
    share = successes / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return middle - half, middle + half


BANK = tuple(step.name for step in BANKING.steps)
SHOP = tuple(step.name for step in ECOMMERCE.steps)


def journey_probability(
    profile: ErrorProfile, steps: tuple[str, ...], scope: ErrorScope = ErrorScope.JOURNEY
) -> float:
    """Probability that a journey of these steps fails anywhere."""
    return 1.0 - math.prod(1.0 - profile.step_probability(step, len(steps), scope) for step in steps)


def test_three_in_ten_of_umbrellas_bank_journeys_fail() -> None:
    low, high = wilson(journeys_failed("Umbrella Corporation", BANK, 4_000, ErrorScope.JOURNEY), 4_000)
    assert low <= 0.30 <= high
    assert journey_probability(PROFILES["umbrella corporation"], BANK) == pytest.approx(0.30)


@pytest.mark.parametrize("scope", list(ErrorScope))
@pytest.mark.parametrize("steps", [BANK, SHOP, ("Product Selection", "Application Login", "Verification")])
@pytest.mark.parametrize("customer", [*PROFILES, "Wayne Enterprises"])
def test_rates_match_the_profile_within_their_interval(
    customer: str, steps: tuple[str, ...], scope: ErrorScope
) -> None:
    expected = journey_probability(profile_of(customer), steps, scope)
    low, high = wilson(journeys_failed(customer, steps, 1_500, scope), 1_500)
    assert low <= expected <= high


def test_per_step_umbrella_loses_83_percent_of_its_journeys_as_the_original_did() -> None:
    assert journey_probability(PROFILES["umbrella corporation"], BANK, ErrorScope.STEP) == pytest.approx(1 - 0.7**5)


def test_the_table_is_the_contracts() -> None:
    assert {name: profile.rate for name, profile in PROFILES.items()} == {
        "acme corp": 0.15,
        "globex corporation": 0.25,
        "initech": 0.08,
        "stark industries": 0.05,
        "umbrella corporation": 0.30,
    }
    assert DEFAULT_PROFILE.rate == 0.12
    assert PROFILES["globex corporation"].http_statuses == (500, 502, 503, 429)
    assert PROFILES["stark industries"].error_types == ("minor_validation_warning", "cache_miss")
    assert PROFILES["initech"].problem_steps == ("discovery", "application", "login")


def test_a_problem_step_fails_half_again_as_often_and_never_more_than_95_in_100() -> None:
    acme = PROFILES["acme corp"]
    assert acme.step_probability("Payment", 1, ErrorScope.STEP) == pytest.approx(0.225)
    assert acme.step_probability("Browse", 1, ErrorScope.STEP) == pytest.approx(0.15)
    certain = type(acme)(0.9, ("x",), (500,), ("pay",))
    assert certain.step_probability("Pay", 1, ErrorScope.STEP) == 0.95


def test_a_customer_without_a_profile_has_the_default_one_and_the_name_is_not_case_sensitive() -> None:
    assert profile_of("Wayne Enterprises") is DEFAULT_PROFILE
    assert profile_of("  UMBRELLA corporation ") is PROFILES["umbrella corporation"]
    assert profile_of("Alice Johnson", "Acme Corp") is PROFILES["acme corp"]


def test_with_the_flag_off_nobody_fails_and_the_answer_says_why() -> None:
    outcome = decide(
        seed=1,
        key="1",
        step="Payment",
        step_number=1,
        steps_total=1,
        customers=("Umbrella Corporation",),
        enabled=False,
        hint=ErrorHint(force=True),
    )
    assert outcome.fields() == {"hasError": False, "reason": "feature_flag_disabled"}


def test_a_forced_error_has_the_type_and_status_that_were_asked_for() -> None:
    outcome = decide(
        seed=1,
        key="1",
        step="Payment",
        step_number=1,
        steps_total=5,
        customers=("Alice Johnson",),
        hint=ErrorHint(error_type="payment_gateway_timeout", http_status=504, force=True),
    )
    assert outcome.fields() == {
        "hasError": True,
        "errorType": "payment_gateway_timeout",
        "httpStatus": 504,
        "errorMessage": error_message("payment_gateway_timeout", "Payment"),
        "retryable": True,
        "severity": "critical",
    }


@pytest.mark.parametrize(
    ("status", "retryable", "severity"),
    [(400, False, "warning"), (404, False, "warning"), (422, False, "warning"), (429, True, "warning"),
     (408, True, "warning"), (500, True, "critical"), (503, True, "critical")],
)  # fmt: skip
def test_retry_and_severity_follow_the_status(status: int, retryable: bool, severity: str) -> None:
    error = InjectedError(True, "x", status, "x")
    assert (error.retryable, error.severity) == (retryable, severity)


@given(
    seed=st.integers(0, 2**63),
    key=st.text(max_size=30),
    number=st.integers(1, 6),
    customer=st.sampled_from([*PROFILES]),
)
def test_one_seed_means_one_history(seed: int, key: str, number: int, customer: str) -> None:
    def once() -> InjectedError:
        return decide(
            seed=seed,
            key=key,
            step="Checkout",
            step_number=number,
            steps_total=6,
            customers=(customer,),
            scope=ErrorScope.STEP,
        )

    outcome, profile = once(), PROFILES[customer]
    assert outcome == once()
    if outcome.has_error:
        assert outcome.error_type in profile.error_types
        assert outcome.http_status in profile.http_statuses


@given(rate=st.floats(0, 0.95), steps=st.integers(1, 12))
def test_step_probabilities_multiply_up_to_the_journeys_rate(rate: float, steps: int) -> None:
    profile = type(DEFAULT_PROFILE)(rate, ("x",), (500,), ())
    assert journey_probability(profile, ("a",) * steps) == pytest.approx(rate, abs=1e-9)
