"""The course of an incident, in virtual time: what is done, when, in which order, and what is told."""

from datetime import timedelta
from functools import partial

import anyio
import pytest

from homeostat.core.config import LimitConfig, PolicyRule
from homeostat.core.errors import ConflictError, NotFoundError
from homeostat.core.models import Incident, IncidentStatus, IssueType, PolicyMode, Risk, Run, RunStatus, TimelineKind
from homeostat.sim.world import Simulation, run
from support.clinic import Clinic, Patient, Remedy, a_config

K = TimelineKind


async def wait_for(clinic: Clinic, status: RunStatus, number: int = 0, within_s: float = 120.0) -> Run:
    """The newest run (at least the ``number``-th) once it has the status."""
    with anyio.fail_after(within_s):
        while not clinic.runs or len(clinic.runs) < number or clinic.runs[-1].status is not status:
            await anyio.sleep(0.05)
    return clinic.runs[-1]


def test_a_remedy_that_helps_is_verified_within_three_seconds_and_put_back_after_the_hold_off() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        cure = Remedy(patient)
        clinic = Clinic(sim, patient, [cure], a_config(hold_off_s=10))
        async with clinic.open() as healer:
            incident = await clinic.fall_ill()
            done = await wait_for(clinic, RunStatus.VERIFIED)
            assert done.acted_at is not None
            assert done.finished_at is not None
            assert done.finished_at - done.acted_at < timedelta(seconds=4)
            assert done.verdict is not None
            assert done.verdict.helped is True
            assert (done.verdict.before, done.verdict.after) == (0.3, 0.0)
            assert await healer.was_healed(incident.id)
            await clinic.get_well(incident)
            await anyio.sleep(9.5)
            assert not cure.on
            await anyio.sleep(1)
            assert cure.on
            assert clinic.runs[-1].rearmed_at is not None
            assert clinic.kinds(incident) == [K.PLANNED, K.ACTED, K.VERIFIED, K.RECOVERED]
            statuses = [record.status for record in clinic.state.history]
            assert statuses == [RunStatus.INTENT, RunStatus.ACTED, RunStatus.VERIFIED, RunStatus.VERIFIED]

    run(main)


def test_a_remedy_that_does_not_help_is_undone_and_the_next_candidate_is_tried() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        useless = Remedy(patient, name="useless", resource="thing:useless", cures=False, confidence=0.95)
        cure = Remedy(patient)
        clinic = Clinic(sim, patient, [useless, cure], a_config())
        async with clinic.open():
            incident = await clinic.fall_ill()
            await wait_for(clinic, RunStatus.VERIFIED)
            assert [item.status for item in clinic.runs] == [RunStatus.UNDONE, RunStatus.VERIFIED]
            assert [item.attempt for item in clinic.runs] == [1, 2]
            assert useless.on
            expected = [K.PLANNED, K.ACTED, K.NOT_HELPED, K.UNDONE, K.PLANNED, K.ACTED, K.VERIFIED]
            assert clinic.kinds(incident) == expected

    run(main)


def test_without_data_nobody_says_that_it_helped_and_the_verdict_says_why() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim, traffic=False)
        clinic = Clinic(sim, patient, [Remedy(patient)], a_config())
        async with clinic.open():
            await clinic.fall_ill()
            done = await wait_for(clinic, RunStatus.UNDONE)
            assert done.verdict is not None
            assert done.verdict.helped is None
            assert "no requests" in done.verdict.reason

    run(main)


def test_when_all_candidates_have_failed_a_person_is_asked_once() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        remedies = [Remedy(patient, name=f"r{n}", resource=f"thing:{n}", cures=False) for n in range(5)]
        clinic = Clinic(sim, patient, remedies, a_config())
        async with clinic.open() as healer:
            incident = await clinic.fall_ill()
            await anyio.sleep(300)
            assert len(clinic.runs) == 3
            assert healer.escalated(incident.id)
            assert clinic.state.incidents_by_id[incident.id].status is IncidentStatus.ESCALATED
            assert clinic.kinds(incident).count(K.ESCALATED) == 1
            assert all(remedy.on for remedy in remedies)

    run(main)


