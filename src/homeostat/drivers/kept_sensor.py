"""A driver's sensor whose surprises end neither the loop that watches through it nor the others. Made by ``app``."""

from collections.abc import Callable
from functools import partial

from homeostat.background import Background
from homeostat.core.models import SensorEvent, Signal
from homeostat.core.ports import Sensor


class KeptSensor:
    """core.ports.Sensor: ``watch`` is begun anew after an exception, ``read`` is the sensor's own."""

    def __init__(self, sensor: Sensor, driver: str, background: Background) -> None:
        self._sensor = sensor
        self._driver = driver
        self._background = background

    async def watch(self, emit: Callable[[SensorEvent], None]) -> None:
        """Run until cancelled; call ``emit`` for each change."""
        await self._background.keep("sensor", partial(self._sensor.watch, emit), of=f"driver {self._driver!r}")

    async def read(self, resource: str, name: str) -> Signal | None:
        """Measure now; None when the resource or the signal is not this sensor's."""
        return await self._sensor.read(resource, name)
