"""How often which customer runs into an error, and which: the profiles of the original contract.

``decide`` is asked by each service for each step. The profile's rate is the share of *journeys* that fail
(scope JOURNEY); with scope STEP it is the share of steps, as the original system had it.
"""

from dataclasses import dataclass
from enum import StrEnum

from homeostat.world.chance import index, share

PROBLEM_STEP_FACTOR = 1.5
RATE_MAX = 0.95
NOT_RETRYABLE = frozenset({400, 404, 422})


class ErrorScope(StrEnum):
    """What a profile's rate is a share of."""

    JOURNEY = "journey"
    STEP = "step"


@dataclass(frozen=True, slots=True)
class ErrorProfile:
    """The errors of one customer."""

    rate: float
    error_types: tuple[str, ...]
    http_statuses: tuple[int, ...]
    problem_steps: tuple[str, ...]  # lower case; a step containing one of them fails 1.5 times as often

    def step_probability(self, step: str, steps_total: int, scope: ErrorScope) -> float:
        """Probability that this step fails.

        With scope JOURNEY, n independent steps of p = 1 - (1 - rate)^(1/n) fail together with ``rate``.
        """
        base = self.rate if scope is ErrorScope.STEP else 1.0 - (1.0 - self.rate) ** (1.0 / max(1, steps_total))
        lowered = step.lower()
        factor = PROBLEM_STEP_FACTOR if any(part in lowered for part in self.problem_steps) else 1.0
        return min(RATE_MAX, base * factor)


DEFAULT_PROFILE = ErrorProfile(
    0.12,
    ("network_timeout", "service_unavailable", "validation_failed"),
    (500, 503, 422),
    ("checkout", "verification"),
)

PROFILES: dict[str, ErrorProfile] = {
    "acme corp": ErrorProfile(
        0.15,
        ("payment_gateway_timeout", "inventory_service_down", "authentication_failure"),
        (500, 503, 429),
        ("checkout", "payment", "order confirmation"),
    ),
    "globex corporation": ErrorProfile(
        0.25,
        ("database_connection_lost", "third_party_api_failure", "rate_limit_exceeded"),
        (500, 502, 503, 429),
        ("product selection", "cart", "verification"),
    ),
    "initech": ErrorProfile(
        0.08,
        ("session_timeout", "validation_error", "temporary_service_unavailable"),
        (408, 422, 503),
        ("discovery", "application", "login"),
    ),
    "stark industries": ErrorProfile(
        0.05, ("minor_validation_warning", "cache_miss"), (422, 404), ("customization",)
    ),
    "umbrella corporation": ErrorProfile(
        0.30,
        ("security_breach_detected", "system_contamination", "containment_failure", "biohazard_alert"),
        (500, 503, 502),
        ("verification", "security", "data processing", "confirmation"),
    ),
}

_MESSAGES = {
    "payment_gateway_timeout": "The payment gateway did not answer in time during {step}",
    "inventory_service_down": "The inventory is not reachable for {step}",
    "authentication_failure": "Authentication failed during {step}",
    "database_connection_lost": "The database connection was lost while processing {step}",
    "third_party_api_failure": "A third party's API failed in {step}",
    "rate_limit_exceeded": "Too many requests for {step}",
    "session_timeout": "The session expired during {step}",
    "validation_error": "The input of {step} is not valid",
    "temporary_service_unavailable": "{step} is not available for the moment",
    "minor_validation_warning": "A detail of the input of {step} is not valid",
    "cache_miss": "{step} found nothing in the cache",
    "security_breach_detected": "A security breach was detected during {step}",
    "system_contamination": "The system is contaminated: {step} was stopped",
    "containment_failure": "Containment failed during {step}",
    "biohazard_alert": "Biohazard alert in {step}",
    "network_timeout": "The network timed out during {step}",
    "service_unavailable": "The service for {step} is not available",
    "validation_failed": "Validation failed in {step}",
}


@dataclass(frozen=True, slots=True)
class InjectedError:
    """The outcome of one decision, in the original's field names through ``fields``."""

    has_error: bool
    error_type: str = ""
    http_status: int = 200
    error_message: str = ""
    reason: str = ""

    @property
    def retryable(self) -> bool:
        """Whether the customer may try again with the same input."""
        return self.http_status not in NOT_RETRYABLE

    @property
    def severity(self) -> str:
        """``critical`` from 500 on, ``warning`` from 400 on, else ``info``."""
        return "critical" if self.http_status >= 500 else "warning" if self.http_status >= 400 else "info"

    def fields(self) -> dict[str, str | int | bool]:
        """The result as the original names it; without an error only ``hasError`` and perhaps ``reason``."""
        if not self.has_error:
            return {"hasError": False, "reason": self.reason} if self.reason else {"hasError": False}
        return {
            "hasError": True,
            "errorType": self.error_type,
            "httpStatus": self.http_status,
            "errorMessage": self.error_message,
            "retryable": self.retryable,
            "severity": self.severity,
        }


NO_ERROR = InjectedError(has_error=False)
FLAG_OFF = InjectedError(has_error=False, reason="feature_flag_disabled")


@dataclass(frozen=True, slots=True)
class ErrorHint:
    """A caller's wish for one step of a journey: fail with this likelihood (or for certain), in this way."""

    error_type: str | None = None
    http_status: int | None = None
    likelihood: float | None = None
    force: bool = False


def profile_of(*names: str) -> ErrorProfile:
    """The profile of the first name that has one, else the default profile."""
    for name in names:
        found = PROFILES.get(name.strip().lower())
        if found is not None:
            return found
    return DEFAULT_PROFILE


def error_message(error_type: str, step: str) -> str:
    """One sentence for a person."""
    return _MESSAGES.get(error_type, "Unknown error in {step}").format(step=step)


def decide(
    *,
    seed: int,
    key: str,
    step: str,
    step_number: int,
    steps_total: int,
    customers: tuple[str, ...],
    scope: ErrorScope = ErrorScope.JOURNEY,
    enabled: bool = True,
    hint: ErrorHint | None = None,
) -> InjectedError:
    """Does this step of the journey named by ``key`` fail, and how? The same for the same seed and key."""
    if not enabled:
        return FLAG_OFF
    profile = profile_of(*customers)
    probability = profile.step_probability(step, steps_total, scope)
    error_type = profile.error_types[index(seed, len(profile.error_types), "type", key, step_number)]
    status = profile.http_statuses[index(seed, len(profile.http_statuses), "status", key, step_number)]
    if hint is not None:
        if hint.force:
            probability = 1.0
        elif hint.likelihood is not None:
            probability = min(1.0, max(0.0, hint.likelihood))
        error_type = hint.error_type or error_type
        status = hint.http_status or status
    if share(seed, "error", key, step_number) >= probability:
        return NO_ERROR
    return InjectedError(
        has_error=True, error_type=error_type, http_status=status, error_message=error_message(error_type, step)
    )
