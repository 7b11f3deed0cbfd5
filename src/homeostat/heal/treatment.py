"""The course of healing of one incident: plan, ask where the policy says so, act, verify, next candidate, a person.

One task per open incident, started by ``healer``. Every round decides from the journal and the present signals what
to do next, so a restart goes on where the last process stopped.
"""

import logging
from datetime import timedelta

from anyio.abc import TaskStatus

from homeostat.core.errors import ConflictError, StoreError
from homeostat.core.events import MaintenanceWindow
from homeostat.core.models import (
    AUTOMATIC,
    TERMINAL_RUN_STATUSES,
    Issue,
    Plan,
    PolicyMode,
    Run,
    RunStatus,
    TimelineKind,
)
from homeostat.core.resources import HOST
from homeostat.heal.course import FAULT_PAUSE_S, RECHECK_S, Course
from homeostat.heal.judge import Word
from homeostat.heal.planner import step_key
from homeostat.heal.policy import in_maintenance
from homeostat.heal.story import in_words, name_of

log = logging.getLogger(__name__)

RECHECK_WINDOW = timedelta(seconds=10)

AFTERMATH = timedelta(seconds=10)
"""After a verified act the other issues of its incident may end by themselves for so long."""

OUTLIVED_AFTER = timedelta(seconds=60)
"""An issue that is open so long after a verified act, and not about to close, has outlived it: it did not help."""

MAINTENANCE_RECHECK_S = 5.0
"""How often it is looked whether a maintenance window is over."""

STARVED_GRACE = timedelta(seconds=30)
"""Nobody is called for a machine that is overloaded for a moment: most of it passes."""

NO_REMEDY_GRACE = timedelta(seconds=5)
"""An incident grows in its first seconds: nobody is called for one whose causes are still being named."""


