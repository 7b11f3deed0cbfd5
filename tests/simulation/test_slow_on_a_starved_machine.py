"""Everything is slow because the machine is: that is said, nothing is restarted for it, and who is ill stands out.

The whole loop over scripted traffic in virtual time, with the real restart action over processes of this test alone.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio
import pytest

from homeostat.bus import LocalBus
from homeostat.core.config import Config
from homeostat.core.models import (
    Incident,
    IncidentStatus,
    Issue,
    IssueType,
    Run,
    RunStatus,
    Scalar,
    Signal,
    TimelineKind,
)
from homeostat.core.resources import HOST
from homeostat.detect import DependentServices, Detection, Signals
from homeostat.drivers.process.host import HostSensor, Pressure
from homeostat.heal import Healer
from homeostat.loop import LoopParts, keep_in_balance
from homeostat.sim.traffic import Disturbance, SimService, SimTraffic
from homeostat.sim.world import Simulation, run
from homeostat.story import Story
from support.memory_state import MemoryState
from support.restarts import ScriptedRestart

SERVICES = ("gateway", "cart", "checkout", "payment", "orders")
WAIT_MS = 180.0
"""What each service takes longer on the starved machine: five of them make a journey of most of a second."""


@dataclass
class Machine(ScriptedRestart):
    """Five services on one machine, each calling the next."""

    sim: Simulation
    share: float = 0.1  # of the time in which a task waits for a processor
    restarted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        services = [
            SimService(name, calls=SERVICES[place + 1 : place + 2], entry_rate=0 if place else 16.0, median_ms=8.0)
            for place, name in enumerate(SERVICES)
        ]
        self.traffic = SimTraffic(self.sim.clock, services, seed=self.sim.seed)
        self.state = MemoryState()
        processes = [{"name": f"p-{name}", "service": name, "pid_file": name} for name in SERVICES]
        restart = {"restart": {"command": ["true"]}}
        self.config = Config.model_validate(
            {"watch": {"processes": [one | restart for one in processes]}, "heal": {"mode": "auto"}}
        )
        self.knows(self.config.watch.processes)

    def starve(self) -> None:
        self.share = 0.97
        now = self.sim.clock.monotonic()
        for name in SERVICES:
            self.traffic.disturb(Disturbance(name, start_s=now, added_ms=WAIT_MS))

    def relieve(self) -> None:
        self.share = 0.1
        for name in SERVICES:
            self.traffic.calm(name)

    def fall_ill(self, name: str, added_ms: float) -> None:
        self.traffic.disturb(Disturbance(name, start_s=self.sim.clock.monotonic(), added_ms=added_ms))

    # -- core.ports.Action ----------------------------------------------------------------------------------

    async def act(self, run: Run) -> dict[str, Scalar]:
        """The fresh process is as slow as the machine lets it be."""
        name = run.step.resource.removeprefix("process:p-")
        self.restarted.append(name)
        self.traffic.calm(name)
        if self.share > 0.5:
            self.traffic.disturb(Disturbance(name, start_s=self.sim.clock.monotonic(), added_ms=WAIT_MS))
        return {}

    async def probe(self, run: Run) -> bool | None:
        return True

    # -- running --------------------------------------------------------------------------------------------

    async def live(self, course: Callable[["Machine"], Awaitable[None]]) -> None:
        sim, bus = self.sim, LocalBus()
        services = {process.name: process.service_name for process in self.config.watch.processes}
        sensors = (HostSensor(sim.clock, lambda: Pressure(self.share, 20 * self.share, 2)), _AllUp(sim))
        parts = LoopParts(
            clock=sim.clock,
            state=self.state,
            sensors=sensors,
            detection=Detection(self.config.detect, self.traffic, sim.ids, process_services=services),
            healer=Healer(
                config=self.config,
                actions=[self],
                signals=Signals(self.traffic, sim.clock, sensors, services),
                store=self.state,
                bus=bus,
                clock=sim.clock,
                ids=sim.ids,
                dependents=DependentServices(self.traffic, sim.clock, self.config.detect, process_services=services),
            ),
            story=Story(self.state, bus, sim.clock, sim.ids),
            interval=self.config.detect.interval,
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keep_in_balance, parts)
            await anyio.sleep(60)
            await course(self)
            tasks.cancel_scope.cancel()

    def open_issues(self) -> list[Issue]:
        return [one for one in self.state.issues_by_id.values() if one.closed_at is None]

    def incidents(self, resource: str) -> list[Incident]:
        found = self.state.incidents_by_id.values()
        return [one for one in found if one.root_cause is not None and one.root_cause.resource == resource]


@dataclass
class _AllUp:
    sim: Simulation

    async def watch(self, emit: object) -> None:
        await anyio.sleep_forever()

    async def read(self, resource: str, name: str) -> Signal | None:
        if name != "up":
            return None
        return Signal(resource=resource, name=name, value=1.0, unit="bool", time=self.sim.clock.now())


async def all_closed(machine: Machine) -> None:
    with anyio.fail_after(90):
        while any(one.status is not IncidentStatus.CLOSED for one in machine.state.incidents_by_id.values()):
            await anyio.sleep(0.5)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_starved_machine_is_told_and_nothing_is_restarted_for_it(seed: int) -> None:
    async def course(machine: Machine) -> None:
        machine.starve()
        await anyio.sleep(60)
        assert machine.restarted == []
        (of_host,) = [one for one in machine.open_issues() if one.type is IssueType.HOST_STARVED]
        assert of_host.resource == HOST
        assert "In 97% of the last 10 s a task waited for a processor" in of_host.evidence.detail
        assert "Slow here: " in of_host.evidence.detail
        causes = {one.root_cause.resource for one in machine.state.incidents_by_id.values() if one.root_cause}
        assert causes == {HOST}
        called = [one.detail for one in machine.state.entries if one.kind is TimelineKind.ESCALATED]
        assert called
        assert all("too little processor time" in detail for detail in called)
        machine.relieve()
        await all_closed(machine)
        assert machine.restarted == []

    run(lambda sim: Machine(sim).live(course), seed=seed)


async def only_restarted(machine: Machine, ill: str) -> None:
    """The service is restarted within half a minute, nobody else is, and relieved the machine is well again."""
    with anyio.fail_after(30):
        while not machine.restarted:
            await anyio.sleep(0.5)
    await anyio.sleep(20)
    assert set(machine.restarted) == {ill}
    machine.relieve()
    await all_closed(machine)


@pytest.mark.parametrize("ill", ["cart", "checkout", "payment", "orders"])
def test_who_is_ill_on_a_starved_machine_is_found_and_restarted_and_nobody_else(ill: str) -> None:
    async def course(machine: Machine) -> None:
        machine.starve()
        await anyio.sleep(30)
        machine.fall_ill(ill, 1500.0)
        await only_restarted(machine, ill)

    run(lambda sim: Machine(sim).live(course), seed=4)


@pytest.mark.parametrize("ill", ["cart", "checkout", "payment", "orders"])
def test_who_falls_ill_as_the_machine_gets_busy_is_restarted(ill: str) -> None:
    async def course(machine: Machine) -> None:
        machine.starve()
        machine.fall_ill(ill, 1500.0)
        await only_restarted(machine, ill)
        assert {run.status for run in machine.state.runs_by_id.values()} <= {RunStatus.VERIFIED, RunStatus.FAILED}

    run(lambda sim: Machine(sim).live(course), seed=5)


def test_a_busy_machine_that_serves_in_time_is_no_issue() -> None:
    async def course(machine: Machine) -> None:
        machine.share = 0.97
        await anyio.sleep(120)
        assert machine.state.issues_by_id == {}

    run(lambda sim: Machine(sim).live(course), seed=6)


def test_an_ill_service_on_a_machine_that_is_not_starved_is_restarted_as_ever() -> None:
    async def course(machine: Machine) -> None:
        machine.fall_ill("checkout", 900.0)
        await anyio.sleep(30)
        assert machine.restarted == ["checkout"]
        await all_closed(machine)
        assert IssueType.HOST_STARVED not in {one.type for one in machine.state.issues_by_id.values()}

    run(lambda sim: Machine(sim).live(course), seed=7)


def test_the_cause_that_was_healed_stays_the_cause_of_its_incident() -> None:
    async def course(machine: Machine) -> None:
        machine.fall_ill("checkout", 900.0)
        await anyio.sleep(2)
        machine.share = 0.97
        with anyio.fail_after(30):
            while not machine.restarted:
                await anyio.sleep(0.5)
        await all_closed(machine)
        causes = {one.root_cause.resource for one in machine.state.incidents_by_id.values() if one.root_cause}
        assert causes == {"service:checkout", HOST}  # of its own incident, and of the machine's

    run(lambda sim: Machine(sim).live(course), seed=8)
