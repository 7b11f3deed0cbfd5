"""The generator's environment variables."""

import pytest

from homeostat.core.errors import BadRequestError
from homeostat.world.config import GeneratorConfig, generator_from_environment


def test_the_defaults_are_the_originals() -> None:
    config = generator_from_environment({})
    assert (config.enabled, config.interval_ms, config.batch_size) == (True, 30_000, 5)


def test_the_environment_wins_over_the_base() -> None:
    environment = {
        "ENABLE_CONTINUOUS_JOURNEYS": "false",
        "JOURNEY_INTERVAL_MS": "250",
        "JOURNEY_BATCH_SIZE": "8",
        "JOURNEY_THINK_TIME_MS": "10",
    }
    config = generator_from_environment(environment, GeneratorConfig(timeout_ms=1_234))
    assert config == GeneratorConfig(enabled=False, interval_ms=250, batch_size=8, think_time_ms=10, timeout_ms=1_234)


@pytest.mark.parametrize(
    "environment",
    [
        {"ENABLE_CONTINUOUS_JOURNEYS": "perhaps"},
        {"JOURNEY_INTERVAL_MS": "fast"},
        {"JOURNEY_INTERVAL_MS": "3"},
        {"JOURNEY_BATCH_SIZE": "0"},
        {"JOURNEY_THINK_TIME_MS": "-5"},
    ],
)
def test_a_value_that_cannot_be_read_names_its_variable(environment: dict[str, str]) -> None:
    with pytest.raises(BadRequestError, match=next(iter(environment))):
        generator_from_environment(environment)
