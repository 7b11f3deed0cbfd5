"""What can be rehearsed: each scenario says how it breaks the world, what bad means, and when all is whole again."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from homeostat.core.errors import NotFoundError
from homeostat.core.models import Incident, Run
from homeostat.core.ports import Clock, Random
from homeostat.world.client import WorldClient
from homeostat.world.rehearsal.calm import ALL_OFF
from homeostat.world.rehearsal.witness import Witness
from homeostat.world.stats import SecondStats

SLOW_STOP_MS = 900
SLOW_RUN_MS = 100
SLOW_LEASE_S = 120.0
SLOW_JOURNEY_MS = 500.0


@dataclass(frozen=True, slots=True)
class Fault:
    """What was broken, when."""

    description: str
    at: datetime
    target: str = ""


class Scenario(Protocol):
    """One way for the world to go wrong."""

    name: str
    title: str
    has_fault: bool

    async def set_up(self, witness: Witness) -> None:
        """Bring the flags to where the scenario starts from."""
        ...

    async def break_it(self, cycle: int, world: WorldClient, witness: Witness, chance: Random) -> Fault:
        """Inject the fault of this cycle."""
        ...

    def is_bad(self, second: SecondStats) -> bool:
        """Did customers feel the fault in this second?"""
        ...

    async def rearmed_at(
        self, fault: Fault, verified: Run | None, incidents: Sequence[Incident], world: WorldClient
    ) -> datetime | None:
        """When everything was as before the fault; None: not yet."""
        ...

    async def clean_up(self, fault: Fault, world: WorldClient, witness: Witness, *, healed: bool) -> None:
        """Take away what is left of the fault, so that the next cycle starts whole."""
        ...


async def _set_flags(witness: Witness, values: Mapping[str, bool]) -> None:
    """Only those that differ: setting a flag to what it is would look like a change to blame."""
    present = await witness.flags()
    for flag, value in values.items():
        if present[flag] is not value:
            await witness.set_flag(flag, value, "rehearsal: starting point")


@dataclass(slots=True)
class Umbrella:
    """Customers run into errors because ``errorInjectionEnabled`` is on; restoring the flag is the next fault."""

    clock: Clock
    name: str = "umbrella"
    title: str = "error injection is switched on, and customers such as Umbrella Corporation get errors"
    has_fault: bool = True
    _rearmed: datetime | None = None

    async def set_up(self, witness: Witness) -> None:
        """No errors yet."""
        self._rearmed = None  # whatever recovery had turned on is off again
        await _set_flags(witness, ALL_OFF)

    async def break_it(self, cycle: int, world: WorldClient, witness: Witness, chance: Random) -> Fault:
        """Switch the flag on, unless Homeostat's recovery has just done so."""
        del cycle, world, chance
        at, self._rearmed = self._rearmed, None
        if at is None:
            at = await witness.set_flag("errorInjectionEnabled", True, "rehearsal: a release that fails")
        return Fault("errorInjectionEnabled is on", at)

    def is_bad(self, second: SecondStats) -> bool:
        """A journey failed."""
        return second.errors > 0

    async def rearmed_at(
        self, fault: Fault, verified: Run | None, incidents: Sequence[Incident], world: WorldClient
    ) -> datetime | None:
        """When recovery has turned the flag on again."""
        del fault, incidents, world
        self._rearmed = verified.rearmed_at if verified else None
        return self._rearmed

    async def clean_up(self, fault: Fault, world: WorldClient, witness: Witness, *, healed: bool) -> None:
        """Turn the flag off when nobody healed."""
        del fault, world
        if not healed:
            await witness.set_flag("errorInjectionEnabled", False, "rehearsal: cleaning up")


