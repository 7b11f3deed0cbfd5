"""The door of healing. ``loop`` tells it of incidents; the API lets people approve, reject, undo and start by hand.

What it decides is in the journal before it acts. In memory is only what can be rebuilt: which incidents are under
treatment now, and what waits to be put back.
"""

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import anyio
import anyio.abc

from homeostat.core.config import Config
from homeostat.core.errors import BadRequestError, ConflictError, NotFoundError, StoreError
from homeostat.core.models import (
    ActionSpec,
    Incident,
    IncidentStatus,
    Issue,
    IssueStatus,
    Plan,
    PolicyMode,
    Run,
    RunStatus,
    TimelineKind,
)
from homeostat.core.ports import Action, Bus, Clock, Dependents, Ids, SignalReader, StateStore
from homeostat.core.resources import process as process_id
from homeostat.core.resources import service as service_id
from homeostat.heal.approvals import Approvals
from homeostat.heal.case import Case
from homeostat.heal.course import FAULT_PAUSE_S, Ward
from homeostat.heal.first_aid import FirstAid
from homeostat.heal.ledger import Ledger
from homeostat.heal.locks import ResourceLocks
from homeostat.heal.planner import Planner
from homeostat.heal.policy import Maintenance, Policy, PolicyView
from homeostat.heal.recovery import Recovery
from homeostat.heal.runner import Runner
from homeostat.heal.story import PlanBook, RunStory, name_of
from homeostat.heal.treatment import Treatment
from homeostat.heal.verify import Verifier

log = logging.getLogger(__name__)

ISSUES_READ_MAX = 200
INCIDENTS_READ_MAX = 10_000