def test_what_cannot_be_undone_and_did_not_help_ends_as_failed() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        clinic = Clinic(sim, patient, [Remedy(patient, cures=False, undoable=False)], a_config())
        async with clinic.open():
            await clinic.fall_ill()
            done = await wait_for(clinic, RunStatus.FAILED)
            assert done.error is not None
            assert "cannot be taken back" in done.error

    run(main)


def test_an_action_that_could_not_be_carried_out_gives_way_to_the_next() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        broken = Remedy(patient, name="broken", resource="thing:b", confidence=0.95, refuses="no route to host")
        clinic = Clinic(sim, patient, [broken, Remedy(patient)], a_config())
        async with clinic.open():
            await clinic.fall_ill()
            await wait_for(clinic, RunStatus.VERIFIED)
            assert clinic.runs[0].status is RunStatus.FAILED
            assert clinic.runs[0].error == "no route to host"

    run(main)


def test_trouble_that_comes_back_before_the_incident_closes_is_treated_again_but_not_for_ever() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        cure = Remedy(patient, undoable=False)
        clinic = Clinic(sim, patient, [cure], a_config())
        async with clinic.open() as healer:
            incident = await clinic.fall_ill()
            for attempt in range(1, 4):
                await wait_for(clinic, RunStatus.VERIFIED, attempt)
                cure.on = True
                patient.turn(True)
                with anyio.move_on_after(30):
                    while len(clinic.runs) == attempt:
                        await anyio.sleep(0.1)
            assert len(clinic.runs) == 3
            assert healer.escalated(incident.id)

    run(main)


@pytest.mark.parametrize(("mode", "planned"), [(PolicyMode.OBSERVE, False), (PolicyMode.SUGGEST, True)])
def test_observe_touches_nothing_and_suggest_only_shows_the_plan(mode: PolicyMode, planned: bool) -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        cure = Remedy(patient)
        clinic = Clinic(sim, patient, [cure], a_config(mode=mode))
        async with clinic.open() as healer:
            incident = await clinic.fall_ill()
            await anyio.sleep(60)
            assert cure.effects == []
            assert clinic.runs == []
            assert (await healer.plan(incident.id) is not None) is planned
            assert clinic.kinds(incident) == ([K.PLANNED] if planned else [])

    run(main)


def test_nothing_is_done_before_a_person_approves_the_very_plan() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        cure = Remedy(patient)
        clinic = Clinic(sim, patient, [cure], a_config(mode=PolicyMode.APPROVE))
        async with clinic.open() as healer:
            await clinic.fall_ill()
            asked = await wait_for(clinic, RunStatus.AWAITING_APPROVAL)
            await anyio.sleep(60)
            assert cure.effects == []
            with pytest.raises(ConflictError, match="plan has changed"):
                await healer.approve(asked.id, "ada", "another digest")
            approved = await healer.approve(asked.id, "ada", asked.plan_digest)
            assert approved.approved_by == "ada"
            await wait_for(clinic, RunStatus.VERIFIED)
            assert len(cure.effects) == 1
            with pytest.raises(ConflictError):
                await healer.approve(asked.id, "ada", asked.plan_digest)

    run(main)


def test_a_question_that_nobody_answers_means_no() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        cure = Remedy(patient)
        clinic = Clinic(sim, patient, [cure], a_config(mode=PolicyMode.APPROVE))
        async with clinic.open() as healer:
            incident = await clinic.fall_ill()
            asked = await wait_for(clinic, RunStatus.AWAITING_APPROVAL)
            await anyio.sleep(15 * 60 + 1)
            assert clinic.runs[0].status is RunStatus.REJECTED
            assert cure.effects == []
            assert healer.escalated(incident.id)
            with pytest.raises(ConflictError):
                await healer.approve(asked.id, "ada", asked.plan_digest)
            with pytest.raises(NotFoundError):
                await healer.approve("run-nonsense", "ada", "x")

    run(main)


