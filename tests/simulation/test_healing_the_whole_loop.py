"""Detection, healing and recovery together in virtual time, over scripted traffic: the same loop as in production.

What the issue of the closed loop asks of real processes is asked here of the control plane alone, so that the numbers
do not depend on how busy the machine is that runs the tests.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import anyio
import pytest

from homeostat.bus import LocalBus
from homeostat.core.config import Config, ProcessConfig
from homeostat.core.models import (
    FlagChange,
    Incident,
    IncidentStatus,
    IssueType,
    Run,
    RunStatus,
    Scalar,
    SensorEvent,
    Signal,
)
from homeostat.core.ports import Action, Sensor
from homeostat.detect import DependentServices, Detection, Signals
from homeostat.drivers.flags.driver import FlagsDriver
from homeostat.flags import FlagService
from homeostat.heal import Healer
from homeostat.loop import LoopParts, keep_in_balance
from homeostat.sim.traffic import Disturbance, SimService, SimTraffic
from homeostat.sim.world import Simulation, run
from homeostat.story import Story
from support.memory_state import MemoryState
from support.restarts import ScriptedRestart

CYCLES = 20
SERVICES = ("gateway", "checkout", "payment", "catalog")
ERRORS = "errorInjectionEnabled"


@dataclass
class Town:
    """Scripted services, processes that can die, a flag that hurts, and Homeostat's loop over all of it."""

    sim: Simulation
    heal: bool = True
    sick_rate: float = 0.3

    def __post_init__(self) -> None:
        sim = self.sim
        self.traffic = SimTraffic(
            sim.clock,
            [
                SimService("gateway", calls=("checkout", "catalog"), entry_rate=16.0, median_ms=3.0),
                SimService("checkout", calls=("payment",), median_ms=8.0),
                SimService("payment", median_ms=12.0),
                SimService("catalog", median_ms=5.0),
            ],
            seed=sim.seed,
        )
        self.processes = Processes(self)
        self.state = MemoryState()
        self.bus = LocalBus()
        self.config = Config.model_validate(
            {
                "watch": {"processes": [{"name": name, "pid_file": f"{name}.pid"} for name in SERVICES]},
                "heal": {
                    "mode": "auto" if self.heal else "observe",
                    "limits": {"per_resource_per_hour": 1000, "per_hour": 1000},
                    "recovery": {"hold_off": "2s", "backoff": 1.0},
                },
            }
        )
        self.flags = FlagService(
            self.state, sim.clock, sim.ids, initial={ERRORS: False, "slowResponsesEnabled": False}, publish=self._flag
        )

    def _flag(self, topic: str, data: dict[str, object]) -> None:
        change = FlagChange.model_validate(data)
        if change.flag != ERRORS:
            return
        if change.new_value:
            self.traffic.disturb(
                Disturbance("payment", start_s=self.sim.clock.monotonic() + 0.3, error_rate=self.sick_rate)
            )
        else:
            self.traffic.calm("payment")

    async def _read_flags(self) -> None:
        """The services ask for their flags, as they do in production."""
        while True:
            self.flags.evaluate_all({})
            await anyio.sleep(1)

    async def live(self, course: Callable[["Town"], Awaitable[None]]) -> None:
        """Run the loop while ``course`` plays."""
        sim, sensors = self.sim, (self.processes,)
        async with self.flags.opened() as flags, anyio.create_task_group() as tasks:
            actions: list[Action] = [*FlagsDriver(flags).actions(), self.processes]
            parts = LoopParts(
                clock=sim.clock,
                state=self.state,
                sensors=sensors,
                detection=Detection(self.config.detect, self.traffic, sim.ids, flags=flags),
                healer=Healer(
                    config=self.config,
                    actions=actions,
                    signals=Signals(self.traffic, sim.clock, sensors),
                    store=self.state,
                    bus=self.bus,
                    clock=sim.clock,
                    ids=sim.ids,
                    dependents=DependentServices(self.traffic, sim.clock, self.config.detect),
                ),
                story=Story(self.state, self.bus, sim.clock, sim.ids),
                interval=self.config.detect.interval,
            )
            tasks.start_soon(keep_in_balance, parts)
            tasks.start_soon(self._read_flags)
            await anyio.sleep(60)  # healthy traffic makes a baseline
            await course(self)
            tasks.cancel_scope.cancel()

    async def closed(self, opened_after: datetime, within_s: float = 90.0) -> list[Incident]:
        """Incidents that opened after a moment, once there are some and all have closed."""
        with anyio.move_on_after(within_s):
            while True:
                found = [item for item in self.state.incidents_by_id.values() if item.opened_at >= opened_after]
                if found and all(item.status is IncidentStatus.CLOSED for item in found):
                    return found
                await anyio.sleep(0.1)
        return []

    def runs_since(self, moment: datetime) -> list[Run]:
        return [item for item in self.state.runs_by_id.values() if item.created_at >= moment]