class Healer:
    """Healing as a whole. Use it within ``running()``; call ``recover()`` once before the first ``consider``."""

    def __init__(
        self,
        *,
        config: Config,
        actions: Sequence[Action],
        signals: SignalReader,
        store: StateStore,
        bus: Bus,
        clock: Clock,
        ids: Ids,
        maintenance: Maintenance | None = None,
        dependents: Dependents | None = None,
    ) -> None:
        by_name = {action.spec.name: action for action in actions}
        services = {process_id(item.name): service_id(item.service_name) for item in config.watch.processes}
        story = RunStory(store, bus, clock, ids)
        verifier = Verifier(signals, clock, config.detect, services, dependents)
        ledger = Ledger(store, clock)
        runner = Runner(ledger, by_name, verifier, story, clock)
        locks = ResourceLocks()
        self._ward = Ward(
            store=store,
            ledger=ledger,
            actions=by_name,
            planner=Planner(by_name, clock, ids, config.heal.max_candidates),
            plans=PlanBook(store),
            policy=Policy(config.heal, ledger, store, maintenance),
            approvals=Approvals(ledger, runner.record, story, clock),
            runner=runner,
            verifier=verifier,
            story=story,
            clock=clock,
            ids=ids,
            locks=locks,
            admission=anyio.Lock(),
            max_candidates=config.heal.max_candidates,
        )
        self._recovery = Recovery(
            store=store,
            actions=by_name,
            record=runner.record,
            story=story,
            clock=clock,
            locks=locks,
            config=config.heal.recovery,
            maintenance=maintenance,
        )
        self._cases: dict[str, Case] = {}
        self._tasks: anyio.abc.TaskGroup | None = None

    # -- for the loop ---------------------------------------------------------------------------------------

    def running(self) -> AbstractAsyncContextManager["Healer"]:
        """Heal for the length of an ``async with``. Leaving it stops at once: the journal knows where to go on."""
        return self._running()

    @asynccontextmanager
    async def _running(self) -> AsyncGenerator["Healer"]:
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            tasks.start_soon(self._recovery.work)
            tasks.start_soon(self._ward.story.work)
            try:
                yield self
            finally:
                self._tasks = None
                tasks.cancel_scope.cancel()

    async def recover(self) -> int:
        """After a start: go on with every open incident and every interrupted run. Returns how many those are."""
        ward = self._ward
        await ward.policy.load()
        unfinished = await ward.store.unfinished()
        incidents = {item.id: item for item in await ward.store.incidents(open_only=True, limit=INCIDENTS_READ_MAX)}
        for incident_id in {run.incident_id for run in unfinished} - incidents.keys():
            incident = await ward.store.incident(incident_id)
            if incident is None:
                log.error("The journal has unfinished runs of incident %s, which is not on record", incident_id)
            else:
                incidents[incident_id] = incident
        for incident in incidents.values():
            await self._take_up(incident)
        await self._recovery.restore()
        return len(unfinished)

    def consider(self, incident: Incident, issues: Sequence[Issue]) -> None:
        """An incident is open, or has changed: heal it. Cheap, and safe to call as often as one likes.

        ``issues`` are all issues of the incident, closed ones included.
        """
        if incident.status is IncidentStatus.CLOSED:
            return
        case = self._case(incident, issues)
        case.update(incident, issues)
        self._treat(case)

    async def incident_closed(self, incident: Incident) -> None:
        """An incident is over: what healing has changed will be put back after the hold-off."""
        case = self._cases.get(incident.id)
        if case is not None:
            case.incident, case.over = incident, True
            case.wake()
        await self._ward.approvals.withdraw(incident.id, "the incident is over")
        await self._recovery.schedule(incident)
        if case is None:
            self._ward.ledger.forget(incident.id)

    async def was_healed(self, incident_id: str) -> bool:
        """Was an act of ours verified for this incident? Then its closing is our doing.

        Asked when every issue has closed: an act that is still being judged counts if the good time lies behind its
        beginning, unless those who depend on what it touched are worse or not well again.
        """
        return await self._was_healed(incident_id, self._cases.get(incident_id))

    async def _was_healed(self, incident_id: str, case: Case | None) -> bool:
        now, verifier = self._ward.clock.now(), self._ward.verifier
        return any(
            (run.status is RunStatus.VERIFIED and not (case is not None and case.has_outlived(run)))
            or (
                run.status is RunStatus.ACTED
                and run.intent_at is not None
                and verifier.over(now, run.intent_at)
                and not verifier.held_back(run.issue_id)
            )
            for run in await self._ward.store.runs(incident_id=incident_id, limit=100)
        )

    def escalated(self, incident_id: str) -> bool:
        """Has a person been asked to take over this (open) incident?"""
        case = self._cases.get(incident_id)
        return case is not None and case.escalated

    # -- for people -----------------------------------------------------------------------------------------

    async def approve(self, run_id: str, who: str, digest: str) -> Run:
        """Say yes to the plan with this digest. Raises NotFoundError, ConflictError, BadRequestError."""
        return await self._ward.approvals.approve(run_id, who, digest)

    async def reject(self, run_id: str, who: str, reason: str = "") -> Run:
        """Say no. Raises NotFoundError, ConflictError, BadRequestError."""
        return await self._ward.approvals.reject(run_id, who, reason)

    async def undo(self, run_id: str, who: str) -> Run:
        """Take a verified act back by hand. Raises NotFoundError, ConflictError, ActionError, BadRequestError."""
        _named(who)
        run = await self._run(run_id)
        async with self._ward.locks.hold(run.step.resource):
            run = await self._run(run_id)
            action = self._ward.actions.get(run.step.action)
            if run.status is not RunStatus.VERIFIED or run.rearmed_at is not None:
                state = "was put back already" if run.rearmed_at else f"is {run.status}"
                raise ConflictError(f"There is nothing to undo: {name_of(run)} {state}.")
            if action is None or action.spec.undo is None:
                raise ConflictError(f"{name_of(run)} cannot be taken back.")
            await action.undo(run)
            run = await self._ward.runner.record(run.model_copy(update={"rearmed_at": self._ward.clock.now()}))
            await self._ward.story.of_run(TimelineKind.UNDONE, run, f"{who} took {name_of(run)} back")
        return run

    async def manual(self, issue_id: str, who: str) -> Run:
        """Heal an issue now, because a person says so, whatever the mode. Returns once the intent is journalled.

        Raises NotFoundError for an unknown issue, ConflictError when nothing can be done now.
        """
        _named(who)
        issue = await self._ward.store.issue(issue_id)
        if issue is None:
            raise NotFoundError("Issue not found")
        incident = await self._ward.store.incident(issue.incident_id) if issue.incident_id else None
        if issue.status is IssueStatus.CLOSED or incident is None or incident.status is IncidentStatus.CLOSED:
            raise ConflictError(f"There is nothing to heal: the issue {issue_id} is not open any more.")
        for run in await self._ward.ledger.of_incident(incident.id):
            if run.status is RunStatus.AWAITING_APPROVAL and run.issue_id == issue_id:
                return await self.approve(run.id, who, run.plan_digest)
        case = self._case(incident, await self._issues_of(incident))
        self._treat(case)
        return await self._group().start(partial(Treatment(self._ward, case).by_hand, issue, who))

    async def set_auto(self, enabled: bool, who: str) -> None:
        """Allow or forbid acting without asking, until it is set again; also across restarts."""
        await self._ward.policy.set_auto(enabled)
        word = "on" if enabled else "off"
        await self._ward.story.tell(
            TimelineKind.CHANGED, f"{who or 'Somebody'} switched automatic healing {word}", incident_id=None
        )
        for case in self._cases.values():
            case.wake()

    def mode(self) -> PolicyMode:
        """The mode in force for what no rule names."""
        return self._ward.policy.mode

    async def policy_view(self) -> PolicyView:
        """The policy in force, with what has been used of its limits."""
        return await self._ward.policy.view(self._ward.clock.now())

    def action_specs(self) -> Sequence[ActionSpec]:
        """What could be done here."""
        return [action.spec for action in self._ward.actions.values()]

    async def plan(self, incident_id: str) -> Plan | None:
        """The incident's plan, if one was made."""
        return await self._ward.plans.load(incident_id)

    @property
    def actions(self) -> Mapping[str, Action]:
        """The actions by name."""
        return self._ward.actions

    # -- inside ---------------------------------------------------------------------------------------------

    def _case(self, incident: Incident, issues: Sequence[Issue]) -> Case:
        case = self._cases.get(incident.id)
        if case is None:
            case = self._cases[incident.id] = Case(incident, tuple(issues))
        return case

    async def _take_up(self, incident: Incident) -> None:
        over = incident.status is IncidentStatus.CLOSED  # then its treatment drops what is still asked
        story = await self._ward.store.timeline(incident.id)
        case = self._case(incident, await self._issues_of(incident))
        case.told.update(entry.detail for entry in story if entry.kind is TimelineKind.ESCALATED)
        case.outlived.update(
            str(entry.data.get("run_id")) for entry in story if entry.kind is TimelineKind.NOT_HELPED
        )
        case.taken_up_at, case.over = self._ward.clock.now(), over
        self._treat(case)

    def _treat(self, case: Case) -> None:
        if case.treated:
            return
        case.treated = True
        self._group().start_soon(self._treatment, case, name=f"heal {case.incident.id}")

    async def _treatment(self, case: Case) -> None:
        async with anyio.create_task_group() as beside:
            beside.start_soon(FirstAid(self._ward, case).work)
            await Treatment(self._ward, case).run()
            beside.cancel_scope.cancel()  # it has nothing in hand: the treatment waits for that
        self._cases.pop(case.incident.id, None)
        self._ward.ledger.forget(case.incident.id)
        while True:
            try:
                await self._judge_late(case)
                await self._recovery.schedule(case.incident)  # a run may have been verified after the incident closed
            except StoreError:
                log.exception("What %s has changed cannot be marked for being put back yet", case.incident.id)
                await anyio.sleep(FAULT_PAUSE_S)
            else:
                return

    async def _judge_late(self, case: Case) -> None:
        """The incident may close a moment before the act is verified: it healed all the same."""
        incident = case.incident
        if (
            incident.status is IncidentStatus.CLOSED
            and not incident.healed
            and not incident.expired
            and await self._was_healed(incident.id, case)
        ):
            case.incident = incident.model_copy(update={"healed": True})
            await self._ward.store.save_incident(case.incident)
            self._ward.story.incident_changed(case.incident)

    async def _issues_of(self, incident: Incident) -> list[Issue]:
        found = [await self._ward.store.issue(issue_id) for issue_id in incident.issue_ids[:ISSUES_READ_MAX]]
        return [issue for issue in found if issue is not None]

    async def _run(self, run_id: str) -> Run:
        run = await self._ward.ledger.run(run_id)
        if run is None:
            raise NotFoundError(f"There is no run {run_id!r}.")
        return run

    def _group(self) -> anyio.abc.TaskGroup:
        if self._tasks is None:
            raise ConflictError("Healing is not running: Homeostat is starting or ending.")
        return self._tasks


def _named(who: str) -> None:
    if not who.strip():
        raise BadRequestError("Say who you are: what is done by hand carries a name.")
