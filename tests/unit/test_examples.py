"""What stands in examples/ can be used as it is."""

from pathlib import Path

import pytest

from homeostat.cli.demo import ScenarioName
from homeostat.config import load_config
from homeostat.world.rehearsal.scenarios import SCENARIO_NAMES

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_a_good_configuration(path: Path) -> None:
    assert load_config(path).watch.processes


def test_the_command_line_offers_every_scenario() -> None:
    assert [name.value for name in ScenarioName] == list(SCENARIO_NAMES)
