"""The process driver: sensors and actions over ``watch.processes`` of the configuration."""

from collections.abc import Sequence

from homeostat.core.config import ProcessConfig
from homeostat.core.ports import Action, Clock, Sensor
from homeostat.drivers.parts import DriverParts
from homeostat.drivers.process.actions import RestartProcess
from homeostat.drivers.process.host import HostSensor
from homeostat.drivers.process.sensors import ExpectedDeaths, ProcessSensor


class ProcessDriver:
    """Processes of this machine, named by their pid files."""

    name = "process"

    def __init__(self, processes: Sequence[ProcessConfig], clock: Clock) -> None:
        expected = ExpectedDeaths()
        self._sensors: tuple[Sensor, ...] = (ProcessSensor(processes, clock, expected),)
        if processes:
            self._sensors += (HostSensor(clock),)
        self._action = RestartProcess(processes, expected)

    @classmethod
    def build(cls, parts: DriverParts) -> "ProcessDriver":
        """The factory in ``drivers.BUILTIN``."""
        return cls(parts.config.watch.processes, parts.clock)

    def sensors(self) -> Sequence[Sensor]:
        """One over all processes and, where there are any, one for the machine that they run on."""
        return self._sensors

    def actions(self) -> Sequence[Action]:
        """``restart_process``."""
        return (self._action,)
