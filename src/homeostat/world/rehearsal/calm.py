"""The flags of a world in which nothing is wrong. ``stage`` starts with them, scenarios go back to them."""

from collections.abc import Mapping

ALL_OFF: Mapping[str, bool] = {
    "errorInjectionEnabled": False,
    "slowResponsesEnabled": False,
    "circuitBreakerEnabled": False,
    "rateLimitingEnabled": False,
    "cacheEnabled": True,
}
