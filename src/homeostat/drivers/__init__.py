"""Technologies: one folder each, with its sensors and actions. ``app`` builds them with ``load_drivers``."""

from homeostat.drivers.parts import DriverFactory, DriverParts
from homeostat.drivers.registry import BUILTIN, DriverProblem, LoadedDrivers, load_drivers

__all__ = ["BUILTIN", "DriverFactory", "DriverParts", "DriverProblem", "LoadedDrivers", "load_drivers"]