def test_a_rejected_step_is_not_asked_for_again_and_the_next_is() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        first = Remedy(patient, name="first", resource="thing:1", confidence=0.95)
        second = Remedy(patient, name="second", resource="thing:2")
        clinic = Clinic(sim, patient, [first, second], a_config(mode=PolicyMode.APPROVE))
        async with clinic.open() as healer:
            await clinic.fall_ill()
            asked = await wait_for(clinic, RunStatus.AWAITING_APPROVAL)
            await healer.reject(asked.id, "ada", "not during the sale")
            await anyio.sleep(1)
            assert [item.step.action for item in clinic.runs] == ["first", "second"]
            assert clinic.runs[1].status is RunStatus.AWAITING_APPROVAL

    run(main)


def test_a_question_is_withdrawn_when_the_trouble_ends_by_itself() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        clinic = Clinic(sim, patient, [Remedy(patient)], a_config(mode=PolicyMode.APPROVE))
        async with clinic.open() as healer:
            incident = await clinic.fall_ill()
            await wait_for(clinic, RunStatus.AWAITING_APPROVAL)
            await clinic.get_well(incident)
            await anyio.sleep(1)
            assert clinic.runs[0].status is RunStatus.REJECTED
            assert not await healer.was_healed(incident.id)

    run(main)


def test_a_high_risk_is_never_taken_without_a_person() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        clinic = Clinic(sim, patient, [Remedy(patient, risk=Risk.HIGH)], a_config())
        async with clinic.open():
            await clinic.fall_ill()
            await wait_for(clinic, RunStatus.AWAITING_APPROVAL)

    run(main)


def test_a_resource_that_had_its_share_of_remedies_is_left_to_a_person_also_after_a_restart() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        cure = Remedy(patient)
        limits = LimitConfig(per_resource_per_hour=2)
        clinic = Clinic(sim, patient, [cure], a_config(limits=limits, hold_off_s=1, backoff=1))
        for number in (1, 2):
            async with clinic.open():
                incident = await clinic.fall_ill()
                await wait_for(clinic, RunStatus.VERIFIED, number)
                await clinic.get_well(incident)
                await anyio.sleep(2)
                assert cure.on
        async with clinic.open() as healer:
            incident = await clinic.fall_ill()
            await anyio.sleep(60)
            assert len(clinic.runs) == 2
            assert healer.escalated(incident.id)
            await anyio.sleep(3600)  # an hour later there is room again
            assert len(clinic.runs) == 3

    run(main)


def test_a_rule_binds_before_the_default_and_the_switch_turns_automatic_healing_off_for_good() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        cure = Remedy(patient)
        rule = PolicyRule(action="cure", resource="thing:*", mode=PolicyMode.AUTO)
        clinic = Clinic(sim, patient, [cure], a_config(mode=PolicyMode.OBSERVE, heal={"rules": (rule,)}))
        async with clinic.open() as healer:
            await healer.set_auto(False, "ada")
            assert healer.mode() is PolicyMode.OBSERVE
        async with clinic.open() as healer:
            await clinic.fall_ill()
            await wait_for(clinic, RunStatus.AWAITING_APPROVAL)
            assert cure.effects == []
            await healer.set_auto(True, "ada")
            assert healer.mode() is PolicyMode.AUTO

    run(main)


def test_a_person_can_heal_by_hand_in_observe_mode_and_take_it_back() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        cure = Remedy(patient)
        clinic = Clinic(sim, patient, [cure], a_config(mode=PolicyMode.OBSERVE))
        async with clinic.open() as healer:
            incident = await clinic.fall_ill()
            await anyio.sleep(1)
            begun = await healer.manual(incident.issue_ids[0], "ada")
            assert begun.status is RunStatus.INTENT
            assert begun.triggered_by == "ada"
            with pytest.raises(ConflictError, match="being healed"):
                await healer.manual(incident.issue_ids[0], "bob")
            done = await wait_for(clinic, RunStatus.VERIFIED)
            taken_back = await healer.undo(done.id, "ada")
            assert taken_back.rearmed_at is not None
            assert cure.on
            with pytest.raises(ConflictError):
                await healer.undo(done.id, "ada")
            with pytest.raises(NotFoundError, match="Issue not found"):
                await healer.manual("issue-nonsense", "ada")

    run(main)


