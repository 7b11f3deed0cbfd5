"""The journeys that customers make: which steps, which service serves each, who the customers are, what it is worth.

Used by the generator and the journey API (which steps to run) and by the supervisor (which services to start).
"""

import math
import re
from dataclasses import dataclass

from homeostat.world.chance import share

CURRENCY = "USD"
STEPS_MAX = 6
"""A journey that comes in through the API is cut to this many steps, as in the original contract."""

DEFAULT_STEPS = ("Discovery", "Awareness", "Consideration", "Purchase", "Retention", "Advocacy")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a customer does, and the service that serves it."""

    name: str
    service: str

    @property
    def slug(self) -> str:
        """The name as a path segment: ``Add to Cart`` -> ``add-to-cart``."""
        return slug(self.name)


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much money is in one journey: log-normal around a median, cut off at both ends. In cents."""

    median_cents: int
    sigma: float
    min_cents: int
    max_cents: int

    def cents(self, seed: int, key: str) -> int:
        """The amount of the journey named by ``key``: the same for the same seed."""
        # Box-Muller: two uniform numbers make one normal number.
        radius = math.sqrt(-2.0 * math.log(1.0 - share(seed, "amount-radius", key)))
        normal = radius * math.cos(2.0 * math.pi * share(seed, "amount-angle", key))
        return max(self.min_cents, min(self.max_cents, round(self.median_cents * math.exp(self.sigma * normal))))


@dataclass(frozen=True, slots=True)
class JourneyTemplate:
    """A journey that the continuous generator sends customers on."""

    name: str
    steps: tuple[Step, ...]
    customers: tuple[str, ...]
    amounts: Amounts

    @property
    def services(self) -> tuple[str, ...]:
        """The distinct services, in the order in which they are first called."""
        return tuple(dict.fromkeys(step.service for step in self.steps))


ECOMMERCE = JourneyTemplate(
    name="E-Commerce Journey",
    steps=(
        Step("Browse Products", "ProductCatalog"),
        Step("Add to Cart", "ShoppingCart"),
        Step("Checkout", "CheckoutService"),
        Step("Payment", "PaymentProcessor"),
        Step("Order Confirmation", "OrderService"),
    ),
    customers=("Alice Johnson", "Bob Smith", "Carol Williams"),
    amounts=Amounts(median_cents=6_500, sigma=0.5, min_cents=500, max_cents=60_000),
)

BANKING = JourneyTemplate(
    name="Banking Journey",
    steps=(
        Step("Login", "AuthService"),
        Step("Account Overview", "AccountService"),
        Step("Transfer Funds", "TransferService"),
        Step("Transaction History", "HistoryService"),
        Step("Logout", "AuthService"),
    ),
    customers=("Wayne Enterprises", "Stark Industries", "Umbrella Corporation"),
    amounts=Amounts(median_cents=25_000, sigma=0.6, min_cents=1_000, max_cents=500_000),
)

TEMPLATES = (ECOMMERCE, BANKING)


def service_names(templates: tuple[JourneyTemplate, ...] = TEMPLATES) -> tuple[str, ...]:
    """Every distinct service of the templates."""
    return tuple(dict.fromkeys(service for template in templates for service in template.services))


def template_named(name: str) -> JourneyTemplate | None:
    """The template with this name, or None."""
    return next((template for template in TEMPLATES if template.name == name), None)


def slug(name: str) -> str:
    """Lower case, words joined by dashes; ``step`` when nothing is left."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "step"


def service_for(step_name: str) -> str:
    """A service name for a step that names none: ``Add to Cart`` -> ``AddToCartService``."""
    words = re.findall(r"[A-Za-z0-9]+", step_name)
    name = "".join(word[:1].upper() + word[1:] for word in words)[:40]
    return name if name.endswith("Service") else f"{name}Service"


def service_identity(name: str) -> str:
    """A service name that is safe as a file name and as a process title; may differ from what was asked for."""
    return re.sub(r"[^A-Za-z0-9_-]+", "", name)[:48] or "Service"