class _OneProcess(ABC):
    """What scenarios have in common that do something to the process of one service, chosen by the seed."""

    has_fault = True

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def set_up(self, witness: Witness) -> None:
        """Nothing is wrong at first."""
        await _set_flags(witness, ALL_OFF)

    async def break_it(self, cycle: int, world: WorldClient, witness: Witness, chance: Random) -> Fault:
        """Pick a service and break its process."""
        del cycle, witness
        services = sorted(service.name for service in await world.services())
        target = services[chance.randrange(len(services))]
        at = self._clock.now()
        return Fault(await self._break(world, target), at, target)

    async def rearmed_at(
        self, fault: Fault, verified: Run | None, incidents: Sequence[Incident], world: WorldClient
    ) -> datetime | None:
        """When the incident has closed, the action was verified and the process is there."""
        if verified is None or not await _is_up(world, fault.target):
            return None
        return _whole_at(verified, incidents)

    async def clean_up(self, fault: Fault, world: WorldClient, witness: Witness, *, healed: bool) -> None:
        """Mend what nobody healed."""
        del witness
        if not healed:
            await self._mend(world, fault.target)

    @abstractmethod
    async def _break(self, world: WorldClient, target: str) -> str:
        """Do it; say what was done."""

    @abstractmethod
    async def _mend(self, world: WorldClient, target: str) -> None:
        """Undo it."""


class Crash(_OneProcess):
    """A service's process gets SIGKILL."""

    name = "crash"
    title = "the process of a service is killed"

    def is_bad(self, second: SecondStats) -> bool:
        """A journey failed."""
        return second.errors > 0

    async def _break(self, world: WorldClient, target: str) -> str:
        await world.kill(target)
        return f"{target} was killed (SIGKILL)"

    async def _mend(self, world: WorldClient, target: str) -> None:
        await world.restart(target)


class Latency(_OneProcess):
    """A service turns slow: its process is stopped and continued, as on a starved machine, until it is restarted."""

    name = "latency"
    title = "a service turns slow"

    def is_bad(self, second: SecondStats) -> bool:
        """A journey failed or took longer than half a second."""
        return second.errors > 0 or second.duration_max_ms > SLOW_JOURNEY_MS

    async def _break(self, world: WorldClient, target: str) -> str:
        await world.slow(target, stop_ms=SLOW_STOP_MS, run_ms=SLOW_RUN_MS, lease_s=SLOW_LEASE_S)
        return f"{target} is slow (stopped {SLOW_STOP_MS} of every {SLOW_STOP_MS + SLOW_RUN_MS} ms)"

    async def _mend(self, world: WorldClient, target: str) -> None:
        await world.unslow(target)


@dataclass(slots=True)
class Quiet:
    """No fault: whatever Homeostat reports or does is a false alarm."""

    clock: Clock
    name: str = "quiet"
    title: str = "nothing goes wrong; anything that is reported is a false alarm"
    has_fault: bool = False
    flags: Mapping[str, bool] = field(default_factory=lambda: ALL_OFF)

    async def set_up(self, witness: Witness) -> None:
        """Nothing is wrong."""
        await _set_flags(witness, self.flags)

    async def break_it(self, cycle: int, world: WorldClient, witness: Witness, chance: Random) -> Fault:
        """Nothing to break; never called."""
        del cycle, world, witness, chance
        raise NotFoundError("the quiet scenario has no fault")

    def is_bad(self, second: SecondStats) -> bool:
        """A journey failed."""
        return second.errors > 0

    async def rearmed_at(
        self, fault: Fault, verified: Run | None, incidents: Sequence[Incident], world: WorldClient
    ) -> datetime | None:
        """Never."""
        del fault, verified, incidents, world

    async def clean_up(self, fault: Fault, world: WorldClient, witness: Witness, *, healed: bool) -> None:
        """Nothing to clean up."""
        del fault, world, witness, healed


SCENARIO_NAMES = ("umbrella", "crash", "latency", "quiet")


def scenario_named(name: str, clock: Clock) -> Scenario:
    """The scenario of that name. Raises NotFoundError, naming those there are."""
    match name:
        case "umbrella":
            return Umbrella(clock)
        case "crash":
            return Crash(clock)
        case "latency":
            return Latency(clock)
        case "quiet":
            return Quiet(clock)
        case _:
            raise NotFoundError(f"There is no scenario {name!r}. There are: {', '.join(SCENARIO_NAMES)}.")


async def _is_up(world: WorldClient, name: str) -> bool:
    return any(service.name == name and service.pid is not None for service in await world.services())


def _whole_at(verified: Run, incidents: Sequence[Incident]) -> datetime | None:
    """When the last incident had closed and the action was verified; None: not yet."""
    moments = [verified.finished_at, *(incident.closed_at for incident in incidents)]
    known = [moment for moment in moments if moment is not None]
    return max(known) if len(known) == len(moments) else None
