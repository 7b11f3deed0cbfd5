"""Detection watching scripted traffic under virtual time, and what it said when."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import anyio

from homeostat.core.config import DetectConfig
from homeostat.core.models import FlagChange, Incident, Issue
from homeostat.detect import ChangeKind, Detection, IncidentChange, IssueChange
from homeostat.sim import Simulation, run
from homeostat.sim.traffic import Disturbance, SimService, SimTraffic


def chain(rate: float, *, background: float = 0.0, length: int = 3) -> list[SimService]:
    """``front`` calls ``mid`` calls ``back``; ``background`` is the share of its own requests that each fails."""
    names = ("front", "mid", "back")[:length]
    return [
        SimService(
            name=name,
            calls=names[place + 1 : place + 2],
            entry_rate=rate if place == 0 else 0.0,
            error_rate=background,
            median_ms=5.0,
        )
        for place, name in enumerate(names)
    ]


@dataclass
class Told:
    """What detection said, with the virtual second in which it said it."""

    issues: list[tuple[float, IssueChange]] = field(default_factory=list)
    incidents: list[tuple[float, IncidentChange]] = field(default_factory=list)

    def opened(self) -> list[tuple[float, Issue]]:
        return [(at, change.issue) for at, change in self.issues if change.kind is ChangeKind.OPENED]

    def opened_incidents(self) -> list[tuple[float, Incident]]:
        return [(at, change.incident) for at, change in self.incidents if change.kind is ChangeKind.OPENED]

    def closed_incidents(self) -> list[tuple[float, Incident]]:
        return [(at, change.incident) for at, change in self.incidents if change.kind is ChangeKind.CLOSED]


class FlagHistory:
    """The audit of flag changes, as the flag service keeps it."""

    def __init__(self, changes: Sequence[FlagChange] = ()) -> None:
        self.all = list(changes)

    async def changes(self, since: datetime) -> list[FlagChange]:
        return [change for change in self.all if change.time >= since]


Act = Callable[[float, Detection, SimTraffic, Simulation], None]


def watch(
    services: Sequence[SimService],
    disturbances: Sequence[Disturbance] = (),
    *,
    for_s: float,
    seed: int = 0,
    step_s: float = 0.5,
    first_look_s: float = 0.0,
    until: Callable[[Told], bool] = lambda told: False,
    act: Act | None = None,
    **detection: Any,
) -> Told:
    """Run detection over the traffic. ``act`` is called before each look with the virtual second."""
    told = Told()

    async def main(simulation: Simulation) -> None:
        traffic = SimTraffic(simulation.clock, services, disturbances, seed=seed)
        watching = Detection(DetectConfig(), traffic, simulation.ids, **detection)
        await anyio.sleep(first_look_s)
        while simulation.clock.monotonic() < for_s and not until(told):
            await anyio.sleep(step_s)
            now_s = simulation.clock.monotonic()
            if act is not None:
                act(now_s, watching, traffic, simulation)
            result = await watching.look(simulation.clock.now())
            told.issues += [(now_s, change) for change in result.issue_changes]
            told.incidents += [(now_s, change) for change in result.incident_changes]

    run(main, seed)
    return told