@dataclass
class Processes(ScriptedRestart):
    """The sensor and the restart action over processes that exist only here: targets are the real action's."""

    town: Town
    dead: set[str] = field(default_factory=set)
    emit: Callable[[SensorEvent], None] | None = None

    def __post_init__(self) -> None:
        known = [
            ProcessConfig.model_validate({"name": n, "pid_file": n, "restart": {"command": ["true"]}})
            for n in SERVICES
        ]
        self.knows(known)

    def kill(self, name: str) -> None:
        self.dead.add(name)
        self.town.traffic.disturb(Disturbance(name, start_s=self.town.sim.clock.monotonic(), silent=True))
        self._tell(name, bad=True)

    def _tell(self, name: str, *, bad: bool) -> None:
        assert self.emit is not None
        self.emit(
            SensorEvent(
                resource=f"process:{name}",
                type=IssueType.PROCESS_CRASH,
                bad=bad,
                time=self.town.sim.clock.now(),
                detail="killed by SIGKILL" if bad else "running",
            )
        )

    async def watch(self, emit: Callable[[SensorEvent], None]) -> None:
        self.emit = emit
        await anyio.sleep_forever()

    async def read(self, resource: str, name: str) -> Signal | None:
        value = float(resource.removeprefix("process:") not in self.dead)
        return Signal(resource=resource, name=name, value=value, unit="bool", time=self.town.sim.clock.now())

    async def act(self, run: Run) -> dict[str, Scalar]:
        name = run.step.resource.removeprefix("process:")
        await anyio.sleep(0.2)
        self.town.traffic.calm(name)
        if name in self.dead:
            self.dead.discard(name)
            self._tell(name, bad=False)
        return {}

    async def probe(self, run: Run) -> bool | None:
        return run.step.resource.removeprefix("process:") not in self.dead


_: type[Sensor] = Processes  # it is one


def p95(values: list[float]) -> float:
    return sorted(values)[max(0, round(0.95 * len(values)) - 1)]


def until_journalled(found: list[tuple[datetime, datetime]]) -> list[float]:
    return [(acted - bad).total_seconds() for bad, acted in found]


@pytest.mark.parametrize("seed", [1, 2])
def test_20_of_20_flag_faults_are_detected_healed_verified_and_rearmed(seed: int) -> None:
    times: list[tuple[datetime, datetime]] = []

    async def course(town: Town) -> None:
        fault_at = town.sim.clock.now()
        await town.flags.set(ERRORS, True, reason="fault", triggered_by="rehearsal")
        for _ in range(CYCLES):
            incidents = await town.closed(fault_at)
            assert incidents, "never closed"
            assert all(item.healed for item in incidents)
            runs = town.runs_since(fault_at)
            assert [(item.step.resource, item.status) for item in runs] == [(f"flag:{ERRORS}", RunStatus.VERIFIED)]
            assert runs[0].intent_at is not None
            times.append((min(item.first_bad_at for item in incidents), runs[0].intent_at))
            with anyio.fail_after(10):
                while (rearmed_at := town.state.runs_by_id[runs[0].id].rearmed_at) is None:
                    await anyio.sleep(0.1)
            assert town.flags.values()[ERRORS] is True
            fault_at = rearmed_at  # the flag coming back is the next fault

    run(lambda sim: Town(sim).live(course), seed=seed)
    assert len(times) == CYCLES
    assert p95(until_journalled(times)) < 5.0
    print(f"first bad second -> journalled: p95 {p95(until_journalled(times)):.2f} s")


@pytest.mark.parametrize("seed", [1, 2])
def test_20_of_20_crashes_are_healed_within_a_second_of_the_death(seed: int) -> None:
    times: list[tuple[datetime, datetime]] = []

    async def course(town: Town) -> None:
        chance = random.Random(seed)
        for _ in range(CYCLES):
            fault_at = town.sim.clock.now()
            name = chance.choice(SERVICES)
            town.processes.kill(name)
            incidents = await town.closed(fault_at)
            assert incidents, f"{name}: never closed"
            assert all(item.healed for item in incidents)
            runs = town.runs_since(fault_at)
            with anyio.move_on_after(30):
                while runs[-1].finished_at is None:
                    await anyio.sleep(0.1)
                    runs = town.runs_since(fault_at)
            restarted = [(item.step.resource, item.status) for item in runs]
            assert restarted == [(f"process:{name}", RunStatus.VERIFIED)]
            assert runs[0].intent_at is not None
            times.append((fault_at, runs[0].intent_at))
            await anyio.sleep(chance.uniform(5, 20))

    run(lambda sim: Town(sim).live(course), seed=seed)
    assert p95(until_journalled(times)) < 1.0
    print(f"death -> journalled: p95 {p95(until_journalled(times)):.3f} s")


def test_20_of_20_slow_services_are_found_and_restarted() -> None:
    times: list[tuple[datetime, datetime]] = []

    async def course(town: Town) -> None:
        chance = random.Random(7)
        for _ in range(CYCLES):
            fault_at = town.sim.clock.now()
            name = chance.choice(("payment", "catalog"))
            town.traffic.disturb(Disturbance(name, start_s=town.sim.clock.monotonic(), added_ms=900, added_share=0.9))
            incidents = await town.closed(fault_at)
            assert incidents, f"{name}: never closed"
            verified = [item for item in town.runs_since(fault_at) if item.status is RunStatus.VERIFIED]
            assert [item.step.resource for item in verified] == [f"process:{name}"]
            assert verified[0].intent_at is not None
            times.append((min(item.first_bad_at for item in incidents), verified[0].intent_at))
            await anyio.sleep(chance.uniform(20, 40))

    run(lambda sim: Town(sim).live(course), seed=3)
    assert p95(until_journalled(times)) < 5.0
    print(f"first bad second -> journalled: p95 {p95(until_journalled(times)):.2f} s")


def test_without_healing_the_errors_do_not_stop() -> None:
    async def course(town: Town) -> None:
        fault_at = town.sim.clock.now()
        await town.flags.set(ERRORS, True, reason="fault", triggered_by="rehearsal")
        assert await town.closed(fault_at, within_s=120) == []
        assert town.runs_since(fault_at) == []

    run(lambda sim: Town(sim, heal=False).live(course), seed=4)


def test_half_an_hour_without_a_fault_is_half_an_hour_without_an_action() -> None:
    async def course(town: Town) -> None:
        await anyio.sleep(timedelta(minutes=30).total_seconds())
        assert town.state.issues_by_id == {}
        assert town.state.runs_by_id == {}

    run(lambda sim: Town(sim).live(course), seed=5)
