"""What a driver may be built from. Third parties' factories take the same parts as ours."""

from collections.abc import Callable
from dataclasses import dataclass

from homeostat.core.config import Config
from homeostat.core.ports import Clock, Driver, FlagControl


@dataclass(frozen=True, slots=True)
class DriverParts:
    """Handed to every driver factory by ``app``."""

    config: Config
    clock: Clock
    flags: FlagControl


DriverFactory = Callable[[DriverParts], Driver]
"""What an entry point of the group ``homeostat.drivers`` names."""
