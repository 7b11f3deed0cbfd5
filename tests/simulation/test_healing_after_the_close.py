"""What comes late does not reopen an incident, and one that only expired is not taken for one that is well."""

import anyio

from homeostat.core.models import Incident, IncidentStatus, RunStatus, TimelineKind
from homeostat.sim.world import Simulation, run
from support.clinic import Clinic, Patient, Remedy, a_config
from support.memory_state import MemoryState


class SlowToEscalate(MemoryState):
    """Escalations take a while to be on disk: time enough for detection to close the incident."""

    def __init__(self) -> None:
        super().__init__()
        self.escalating = anyio.Event()

    async def save_incident(self, incident: Incident) -> None:
        if incident.status is IncidentStatus.ESCALATED:
            self.escalating.set()
            await anyio.sleep(1)
        await super().save_incident(incident)


def test_an_escalation_that_crosses_the_close_neither_reopens_the_incident_nor_calls_a_person() -> None:
    async def main(sim: Simulation) -> None:
        clinic = Clinic(sim, Patient(sim), [], a_config())
        state = clinic.state = SlowToEscalate()
        async with clinic.bus.subscribe(["incidents"]) as told, clinic.open():
            incident = await clinic.fall_ill()
            await state.escalating.wait()
            clinic.patient.turn(False)
            closed = await clinic.get_well(incident)
            await anyio.sleep(30)
            assert await state.incident(incident.id) == closed
            assert TimelineKind.ESCALATED not in clinic.kinds(incident)
            with anyio.move_on_after(1):
                async for message in told:
                    raise AssertionError(f"it was told as open again: {message}")

    run(main)


def test_what_healing_has_changed_stays_when_the_incident_only_expired_also_after_a_restart() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        remedy = Remedy(patient)
        clinic = Clinic(sim, patient, [remedy], a_config(hold_off_s=5))
        async with clinic.open():
            incident = await clinic.fall_ill()
            await anyio.sleep(10)
            assert [item.status for item in clinic.runs] == [RunStatus.VERIFIED]
            expired = incident.model_copy(update={"expired": True, "healed": False})
            await clinic.get_well(expired)
            await anyio.sleep(60)
            assert not remedy.on
        async with clinic.open() as healer:
            await anyio.sleep(60)
            assert not remedy.on
            found = await clinic.state.incident(incident.id)
            assert found is not None
            assert found.healed is False
            await healer.undo(clinic.runs[0].id, "ada")  # a person may
            assert remedy.on

    run(main)
