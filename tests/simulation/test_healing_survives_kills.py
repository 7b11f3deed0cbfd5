"""Homeostat is killed at every point of a run, in virtual time. No effect may be repeated, none forgotten.

``tests/unit/heal/test_kill9.py`` does the same with real processes, at random moments.
"""

from dataclasses import dataclass, field
from functools import partial

import anyio
import pytest

from homeostat.core.models import TERMINAL_RUN_STATUSES, EffectClass, Incident, PolicyMode, Run, RunStatus
from homeostat.sim.world import Simulation, run
from support.clinic import Clinic, Patient, Remedy, a_config
from support.memory_state import MemoryState

LONG_S = 60.0


@dataclass
class KillingState(MemoryState):
    """Control state whose process dies at its ``at``-th record of a run, just before or just after it is durable."""

    at: int = -1
    after: bool = False
    count: int = 0
    died: anyio.Event | None = None
    killed: bool = field(default=False)

    def __post_init__(self) -> None:
        super().__init__()

    async def append(self, run: Run) -> None:
        fatal = self.count == self.at and not self.killed
        self.count += 1
        if fatal and not self.after:
            await self._die()
        await super().append(run)
        if fatal:
            await self._die()

    async def _die(self) -> None:
        self.killed = True
        assert self.died is not None
        self.died.set()
        await anyio.sleep_forever()


def acts(remedy: Remedy) -> int:
    return sum(effect.startswith("act") for effect in remedy.effects)


def judge(clinic: Clinic, remedy: Remedy) -> None:
    """One run, at its end, and the effect class has been kept."""
    runs = clinic.runs
    assert runs, "the trouble was forgotten"
    assert all(item.status in TERMINAL_RUN_STATUSES for item in runs), [item.status for item in runs]
    last = runs[-1]
    if remedy.effect is EffectClass.PROBEABLE:
        assert acts(remedy) == 1, remedy.effects
    elif remedy.effect is EffectClass.OPAQUE:
        assert acts(remedy) <= 1, remedy.effects
        assert acts(remedy) == 1 or last.status is RunStatus.IN_DOUBT
    else:
        assert acts(remedy) >= 1, remedy.effects
    if last.status is RunStatus.IN_DOUBT:
        assert remedy.effect is EffectClass.OPAQUE
    elif remedy.cures:
        assert last.status is RunStatus.VERIFIED
        assert not remedy.on
    else:
        assert last.status is RunStatus.UNDONE
        assert remedy.on


EFFECTS = list(EffectClass)


@pytest.mark.parametrize("cures", [True, False], ids=["it helps", "it does not help"])
@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("after", [False, True], ids=["before the record", "after the record"])
def test_killed_at_each_record_of_the_journal(effect: EffectClass, cures: bool, after: bool) -> None:
    async def main(sim: Simulation, at: int) -> bool:
        patient = Patient(sim)
        remedy = Remedy(patient, effect=effect, cures=cures)
        clinic = Clinic(sim, patient, [remedy], a_config())
        state = KillingState(at=at, after=after, died=anyio.Event())
        clinic.state = state
        async with clinic.open():
            await clinic.fall_ill()
            with anyio.move_on_after(LONG_S):
                assert state.died is not None
                await state.died.wait()
        async with clinic.open():
            await anyio.sleep(LONG_S)
        judge(clinic, remedy)
        return state.killed

    points = 0
    while run(partial(main, at=points), seed=points):
        points += 1
    assert points >= 3


@pytest.mark.parametrize("effect", EFFECTS)
def test_killed_at_each_moment_of_a_run(effect: EffectClass) -> None:
    async def main(sim: Simulation, moment_s: float) -> None:
        patient = Patient(sim)
        remedy = Remedy(patient, effect=effect, takes_s=0.4)
        clinic = Clinic(sim, patient, [remedy], a_config())
        async with clinic.open():
            await clinic.fall_ill()
            await anyio.sleep(moment_s)
        await anyio.sleep(5)
        async with clinic.open():
            await anyio.sleep(LONG_S)
        judge(clinic, remedy)

    for step in range(80):
        run(partial(main, moment_s=step * 0.05), seed=step)


def test_killed_between_recovery_and_its_record_the_flag_is_put_back_and_counted_once() -> None:
    async def main(sim: Simulation, moment_s: float) -> None:
        patient = Patient(sim)
        remedy = Remedy(patient)
        clinic = Clinic(sim, patient, [remedy], a_config(hold_off_s=2))
        async with clinic.open():
            incident = await clinic.fall_ill()
            await anyio.sleep(5)
            await clinic.get_well(incident)
            await anyio.sleep(moment_s)
        async with clinic.open():
            await anyio.sleep(LONG_S)
        assert remedy.on
        assert clinic.runs[-1].rearmed_at is not None

    for step in range(30):
        run(partial(main, moment_s=step * 0.1), seed=step)


def test_a_question_survives_a_restart_and_an_approval_that_was_given_is_carried_out_once() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        remedy = Remedy(patient)
        clinic = Clinic(sim, patient, [remedy], a_config(mode=PolicyMode.APPROVE))
        async with clinic.open():
            await clinic.fall_ill()
            await anyio.sleep(1)
        asked = clinic.runs[-1]
        async with clinic.open() as healer:
            await anyio.sleep(60)
            assert [item.status for item in clinic.runs] == [RunStatus.AWAITING_APPROVAL]
            await healer.approve(asked.id, "ada", asked.plan_digest)
        async with clinic.open():
            await anyio.sleep(LONG_S)
        assert [item.status for item in clinic.runs] == [RunStatus.VERIFIED]
        assert acts(remedy) == 1

    run(main)


def test_an_incident_that_ended_while_nobody_watched_is_not_treated_after_the_restart() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        remedy = Remedy(patient)
        clinic = Clinic(sim, patient, [remedy], a_config(mode=PolicyMode.OBSERVE))
        incident: Incident
        async with clinic.open():
            incident = await clinic.fall_ill()
            await anyio.sleep(1)
        patient.turn(False)
        clinic.config = a_config()
        await anyio.sleep(60)
        async with clinic.open():
            await anyio.sleep(60)
            assert clinic.runs == []
            patient.turn(True)  # and bad again: now it is
            await anyio.sleep(60)
            assert [item.incident_id for item in clinic.runs] == [incident.id]

    run(main)