def test_each_relapse_soon_after_a_recovery_doubles_the_hold_off_and_flapping_is_told() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        cure = Remedy(patient)
        limits = LimitConfig(per_resource_per_hour=100)
        clinic = Clinic(sim, patient, [cure], a_config(limits=limits, hold_off_s=10, backoff=2))
        waited: list[float] = []
        async with clinic.open():
            for number in range(1, 7):
                incident = await clinic.fall_ill()
                await wait_for(clinic, RunStatus.VERIFIED, number)
                closed = await clinic.get_well(incident)
                with anyio.fail_after(1000):
                    while not cure.on:
                        await anyio.sleep(0.1)
                rearmed_at = clinic.runs[-1].rearmed_at
                assert rearmed_at is not None
                assert closed.closed_at is not None
                waited.append(round((rearmed_at - closed.closed_at).total_seconds()))
        assert waited == [10, 20, 40, 80, 160, 320]
        assert clinic.kinds().count(K.ESCALATED) == 1

    run(main)


def test_nothing_is_put_back_while_another_incident_is_open_on_the_same_services() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        cure = Remedy(patient)
        clinic = Clinic(sim, patient, [cure], a_config(hold_off_s=5))
        async with clinic.open():
            incident = await clinic.fall_ill()
            await wait_for(clinic, RunStatus.VERIFIED)
            await clinic.get_well(incident)
            other = await clinic.fall_ill(type_=IssueType.HIGH_LATENCY)
            await anyio.sleep(30)
            assert not cure.on
            await clinic.get_well(other)
            await anyio.sleep(2)
            assert cure.on

    run(main)


def test_a_process_without_traffic_is_verified_by_being_up_alone_and_the_verdict_says_so() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim, traffic=False, up=0.0)

        class Restart(Remedy):
            def _set(self, on: bool, what: str) -> None:
                super()._set(on, what)
                patient.up = 1.0

        restart = Restart(patient, answers=(IssueType.PROCESS_CRASH,), undoable=False)
        clinic = Clinic(sim, patient, [restart], a_config())
        async with clinic.open():
            await clinic.fall_ill(type_=IssueType.PROCESS_CRASH, resource="process:payment")
            done = await wait_for(clinic, RunStatus.VERIFIED)
            assert done.verdict is not None
            assert "no request" in done.verdict.reason or "no telemetry" in done.verdict.reason

    run(main)


def test_two_incidents_never_touch_one_resource_at_the_same_time() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        busy: list[str] = []

        class Exclusive(Remedy):
            async def act(self, run: Run) -> dict[str, str | int | float | bool | None]:
                assert not busy, f"{run.id} acts while {busy} does"
                busy.append(run.id)
                try:
                    return await super().act(run)
                finally:
                    busy.remove(run.id)

        first = Exclusive(patient, name="a", takes_s=5)
        second = Exclusive(patient, name="b", takes_s=5, answers=(IssueType.HIGH_LATENCY,))
        clinic = Clinic(sim, patient, [first, second], a_config())
        async with clinic.open():
            await clinic.fall_ill()
            await clinic.fall_ill(type_=IssueType.HIGH_LATENCY)
            await anyio.sleep(120)
        assert {item.step.action for item in clinic.runs} == {"a", "b"}

    run(main)


