"""One signal of one resource, measured now. Verification measures with this what detection found.

Only whole seconds count that begin at or after ``since`` and are complete (see ``windows``): what is judged is the
time after the act, not a second that holds both.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime

from homeostat.core.models import Signal
from homeostat.core.ports import Clock, RedReader, Sensor
from homeostat.core.red import RedPoint
from homeostat.core.resources import ResourceId, service_name
from homeostat.detect import error_rate, latency
from homeostat.detect.windows import complete_end_s

_UNITS = {"self_error_rate": "ratio", error_rate.SIGNAL: "ratio", latency.SIGNAL: "ms", "up": "bool"}


SELF_ERROR_RATE = "self_error_rate"
"""Errors that began in the service, less those it was handed from below, as a share of its requests."""


class Signals:
    """core.ports.SignalReader over RED metrics and sensors.

    ``service:X`` and ``process:X`` both have RED signals: a process is looked up by the service name that
    ``process_services`` gives it (its own name by default). Everything else is asked of the sensors.
    """

    def __init__(
        self,
        red: RedReader,
        clock: Clock,
        sensors: Sequence[Sensor] = (),
        process_services: Mapping[str, str] | None = None,
    ) -> None:
        self._red = red
        self._clock = clock
        self._sensors = sensors
        self._process_services = dict(process_services or {})

    async def read(self, resource: str, name: str, *, since: datetime, operation: str | None = None) -> Signal:
        """The value over the complete seconds of ``[since, now]``; None when there was nothing to measure.

        Raises BadRequestError for a resource that is not ``kind:name``.
        """
        parsed = ResourceId.parse(resource)
        if parsed.kind in ("service", "process") and name in (error_rate.SIGNAL, SELF_ERROR_RATE, latency.SIGNAL):
            service = service_name(resource, self._process_services)
            return self._red_signal(resource, service, name, since, operation)
        for sensor in self._sensors:
            signal = await sensor.read(resource, name)
            if signal is not None:
                return signal
        return Signal(resource=resource, name=name, value=None, unit=_UNITS.get(name, ""), time=self._clock.now())

    def _red_signal(self, resource: str, service: str, name: str, since: datetime, operation: str | None) -> Signal:
        now = self._clock.now()
        point = self._point(service, operation, math.ceil(since.timestamp()), complete_end_s(self._red, now))
        value = None
        if point is not None:
            value = _value(point, name)
        return Signal(
            resource=resource,
            name=name,
            value=value,
            unit=_UNITS[name],
            time=now,
            sample_size=0 if point is None else point.requests,
            operation=operation,
        )

    def _point(self, service: str, operation: str | None, start_s: int, end_s: int | None) -> RedPoint | None:
        if end_s is None or end_s <= start_s:
            return None
        points = self._red.window(start_s, end_s) if operation is None else self._red.operations(start_s, end_s)
        return next((p for p in points if p.service == service and p.operation == operation and p.requests), None)


def _value(point: RedPoint, name: str) -> float | None:
    if name == error_rate.SIGNAL:
        return point.error_rate
    if name == SELF_ERROR_RATE:
        return point.self_errors / point.requests if point.requests else None
    return point.quantile_ms(0.95)
