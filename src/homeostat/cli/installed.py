"""What a configuration may name because it is installed here: flags and actions. ``up`` and ``check`` hand it on."""

from collections.abc import Sequence
from pathlib import Path

from homeostat.core.config import Config
from homeostat.drivers import DriverParts, load_drivers
from homeostat.flags import FlagService, built_in_flags, load_flags
from homeostat.flags.evaluation import Evaluator
from homeostat.runtime import SystemClock, SystemIds
from homeostat.store.state import open_state


class Installed:
    """``homeostat.config.Surroundings``. Looks only: no file is made, nothing is opened."""

    def flags(self, file: Path | None) -> Sequence[str]:
        """Flags that can be switched. Raises ConfigError with every problem of the definitions."""
        definitions = load_flags(file) if file else built_in_flags()
        Evaluator(definitions)  # targeting rules need a package that may not be there
        return definitions.switchable

    def actions(self, config: Config) -> Sequence[str]:
        """Actions of every driver, also of third parties'."""
        clock = SystemClock()
        flags = FlagService(open_state(config.storage.path, clock), clock, SystemIds())  # never opened
        drivers = load_drivers(DriverParts(config=config, clock=clock, flags=flags)).drivers
        return sorted(action.spec.name for driver in drivers for action in driver.actions())
