"""The disk fills up in the middle of healing, in virtual time: it goes on afterwards, repeats and forgets nothing."""

from functools import partial

import anyio
import pytest

from homeostat.core.errors import StoreError, StoreFullError
from homeostat.core.models import (
    TERMINAL_RUN_STATUSES,
    FlagChange,
    Incident,
    Issue,
    PolicyMode,
    Run,
    RunStatus,
    Scalar,
    TimelineEntry,
    TimelineKind,
)
from homeostat.sim.world import Simulation, run
from support.clinic import Clinic, Patient, Remedy, a_config
from support.memory_state import MemoryState

K = TimelineKind

FULL_S = 20.0
LONG_S = 120.0


class FullState(MemoryState):
    """Control state that takes no write at all while ``full``."""

    def __init__(self, *, full: bool = False) -> None:
        super().__init__()
        self.full = full
        self.refused = 0

    def _write(self) -> None:
        if self.full:
            self.refused += 1
            raise StoreFullError("no space left on device")

    async def save_issue(self, issue: Issue) -> None:
        self._write()
        await super().save_issue(issue)

    async def save_incident(self, incident: Incident) -> None:
        self._write()
        await super().save_incident(incident)

    async def add_timeline(self, entry: TimelineEntry) -> None:
        self._write()
        await super().add_timeline(entry)

    async def append(self, run: Run) -> None:
        self._write()
        await super().append(run)

    async def record_flag_change(self, change: FlagChange) -> None:
        self._write()
        await super().record_flag_change(change)

    async def put_setting(self, key: str, value: str) -> None:
        self._write()
        await super().put_setting(key, value)


class Flag(Remedy):
    """A remedy that, as a flag does, writes to the same store: it happens only when that has room."""

    state: FullState

    def _set(self, on: bool, what: str) -> None:
        if self.state.full:
            raise StoreFullError("no space left on device")
        super()._set(on, what)


def a_clinic(sim: Simulation, *, cures: bool = True, mode: PolicyMode = PolicyMode.AUTO) -> tuple[Clinic, FullState]:
    flag = Flag(Patient(sim), cures=cures)
    flag.state = FullState()
    clinic = Clinic(sim, flag.patient, [flag], a_config(mode=mode, hold_off_s=5))
    clinic.state = flag.state
    return clinic, flag.state


async def closed_when_it_has_room(clinic: Clinic, incident: Incident) -> None:
    """As the loop does: what cannot be recorded is tried again."""
    while True:
        try:
            await clinic.get_well(incident)
        except StoreError:
            await anyio.sleep(0.5)
        else:
            return


@pytest.mark.parametrize("cures", [True, False], ids=["it helps", "it does not help"])
def test_a_disk_that_fills_up_at_any_moment_delays_healing_and_changes_nothing_else(cures: bool) -> None:
    async def main(sim: Simulation, moment_s: float) -> int:
        clinic, state = a_clinic(sim, cures=cures)
        async with clinic.open():
            incident = await clinic.fall_ill()
            await anyio.sleep(moment_s)
            state.full = True
            await anyio.sleep(FULL_S)
            state.full = False
            await anyio.sleep(LONG_S)
            assert [item.status for item in clinic.runs] == [RunStatus.VERIFIED if cures else RunStatus.UNDONE]
            run_id = clinic.runs[0].id
            assert clinic.remedies[0].effects == [f"act {run_id}"] + ([] if cures else [f"undo {run_id}"])
            end = [K.VERIFIED] if cures else [K.NOT_HELPED, K.UNDONE, K.ESCALATED]
            assert clinic.kinds(incident) == [K.PLANNED, K.ACTED, *end]
        return state.refused

    refused = [run(partial(main, moment_s=step * 0.05), seed=step) for step in range(260 if not cures else 80)]
    assert any(refused)


def test_a_disk_that_is_full_while_something_is_put_back_delays_that_and_the_story_tells_it_once() -> None:
    async def main(sim: Simulation, moment_s: float) -> None:
        clinic, state = a_clinic(sim)
        async with clinic.open():
            incident = await clinic.fall_ill()
            await anyio.sleep(4.5)
            assert clinic.runs[-1].status is RunStatus.VERIFIED
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(closed_when_it_has_room, clinic, incident)
                await anyio.sleep(moment_s)
                state.full = True
                await anyio.sleep(FULL_S)
                state.full = False
            await anyio.sleep(LONG_S)
            assert clinic.remedies[0].on
            assert clinic.runs[-1].rearmed_at is not None
            assert sum(effect.startswith("rearm") for effect in clinic.remedies[0].effects) <= 2
            assert clinic.kinds(incident) == [K.PLANNED, K.ACTED, K.VERIFIED, K.RECOVERED]

    for step in range(30):
        run(partial(main, moment_s=step * 0.2), seed=step)


def test_a_driver_whose_way_back_breaks_does_not_end_homeostat() -> None:
    class Broken(Remedy):
        async def rearm(self, run: Run) -> bool:
            raise KeyError(run.step.resource)

    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        clinic = Clinic(sim, patient, [Broken(patient)], a_config(hold_off_s=5))
        async with clinic.open():
            incident = await clinic.fall_ill()
            await anyio.sleep(5)
            await clinic.get_well(incident)
            await anyio.sleep(LONG_S)
            assert clinic.kinds(incident).count(K.ESCALATED) == 1
            await clinic.fall_ill()
            await anyio.sleep(5)

    run(main)


@pytest.mark.parametrize("effect", ["the act", "the way back"])
def test_what_a_person_has_begun_goes_on_when_there_is_room_again(effect: str) -> None:
    async def main(sim: Simulation) -> None:
        clinic, state = a_clinic(sim, cures=effect == "the act", mode=PolicyMode.OBSERVE)
        async with clinic.open() as healer:
            incident = await clinic.fall_ill()
            await anyio.sleep(1)
            await healer.manual(incident.issue_ids[0], "ada")
            await anyio.sleep(0.0 if effect == "the act" else 5.0)
            state.full = True
            await anyio.sleep(FULL_S)
            assert clinic.runs[0].status not in TERMINAL_RUN_STATUSES
            state.full = False
            await anyio.sleep(LONG_S)
            wanted = RunStatus.VERIFIED if effect == "the act" else RunStatus.UNDONE
            assert [item.status for item in clinic.runs] == [wanted]
            assert sum(line.startswith("act") for line in clinic.remedies[0].effects) == 1

    run(main)


def test_an_act_that_was_done_when_the_disk_filled_up_is_not_done_again() -> None:
    class Process(Remedy):
        """Unlike a flag it does not need the store."""

        async def prepare(self, resource: str, parameters: dict[str, Scalar]) -> dict[str, Scalar]:
            return {}

    async def main(sim: Simulation, moment_s: float) -> None:
        patient, state = Patient(sim), FullState()
        process = Process(patient, takes_s=1.0, undoable=False)
        clinic = Clinic(sim, patient, [process], a_config())
        clinic.state = state
        async with clinic.open():
            await clinic.fall_ill()
            await anyio.sleep(moment_s)
            state.full = True
            await anyio.sleep(FULL_S)
            state.full = False
            await anyio.sleep(LONG_S)
            assert len(process.effects) == 1
            assert clinic.runs[-1].status is RunStatus.VERIFIED

    for step in range(30):
        run(partial(main, moment_s=step * 0.2), seed=step)
