"""Sees when the machine that the watched processes run on has too little processor time for what wants to run.

The kernel's own account is read where it has one (pressure stall information, ``/proc/pressure/cpu``: the share of
the last ten seconds in which some task was ready and had to wait) and, because that says nothing of how many
processors were idle meanwhile, the load average; where there is no such account, the latter alone. The sensor says
what it measured; whether anybody suffers from it is for detection to say: a busy machine where nobody waits is well
used.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio

from homeostat.core.models import IssueType, SensorEvent, Signal
from homeostat.core.ports import Clock
from homeostat.core.resources import HOST

SIGNAL: Final = "cpu_pressure"

STARVED_SHARE: Final = 0.6
"""Some task waits for more of the time than not: with that, requests queue for a processor on their way."""

RELIEVED_SHARE: Final = 0.4
"""Below this the machine is no longer starved."""

STARVED_LOAD: Final = 2.0
"""Runnable tasks for each processor, where the kernel keeps no account of pressure."""

RELIEVED_LOAD: Final = 1.2

BUSY_LOAD: Final = 0.5
"""Some task waits also where a few share one processor of many. A machine is starved only with so many runnable tasks
for each processor, at this moment or by the load average: the latter is that of a minute and rises late."""

IDLE_LOAD: Final = 0.3
"""Below this the machine is no longer starved, whoever waits."""

LOOK_INTERVAL_S: Final = 2.0
REPEAT_EVERY: Final = 5
"""While it lasts, the figures are told anew at every so manieth look."""

_SOME: Final = re.compile(r"^some avg10=([0-9.]+)", re.MULTILINE)

_RUNNABLE: Final = re.compile(r"^\S+ \S+ \S+ ([0-9]{1,9})/[0-9]+ ")
"""The fourth field of ``/proc/loadavg``: how many are runnable of how many there are (proc_loadavg(5))."""


@dataclass(frozen=True, slots=True)
class Pressure:
    """One reading. ``share`` None: the kernel keeps no account."""

    share: float | None  # of the last ten seconds in which a task waited for a processor, 0..1
    load: float | None  # tasks that run or want to, averaged over a minute
    processors: int
    runnable: int | None = None  # tasks that run or want to at this moment, but for the one that asks

    @property
    def known(self) -> bool:
        """Can anything be said?"""
        return self.share is not None or self.load is not None

    def starved(self, already: bool) -> bool:
        """With hysteresis: ``already`` starved needs less."""
        if self.share is None:
            return (self.load or 0.0) / self.processors >= (RELIEVED_LOAD if already else STARVED_LOAD)
        if self.load is not None:
            busy = max(self.load, self.runnable or 0) / self.processors
            if busy < (IDLE_LOAD if already else BUSY_LOAD):
                return False
        return self.share >= (RELIEVED_SHARE if already else STARVED_SHARE)

    def in_words(self) -> str:
        """The figures as a sentence without its full stop."""
        many = f"{self.processors} processor{'s' if self.processors != 1 else ''}"
        load = "" if self.load is None else f"the load average is {self.load:.1f} on {many}"
        if self.share is None:
            return load
        return f"in {self.share:.0%} of the last 10 s a task waited for a processor" + (f"; {load}" if load else "")


def read_pressure(proc: Path = Path("/proc")) -> Pressure:
    """What the kernel says now. A file that is missing or says something else is no reading."""
    some = _SOME.search(_text(proc / "pressure/cpu"))
    loads = _text(proc / "loadavg")
    first, now = loads.split(" ", 1)[0], _RUNNABLE.match(loads)
    return Pressure(
        share=float(some[1]) / 100 if some and _is_number(some[1]) else None,
        load=float(first) if _is_number(first) else None,
        processors=max(1, len(os.sched_getaffinity(0))),
        runnable=max(0, int(now[1]) - 1) if now else None,
    )


class HostSensor:
    """Watches ``host:local``."""

    def __init__(self, clock: Clock, read: Callable[[], Pressure] = read_pressure) -> None:
        self._clock = clock
        self._read = read

    async def watch(self, emit: Callable[[SensorEvent], None]) -> None:
        """Run until cancelled. How it is at first is told, every change and, while it is starved, the figures."""
        starved, looks = False, 0
        while True:
            pressure = self._read()
            if pressure.known:
                now_starved = pressure.starved(starved)
                if looks == 0 or now_starved != starved or (starved and looks % REPEAT_EVERY == 0):
                    emit(self._event(pressure, bad=now_starved))
                starved, looks = now_starved, looks + 1
            await anyio.sleep(LOOK_INTERVAL_S)

    async def read(self, resource: str, name: str) -> Signal | None:
        """``cpu_pressure``: a share of the last ten seconds, 0..1; None where the kernel keeps no account."""
        if resource != HOST or name != SIGNAL:
            return None
        value = self._read().share
        return Signal(
            resource=resource,
            name=name,
            value=value,
            unit="ratio",
            time=self._clock.now(),
            sample_size=0 if value is None else 1,
        )

    def _event(self, pressure: Pressure, *, bad: bool) -> SensorEvent:
        figures = {
            "cpu_pressure": pressure.share,
            "load_average": pressure.load,
            "processors": pressure.processors,
            "starved_from": STARVED_SHARE if pressure.share is not None else STARVED_LOAD * pressure.processors,
        }
        return SensorEvent(
            resource=HOST,
            type=IssueType.HOST_STARVED,
            bad=bad,
            time=self._clock.now(),
            detail=pressure.in_words(),
            metrics={name: float(value) for name, value in figures.items() if value is not None},
        )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9]+(\.[0-9]+)?", text))
