"""What a world is made of: read from a JSON file by the supervisor, written by ``launch``."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from homeostat.core.errors import BadRequestError
from homeostat.world.customers import ErrorScope

CONTROL_FILE = "control.json"
"""In the run directory: the control API's URL and the supervisor's pid, while the world is up."""

SERVICES_MAX = 24
"""Services that the journey API may start on demand count against this bound, ours included."""


class GeneratorConfig(BaseModel):
    """The continuous journeys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    interval_ms: int = Field(default=30_000, ge=10, le=3_600_000)
    batch_size: int = Field(default=5, ge=1, le=1_000)
    think_time_ms: int = Field(default=0, ge=0, le=60_000)
    timeout_ms: int = Field(default=5_000, ge=100, le=120_000)  # a customer who waits longer gives up
    concurrency_max: int = Field(default=200, ge=1, le=10_000)  # beyond it new journeys are dropped and counted
    customers: tuple[str, ...] = ()  # only these; empty: all of the templates


class WorldConfig(BaseModel):
    """One demo world."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_dir: Path
    otlp_endpoint: str | None = None  # base URL, e.g. http://127.0.0.1:4318; None: no telemetry
    flags_url: str | None = None  # base URL of the OFREP server; None: the fallbacks stay
    seed: int = 1
    port: int = Field(default=0, ge=0, le=65535)  # of the control API; 0: any free port
    error_scope: ErrorScope = ErrorScope.JOURNEY
    error_customers: tuple[str, ...] = ()  # only these run into injected errors; empty: everybody does
    rate_limit_per_s: float = Field(default=25.0, gt=0)  # per service, while rateLimitingEnabled is on
    cache_ttl_s: float = Field(default=10.0, gt=0)
    flags_poll_ms: int = Field(default=300, ge=20, le=60_000)
    export_interval_ms: int = Field(default=400, ge=20, le=60_000)
    generator: GeneratorConfig = GeneratorConfig()


def generator_from_environment(
    environment: Mapping[str, str], base: GeneratorConfig | None = None
) -> GeneratorConfig:
    """The generator's settings with what the original's environment variables say on top.

    Raises BadRequestError naming the variable when one of them cannot be read.
    """
    start = base or GeneratorConfig()
    return GeneratorConfig(
        enabled=_flag(environment, "ENABLE_CONTINUOUS_JOURNEYS", default=start.enabled),
        interval_ms=_number(environment, "JOURNEY_INTERVAL_MS", default=start.interval_ms, least=10),
        batch_size=_number(environment, "JOURNEY_BATCH_SIZE", default=start.batch_size, least=1),
        think_time_ms=_number(environment, "JOURNEY_THINK_TIME_MS", default=start.think_time_ms, least=0),
        timeout_ms=start.timeout_ms,
        concurrency_max=start.concurrency_max,
        customers=start.customers,
    )


def _flag(environment: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = environment.get(name, "").strip().lower()
    if not text:
        return default
    if text in {"true", "1", "yes", "on"}:
        return True
    if text in {"false", "0", "no", "off"}:
        return False
    raise BadRequestError(f"{name} is {text!r}. Write true or false.")


def _number(environment: Mapping[str, str], name: str, *, default: int, least: int) -> int:
    text = environment.get(name, "").strip()
    if not text:
        return default
    if not text.isdigit() or int(text) < least:
        raise BadRequestError(f"{name} is {text!r}. Write a whole number of at least {least}.")
    return int(text)
