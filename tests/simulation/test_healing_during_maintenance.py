"""During a maintenance window healing shows what it would do and waits, in virtual time."""

from datetime import datetime, timedelta
from functools import partial

import anyio

from homeostat.core.events import MaintenanceWindow
from homeostat.core.models import IssueType, RunStatus, TimelineKind
from homeostat.heal import Healer
from homeostat.sim.world import Simulation, run
from support.clinic import SERVICE, Clinic, Patient, Remedy, a_config


def _clinic(sim: Simulation, cure: Remedy, resource: str, lasts_s: float, begins_s: float = 0.0) -> Clinic:
    """A clinic whose healer knows of a window that covers one resource."""
    start = sim.clock.now() + timedelta(seconds=begins_s)
    window = MaintenanceWindow(
        id="m1",
        start=start,
        end=start + timedelta(seconds=lasts_s),
        services=("payment",),
        reason="new disks",
        created_by="ann",
    )

    def covering(asked: str, now: datetime) -> MaintenanceWindow | None:
        return window if asked == resource and window.start <= now < window.end else None

    clinic = Clinic(sim, cure.patient, [cure], a_config())
    clinic._new_healer = partial(  # type: ignore[method-assign]
        Healer,
        config=clinic.config,
        actions=clinic.remedies,
        signals=clinic.patient,
        store=clinic.state,
        bus=clinic.bus,
        clock=sim.clock,
        ids=sim.ids,
        maintenance=covering,
    )
    return clinic


def _heals_after(resource: str, lasts_s: float, type_: IssueType = IssueType.HIGH_ERROR_RATE) -> list[TimelineKind]:
    kinds: list[TimelineKind] = []

    async def main(sim: Simulation) -> None:
        cure = Remedy(Patient(sim), answers=(type_,))
        clinic = _clinic(sim, cure, resource, lasts_s)
        async with clinic.open():
            incident = await clinic.fall_ill()
            await anyio.sleep(lasts_s - 1)
            assert clinic.runs == []
            assert cure.effects == []
            told = [entry for entry in clinic.state.entries if entry.kind is TimelineKind.UPDATED]
            assert [entry.incident_id for entry in told] == [incident.id]
            assert "new disks" in told[0].detail
            with anyio.fail_after(60):
                while not clinic.runs or clinic.runs[-1].status is not RunStatus.VERIFIED:
                    await anyio.sleep(0.1)
            kinds.extend(clinic.kinds(incident))

    run(main)
    return kinds


def test_nothing_is_done_while_the_sick_service_is_in_maintenance_and_healing_goes_on_behind_it() -> None:
    kinds = _heals_after(SERVICE, 30)
    assert kinds == [TimelineKind.PLANNED, TimelineKind.UPDATED, TimelineKind.ACTED, TimelineKind.VERIFIED]


def test_nothing_is_done_to_a_resource_that_is_in_maintenance_itself() -> None:
    assert TimelineKind.VERIFIED in _heals_after("thing:one", 30)


def test_maintenance_of_another_service_holds_nothing_up() -> None:
    async def main(sim: Simulation) -> None:
        clinic = _clinic(sim, Remedy(Patient(sim)), "service:checkout", 600)
        async with clinic.open():
            await clinic.fall_ill()
            with anyio.fail_after(30):
                while not clinic.runs or clinic.runs[-1].status is not RunStatus.VERIFIED:
                    await anyio.sleep(0.1)

    run(main)


def test_a_person_may_heal_by_hand_during_maintenance() -> None:
    async def main(sim: Simulation) -> None:
        clinic = _clinic(sim, Remedy(Patient(sim)), SERVICE, 600)
        async with clinic.open() as healer:
            incident = await clinic.fall_ill()
            await anyio.sleep(1)
            await healer.manual(incident.issue_ids[0], "ann")
            with anyio.fail_after(30):
                while clinic.runs[-1].status is not RunStatus.VERIFIED:
                    await anyio.sleep(0.1)

    run(main)


def test_a_crashed_process_in_maintenance_is_left_alone() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim, up=0.0)
        cure = Remedy(patient, name="restart", resource="process:payment", answers=(IssueType.PROCESS_CRASH,))
        clinic = _clinic(sim, cure, "process:payment", 60)
        async with clinic.open():
            await clinic.fall_ill(type_=IssueType.PROCESS_CRASH, resource="process:payment")
            await anyio.sleep(50)
            assert clinic.runs == []

    run(main)


def test_what_healing_has_changed_is_not_put_back_during_maintenance() -> None:
    async def main(sim: Simulation) -> None:
        cure = Remedy(Patient(sim))
        clinic = _clinic(sim, cure, SERVICE, 60, begins_s=10)
        async with clinic.open():
            incident = await clinic.fall_ill()
            await anyio.sleep(8)
            assert clinic.runs[-1].status is RunStatus.VERIFIED
            await clinic.get_well(incident)
            await anyio.sleep(50)
            assert not cure.on
            await anyio.sleep(15)
            assert cure.on

    run(main)
