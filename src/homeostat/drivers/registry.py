"""Which drivers there are: our own in one explicit tuple, others through the entry-point group ``homeostat.drivers``.

``app`` calls ``load_drivers`` once at start. A driver of a third party that cannot be loaded is reported and left
out: it must not keep the others from working.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from homeostat.core.ports import Driver
from homeostat.drivers.flags.driver import FlagsDriver
from homeostat.drivers.parts import DriverFactory, DriverParts
from homeostat.drivers.process.driver import ProcessDriver

log = logging.getLogger(__name__)

ENTRY_POINT_GROUP = "homeostat.drivers"

BUILTIN: tuple[DriverFactory, ...] = (ProcessDriver.build, FlagsDriver.build)


@dataclass(frozen=True, slots=True)
class DriverProblem:
    """A driver that was left out, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class LoadedDrivers:
    """The drivers that work, ours first, and those that do not."""

    drivers: tuple[Driver, ...]
    problems: tuple[DriverProblem, ...]


def load_drivers(parts: DriverParts, *, found: Iterable[EntryPoint] | None = None) -> LoadedDrivers:
    """Build every driver. ``found`` replaces the installed entry points (for tests)."""
    drivers = [factory(parts) for factory in BUILTIN]
    problems: list[DriverProblem] = []
    for entry in entry_points(group=ENTRY_POINT_GROUP) if found is None else found:
        loaded = _load(entry, parts, {driver.name for driver in drivers})
        if isinstance(loaded, DriverProblem):
            log.error("The driver %s is left out: %s", loaded.name, loaded.reason)
            problems.append(loaded)
        else:
            drivers.append(loaded)
    return LoadedDrivers(tuple(drivers), tuple(problems))


def _load(entry: EntryPoint, parts: DriverParts, taken: set[str]) -> Driver | DriverProblem:
    try:
        driver = entry.load()(parts)
        name = driver.name if isinstance(driver, Driver) else None
    except Exception as error:  # foreign code: whatever it raises, the other drivers have to work
        log.debug("Loading the driver %s failed", entry.name, exc_info=True)
        return DriverProblem(entry.name, f"{type(error).__name__}: {error}")
    if name is None:
        return DriverProblem(entry.name, f"{entry.value} did not make a driver (name, sensors, actions)")
    if name in taken:
        return DriverProblem(entry.name, f"there is a driver named {name!r} already")
    return driver