class Treatment(Course):
    """Heals one case until its incident is over."""

    async def run(self) -> None:
        """Until the incident is over. A round that breaks off is told, logged and tried again."""
        while True:
            try:
                await self._go_on()
                pause_s = await (self._drop_questions() if self._case.over else self._round())
            except StoreError as error:  # told by the store's own health; the journal says where to go on
                log.error("Healing %s waits for the store: %s", self._case.incident.id, error)
                pause_s = FAULT_PAUSE_S
            except Exception as error:  # the boundary of this task: one incident must not end the healing of all
                log.exception("Healing %s broke off", self._case.incident.id)
                pause_s = FAULT_PAUSE_S
                await self._tell_fault(error)
            if self._case.over and pause_s is None:
                if not self._case.aided:
                    return
                pause_s = RECHECK_S
            await self._case.changed(pause_s)

    async def by_hand(self, issue: Issue, who: str, *, task_status: TaskStatus[Run]) -> None:
        """Carry out the first candidate because a person says so; ``task_status`` gets the run with its intent.

        Raises ConflictError, before that, when nothing can be done now.
        """
        if self._case.acting or issue.id in self._case.aided:
            raise ConflictError(f"Incident {self._case.incident.id} is being healed at this moment. See its runs.")
        self._case.acting = issue.id
        try:
            plan = await self._plan([issue], by_hand=True)
            if not plan.steps:
                raise ConflictError("No remedy for this issue is known here that was not tried already.")
            plan = await self._show(plan)
            run = await self._new_run(plan.steps[0], plan, who)
            async with self._ward.locks.hold(run.step.resource):
                async with self._ward.admission:
                    refusal = await self._ward.policy.within_limits(run.step, self._ward.clock.now())
                    if refusal is not None:
                        raise ConflictError(f"It may not be done now: {refusal}.")
                    run = await self._ward.runner.begin(run)
                task_status.started(run)
                try:
                    await self._ward.runner.carry_out(run, issue, self._closing_of(run))
                except Exception:  # the boundary of this task: the incident's own goes on from the journal
                    log.exception("%s by hand broke off", name_of(run))
        finally:
            self._case.acting = None
            self._case.wake()

    async def _drop_questions(self) -> None:
        """The incident is over: what was asked, or approved and not begun, need not be done any more."""
        for run in await self._runs():
            if run.status is RunStatus.AWAITING_APPROVAL:
                await self._ward.approvals.refuse(run, "the incident is over")

    # -- one round ------------------------------------------------------------------------------------------

    async def _go_on(self) -> None:
        """Finish what an earlier process of Homeostat has begun."""
        for run in await self._runs():
            begun = run.status not in TERMINAL_RUN_STATUSES and run.status is not RunStatus.AWAITING_APPROVAL
            if begun and not self._case.acting and run.issue_id not in self._case.aided:
                self._case.acting = run.issue_id
                log.info("Going on with %s (%s), which was %s", name_of(run), run.id, run.status)
                try:
                    async with self._ward.locks.hold(run.step.resource):
                        await self._ward.runner.resume(run, self._issue_of(run), self._closing_of(run))
                finally:
                    self._case.acting = None

    async def _round(self) -> float | None:
        """Do the next thing; seconds until the next round, None: when something has changed."""
        case, runs = self._case, await self._runs()
        if case.acting or case.aided:
            return RECHECK_S
        asked = next((run for run in runs if run.status is RunStatus.AWAITING_APPROVAL), None)
        if asked is not None:
            return await self._approved_step(asked)
        issues = case.open_issues
        verified = [run for run in runs if run.status is RunStatus.VERIFIED]
        if issues and (verified or case.taken_up_at):
            issues = [issue for issue in issues if await self._goes_on(issue, verified)]
            if not issues:
                return RECHECK_S
        if not issues:
            return None
        obstacle = self._obstacle(runs, len(verified))
        if obstacle is not None:
            await self._escalate(obstacle)
            return None
        return await self._next_step(issues, runs)

    async def _goes_on(self, issue: Issue, verified: list[Run]) -> bool:
        """Is there something left to heal after what was done?"""
        return await self._still_bad(issue, verified) or await self._outlives(issue, verified)

    async def _outlives(self, issue: Issue, verified: list[Run]) -> bool:
        """Neither bad enough to be called so again, nor good enough to close, for a minute."""
        now, taken_up_at = self._ward.clock.now(), self._case.taken_up_at
        moments = [run.finished_at for run in verified if run.finished_at is not None]
        latest = max([*moments, taken_up_at] if taken_up_at else moments)
        if now < latest + OUTLIVED_AFTER:
            return False
        found = await self._ward.verifier.lingers(issue, now - OUTLIVED_AFTER)
        if found is None:
            return False
        for run in verified:
            if run.issue_id == issue.id and run.id not in self._case.outlived:
                self._case.outlived.add(run.id)
                title = f"{name_of(run)} did not help enough"
                detail = f"Its issue is still open {OUTLIVED_AFTER.total_seconds():.0f} s later: {found.reason}."
                await self._ward.story.of_run(TimelineKind.NOT_HELPED, run, title, detail=detail)
        return True

    async def _still_bad(self, issue: Issue, verified: list[Run]) -> bool:
        """Does the signal itself say so, behind the last verified act (or the restart), and not only its history?

        An issue that the act was not for gets some time first: queues have to drain and callers to come back.
        """
        now = self._ward.clock.now()
        moments = [self._case.taken_up_at] if self._case.taken_up_at else []
        for run in verified:
            if run.issue_id == issue.id:
                action = self._ward.actions.get(run.step.action)
                settle_s = action.spec.settle_s if action else 0.0
                moments.append((run.acted_at or run.created_at) + timedelta(seconds=settle_s))
            elif run.finished_at is not None:
                if now < run.finished_at + AFTERMATH:
                    return False
                moments.append(run.finished_at)
        since = max([*moments, now - RECHECK_WINDOW])
        return (await self._ward.verifier.look(issue, since)).word is Word.BAD

    async def _next_step(self, issues: list[Issue], runs: list[Run]) -> float | None:
        plan = await self._plan(issues)
        if not plan.steps:
            return await self._no_remedy(issues, runs)
        rest_s = self._rest_s(plan.steps[0], runs)
        if rest_s > 0:
            return rest_s
        modes = [self._decision(step) for step in plan.steps]
        if all(decision.mode is PolicyMode.OBSERVE for decision in modes):
            return None
        plan = await self._show(plan)
        for step, decision in zip(plan.steps, modes, strict=True):
            if decision.mode is PolicyMode.APPROVE:
                run = await self._new_run(step, plan, AUTOMATIC)
                await self._ward.approvals.ask(run)
                return 0.0
            if decision.mode is PolicyMode.AUTO:
                return await self._take(await self._new_run(step, plan, AUTOMATIC))
        window = next((decision.maintenance for decision in modes if decision.maintenance), None)
        if window is None:
            return None  # only to be suggested
        await self._tell_of_maintenance(window)
        return MAINTENANCE_RECHECK_S

    async def _no_remedy(self, issues: list[Issue], runs: list[Run]) -> float | None:
        if self._ward.policy.mode is PolicyMode.OBSERVE:
            return None
        incident = self._case.incident
        starved = incident.root_cause is not None and incident.root_cause.resource == HOST
        if self._ward.clock.now() < incident.opened_at + (STARVED_GRACE if starved else NO_REMEDY_GRACE):
            return RECHECK_S
        await self._escalate("No further remedy is known here." if runs else await self._why_no_remedy(issues))
        return None

    async def _why_no_remedy(self, issues: list[Issue]) -> str:
        candidates = {step_key(step) for step in (await self._plan(issues, by_hand=True)).steps}
        harmful = candidates & await self._did_harm()
        if harmful:
            named = "; ".join(f"{action} on {resource}" for action, resource in sorted(harmful))
            return f"What could be done here did harm a short while ago, and is not done again by itself: {named}."
        cause = self._case.incident.root_cause
        if cause is not None and cause.resource == HOST:
            return f"{cause.reason} {' '.join(cause.evidence)} Give it more, or let less run on it."
        types = {issue.type for issue in self._case.open_issues}
        if any(types & set(action.spec.answers) for action in self._ward.actions.values()):
            return "Of what could be done here, nothing promises to help: no resource stands out as the cause."
        return "No remedy for this is known here."

    # -- acting ---------------------------------------------------------------------------------------------

    async def _approved_step(self, asked: Run) -> float | None:
        self._case.asking = asked.issue_id
        try:
            run = asked if asked.approved_by else await self._ward.approvals.answer(asked)
        finally:
            self._case.asking = None
        if run.status is not RunStatus.AWAITING_APPROVAL:
            return 0.0  # it was a no
        if self._case.over or not self._case.open_issues:
            await self._ward.approvals.refuse(run, "the trouble was over before it could begin")
            return 0.0
        return await self._take(run)

    async def _take(self, run: Run) -> float | None:
        """Begin and carry out a run, if the policy lets it begin now."""
        if self._case.acting:
            return RECHECK_S
        self._case.acting = run.issue_id
        try:
            async with self._ward.locks.hold(run.step.resource):
                if self._case.over:
                    return None
                async with self._ward.admission:
                    refusal = await self._refusal(run)
                    if refusal is None:
                        run = await self._ward.runner.begin(run)
                if refusal is not None:
                    return await self._refused(run, refusal)
                await self._ward.runner.carry_out(run, self._issue_of(run), self._closing_of(run))
        finally:
            self._case.acting = None
        return 0.0

    # -- telling --------------------------------------------------------------------------------------------

    async def _show(self, plan: Plan) -> Plan:
        """Store and tell a plan, unless it is the one that stands already."""
        standing = await self._ward.plans.load(plan.incident_id)
        if standing is not None and standing.digest == plan.digest:
            return standing
        await self._ward.plans.save(plan)
        first = plan.steps[0]
        await self._ward.story.tell(
            TimelineKind.PLANNED,
            f"Planned {first.action} on {first.resource}",
            incident_id=plan.incident_id,
            resource=first.resource,
            detail=in_words(plan),
            data={"plan_id": plan.id, "digest": plan.digest, "candidates": len(plan.steps)},
        )
        return plan

    async def _tell_of_maintenance(self, window: MaintenanceWindow) -> None:
        """Once for each window."""
        if window.id not in self._case.told:
            self._case.told.add(window.id)
            await self._ward.story.tell(
                TimelineKind.UPDATED,
                "Nothing is done by itself during maintenance",
                incident_id=self._case.incident.id,
                detail=in_maintenance(window),
            )

    async def _tell_fault(self, error: Exception) -> None:
        try:
            await self._escalate(f"Healing broke off and will be tried again: {error!r}")
        except Exception:  # the store itself may be what is broken: the log has both
            log.exception("It could not be told either")