def test_a_process_that_does_not_stay_up_is_started_again_with_growing_rests_and_then_left_to_a_person() -> None:
    async def main(sim: Simulation, starts_until_up: int) -> list[RunStatus]:
        patient = Patient(sim, traffic=False, up=0.0)

        class Restart(Remedy):
            def _set(self, on: bool, what: str) -> None:
                self.effects.append(what)
                patient.up = float(len(self.effects) >= starts_until_up)

        restart = Restart(patient, answers=(IssueType.PROCESS_CRASH,), undoable=False, tries=3)
        clinic = Clinic(sim, patient, [restart], a_config())
        async with clinic.open() as healer:
            incident = await clinic.fall_ill(type_=IssueType.PROCESS_CRASH, resource="process:payment")
            await anyio.sleep(120)
            assert healer.escalated(incident.id) is (starts_until_up > 3)
        return [item.status for item in clinic.runs]

    failed, verified = RunStatus.FAILED, RunStatus.VERIFIED
    assert run(partial(main, starts_until_up=3)) == [failed, failed, verified]
    assert run(partial(main, starts_until_up=9)) == [failed, failed, failed]


def test_a_remedy_that_helped_is_not_repeated_for_an_issue_that_outlives_it() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        cure = Remedy(patient, answers=(IssueType.HIGH_ERROR_RATE, IssueType.PROCESS_CRASH), undoable=False)
        clinic = Clinic(sim, patient, [cure], a_config())
        async with clinic.open() as healer:
            incident = await clinic.fall_ill(type_=IssueType.PROCESS_CRASH, resource="process:payment")
            await wait_for(clinic, RunStatus.VERIFIED)
            other = await clinic.fall_ill()  # only to have a second issue of the same incident
            issue = clinic.state.issues_by_id[other.issue_ids[0]]
            await clinic.get_well(other)
            cure.on = True
            patient.turn(True)
            both = incident.model_copy(update={"issue_ids": (*incident.issue_ids, issue.id)})
            crash = clinic.state.issues_by_id[incident.issue_ids[0]]
            before = len(clinic.runs)
            healer.consider(both, [crash, issue])
            await anyio.sleep(60)
            assert len(clinic.runs) == before
            assert healer.escalated(incident.id)

    run(main)


def test_an_issue_that_stays_open_after_its_verified_remedy_gets_the_next_one_and_then_a_person() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        half = Remedy(patient, name="half", resource="thing:half", confidence=0.95)
        useless = Remedy(patient, name="useless", resource="thing:useless", cures=False)
        clinic = Clinic(sim, patient, [half, useless], a_config())
        async with clinic.open() as healer:
            incident = await clinic.fall_ill()
            await wait_for(clinic, RunStatus.VERIFIED)
            patient.residue = 0.035  # too much for the issue to close, too little to be called bad
            await anyio.sleep(50)
            assert len(clinic.runs) == 1
            await anyio.sleep(15)
            assert [item.step.action for item in clinic.runs] == ["half", "useless"]
        async with clinic.open() as healer:  # also a new process knows what did not help
            await anyio.sleep(300)
            assert [item.step.action for item in clinic.runs] == ["half", "useless"]
            assert clinic.runs[1].status is RunStatus.UNDONE
            assert healer.escalated(incident.id)
            assert not half.on  # it is better than nothing, and is put back when the incident is over
            told = [
                entry for entry in clinic.state.entries if entry.title == "half on thing:half did not help enough"
            ]
            assert len(told) == 1
            assert not await healer.was_healed(incident.id)

    run(main)


def test_an_issue_without_enough_requests_to_close_it_is_left_alone() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        clinic = Clinic(
            sim, patient, [Remedy(patient), Remedy(patient, name="other", resource="thing:2")], a_config()
        )
        async with clinic.open() as healer:
            incident = await clinic.fall_ill()
            await wait_for(clinic, RunStatus.VERIFIED)
            patient.traffic = False
            await anyio.sleep(600)
            assert len(clinic.runs) == 1
            assert not healer.escalated(incident.id)

    run(main)


class Restart(Remedy):
    """Brings the process up."""

    def _set(self, on: bool, what: str) -> None:
        self.effects.append(what)
        self.patient.up = 1.0


def a_restart(patient: Patient) -> Restart:
    return Restart(
        patient, name="restart", resource="process:payment", answers=(IssueType.PROCESS_CRASH,), undoable=False
    )


