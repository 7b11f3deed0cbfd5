"""Templates, names and amounts."""

from hypothesis import given
from hypothesis import strategies as st

from homeostat.world.journeys import (
    BANKING,
    ECOMMERCE,
    TEMPLATES,
    service_for,
    service_identity,
    service_names,
    slug,
    template_named,
)


def test_the_templates_are_the_contracts() -> None:
    assert [(step.name, step.service) for step in ECOMMERCE.steps] == [
        ("Browse Products", "ProductCatalog"),
        ("Add to Cart", "ShoppingCart"),
        ("Checkout", "CheckoutService"),
        ("Payment", "PaymentProcessor"),
        ("Order Confirmation", "OrderService"),
    ]
    assert [(step.name, step.service) for step in BANKING.steps] == [
        ("Login", "AuthService"),
        ("Account Overview", "AccountService"),
        ("Transfer Funds", "TransferService"),
        ("Transaction History", "HistoryService"),
        ("Logout", "AuthService"),
    ]
    assert BANKING.customers == ("Wayne Enterprises", "Stark Industries", "Umbrella Corporation")
    assert ECOMMERCE.customers == ("Alice Johnson", "Bob Smith", "Carol Williams")


def test_login_and_logout_are_one_service_so_nine_are_needed_in_all() -> None:
    assert len(service_names()) == 9
    assert service_names().count("AuthService") == 1


def test_templates_are_found_by_name() -> None:
    assert template_named("Banking Journey") is BANKING
    assert template_named("Space Journey") is None


@given(seed=st.integers(0, 2**32), key=st.text(max_size=20), template=st.sampled_from(TEMPLATES))
def test_an_amount_follows_from_the_seed_and_stays_within_bounds(seed: int, key: str, template: object) -> None:
    amounts = template.amounts  # type: ignore[attr-defined]
    cents = amounts.cents(seed, key)
    assert cents == amounts.cents(seed, key)
    assert amounts.min_cents <= cents <= amounts.max_cents


def test_half_of_the_orders_are_worth_less_than_the_median() -> None:
    cents = sorted(ECOMMERCE.amounts.cents(7, str(number)) for number in range(2_001))
    assert 0.93 * ECOMMERCE.amounts.median_cents < cents[1_000] < 1.07 * ECOMMERCE.amounts.median_cents


@given(st.text(max_size=200))
def test_any_name_becomes_a_safe_path_segment_and_file_name(name: str) -> None:
    assert slug(name)
    assert set(slug(name)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    identity = service_identity(name)
    assert identity
    assert identity.isascii()
    assert not set(identity) & set("/\\. \n\0")


def test_a_step_without_a_service_gets_one_named_after_it() -> None:
    assert service_for("Add to Cart") == "AddToCartService"
    assert service_for("Checkout Service") == "CheckoutService"