async def crash_joins(clinic: Clinic, incident: Incident) -> None:
    """A process dies, and detection lays it to the incident that is open already."""
    clinic.patient.up = 0.0
    first = clinic.state.issues_by_id[incident.issue_ids[0]]
    now = clinic.sim.clock.now()
    crash = first.model_copy(
        update={
            "id": clinic.sim.ids.new("issue"),
            "type": IssueType.PROCESS_CRASH,
            "resource": "process:payment",
            "fingerprint": "process_crash|process:payment",
            "opened_at": now,
            "updated_at": now,
        }
    )
    await clinic.state.save_issue(crash)
    grown = incident.model_copy(update={"issue_ids": (first.id, crash.id), "updated_at": now})
    await clinic.state.save_incident(grown)
    clinic.healer.consider(grown, [first, crash])


def test_a_crashed_process_is_restarted_at_once_while_a_person_is_being_asked_about_something_else() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        cure, restart = Remedy(patient), a_restart(patient)
        rule = PolicyRule(action="cure", resource="*", mode=PolicyMode.APPROVE)
        clinic = Clinic(sim, patient, [cure, restart], a_config(heal={"rules": (rule,)}))
        async with clinic.open() as healer:
            incident = await clinic.fall_ill()
            asked = await wait_for(clinic, RunStatus.AWAITING_APPROVAL)
            await anyio.sleep(10)
            died_at = sim.clock.now()
            await crash_joins(clinic, incident)
            await anyio.sleep(40)
            begun = next(item for item in clinic.runs if item.step.action == "restart")
            assert begun.intent_at is not None
            assert begun.intent_at - died_at <= timedelta(seconds=1)
            assert begun.status is RunStatus.VERIFIED
            assert len(restart.effects) == 1
            assert clinic.state.runs_by_id[asked.id].status is RunStatus.AWAITING_APPROVAL
            await healer.approve(asked.id, "ada", asked.plan_digest)  # the question stands, and so does its answer
            await anyio.sleep(30)
            assert clinic.state.runs_by_id[asked.id].status is RunStatus.VERIFIED
            assert len(clinic.runs) == 2

    run(main)


def test_a_crashed_process_is_restarted_at_once_while_another_remedy_is_being_verified() -> None:
    async def main(sim: Simulation, moment_s: float) -> None:
        patient = Patient(sim)
        slow, restart = Remedy(patient, cures=False, takes_s=2.0), a_restart(patient)
        clinic = Clinic(sim, patient, [slow, restart], a_config())
        async with clinic.open():
            incident = await clinic.fall_ill()
            await anyio.sleep(moment_s)
            assert clinic.runs[0].status in (RunStatus.INTENT, RunStatus.ACTED)
            died_at = sim.clock.now()
            await crash_joins(clinic, incident)
            await anyio.sleep(1.1)
            assert len(restart.effects) == 1
            begun = next(item for item in clinic.runs if item.step.action == "restart")
            assert begun.intent_at is not None
            assert begun.intent_at - died_at <= timedelta(seconds=1)
            await anyio.sleep(60)
            assert len(restart.effects) == 1
            assert [item.status for item in clinic.runs if item.step.action == "cure"] == [RunStatus.UNDONE]

    for step in range(1, 10):
        run(partial(main, moment_s=float(step)), seed=step)


def test_a_restart_that_may_not_be_done_without_asking_waits_for_its_turn() -> None:
    async def main(sim: Simulation) -> None:
        patient = Patient(sim)
        clinic = Clinic(sim, patient, [Remedy(patient), a_restart(patient)], a_config(mode=PolicyMode.APPROVE))
        async with clinic.open() as healer:
            incident = await clinic.fall_ill()
            asked = await wait_for(clinic, RunStatus.AWAITING_APPROVAL)
            await crash_joins(clinic, incident)
            await anyio.sleep(60)
            assert clinic.runs == [asked]
            await healer.reject(asked.id, "ada", "no")
            await anyio.sleep(10)
            assert [item.step.action for item in clinic.runs] == ["cure", "restart"]
            assert clinic.runs[1].status is RunStatus.AWAITING_APPROVAL

    run(main)
