"""What every way of healing one incident needs: candidates, limits, new runs, asking a person.

Decides from the journal, so a restart goes on where the last process stopped. ``treatment`` and ``first_aid`` are
built on it.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import anyio

from homeostat.core.models import IncidentStatus, Issue, Plan, PlanStep, Run, RunStatus, TimelineKind
from homeostat.core.ports import Action, Clock, Ids, StateStore
from homeostat.heal.approvals import Approvals
from homeostat.heal.case import Case
from homeostat.heal.ledger import Ledger
from homeostat.heal.locks import ResourceLocks
from homeostat.heal.planner import Planner, StepKey, step_key
from homeostat.heal.policy import Policy, PolicyDecision
from homeostat.heal.runner import Runner
from homeostat.heal.story import PlanBook, RunStory, name_of
from homeostat.heal.verify import ClosedAt, Verifier

RECHECK_S = 1.0
"""After a verified act: how often it is looked whether the trouble is back before the incident has closed."""

REFUSED_PAUSE_S = 10.0
"""How soon a step is tried again that a limit or the breaker has stopped."""

FAULT_PAUSE_S = 5.0
"""How soon a round is tried again that broke off."""

RELAPSES_MAX = 3
"""So many verified acts within one incident, and the trouble back each time: then a person is asked."""

RETRY_REST_S = 2.0
"""Rest before a remedy that could not be done, or did not hold, is tried again; doubled each time."""

HARM_REMEMBERED = timedelta(minutes=30)
"""What did harm is not done again by itself for so long, also in another incident: it would end in the same way."""

_IN_VAIN = frozenset({RunStatus.FAILED, RunStatus.UNDONE, RunStatus.REJECTED, RunStatus.IN_DOUBT})


@dataclass(frozen=True, slots=True)
class Ward:
    """What every treatment works with. Made once by ``healer``."""

    store: StateStore
    ledger: Ledger
    actions: Mapping[str, Action]
    planner: Planner
    plans: PlanBook
    policy: Policy
    approvals: Approvals
    runner: Runner
    verifier: Verifier
    story: RunStory
    clock: Clock
    ids: Ids
    locks: ResourceLocks
    admission: anyio.Lock  # from counting to journalling: limits hold also when incidents come together
    max_candidates: int


class Course:
    """One case, and what was tried for it."""

    def __init__(self, ward: Ward, case: Case) -> None:
        self._ward = ward
        self._case = case

    async def _plan(self, issues: list[Issue], *, by_hand: bool = False) -> Plan:
        """The candidates that have not been tried in vain, nor did harm lately. A person may insist on the latter."""
        runs = await self._runs()
        return await self._ward.planner.plan(
            self._case.incident,
            issues,
            in_vain=self._in_vain(runs),
            did_harm=set() if by_hand else await self._did_harm(),
            helped={step_key(run.step): run.issue_id for run in runs if run.status is RunStatus.VERIFIED},
        )

    def _obstacle(self, runs: list[Run], verified: int) -> str | None:
        """Why a person has to go on from here."""
        doubtful = next((run for run in runs if run.status is RunStatus.IN_DOUBT), None)
        if doubtful is not None:
            return f"{name_of(doubtful)} is in doubt. {doubtful.error}"
        if verified >= RELAPSES_MAX:
            return f"{verified} remedies helped, and each time the trouble came back."
        in_vain = self._in_vain(runs)
        if len(in_vain) >= self._ward.max_candidates:
            tried = "; ".join(f"{action} on {resource}" for action, resource in sorted(in_vain))
            return f"{len(in_vain)} remedies were tried in vain: {tried}."
        return None

    def _in_vain(self, runs: list[Run]) -> set[StepKey]:
        """Steps that are not worth another try in this incident."""
        failures = Counter(step_key(run.step) for run in runs if run.status in _IN_VAIN)
        final = {step_key(run.step) for run in runs if run.status in _IN_VAIN and not _may_hold_next_time(run)}
        outlived = {step_key(run.step) for run in runs if self._case.has_outlived(run)}
        return outlived | {key for key, count in failures.items() if key in final or count >= self._tries(key)}

    async def _did_harm(self) -> set[StepKey]:
        """Steps that made somebody else worse, in any incident of late."""
        since = self._ward.clock.now() - HARM_REMEMBERED
        return {
            step_key(run.step)
            for run in await self._ward.ledger.recent()
            if run.verdict is not None and run.verdict.harmed and run.verdict.judged_at >= since
        }

    def _tries(self, key: StepKey) -> int:
        action = self._ward.actions.get(key[0])
        return action.spec.tries if action else 1

    def _rest_s(self, step: PlanStep, runs: list[Run]) -> float:
        """Seconds to wait before a step is tried again: each time twice as long."""
        failed = [run for run in runs if step_key(run.step) == step_key(step) and run.status in _IN_VAIN]
        if not failed or failed[-1].finished_at is None:
            return 0.0
        rest = timedelta(seconds=RETRY_REST_S * 2 ** (len(failed) - 1))
        return (failed[-1].finished_at + rest - self._ward.clock.now()).total_seconds()

    def _decision(self, step: PlanStep) -> PolicyDecision:
        """How far a step may go by itself now."""
        spec, now = self._ward.actions[step.action].spec, self._ward.clock.now()
        return self._ward.policy.mode_for(step, spec, now, self._answered(step))

    def _answered(self, step: PlanStep) -> list[str]:
        """The resources whose trouble a step answers."""
        return [issue.resource for issue in self._case.issues if step.issue_id in {None, issue.id}]

    async def _refusal(self, run: Run) -> str | None:
        now = self._ward.clock.now()
        if run.approved_by is not None:
            return await self._ward.policy.within_limits(run.step, now)
        spec = self._ward.actions[run.step.action].spec
        decision = await self._ward.policy.decide(run.step, spec, now, self._answered(run.step))
        return None if decision.allowed else decision.reason

    async def _refused(self, run: Run, reason: str) -> float:
        if run.approved_by is not None:
            await self._ward.approvals.refuse(run, reason)
        await self._escalate(f"{name_of(run)} may not be done now: {reason}.")
        return REFUSED_PAUSE_S

    async def _new_run(self, step: PlanStep, plan: Plan, who: str) -> Run:
        ward = self._ward
        return Run(
            id=ward.ids.new("run"),
            incident_id=self._case.incident.id,
            issue_id=step.issue_id or self._case.incident.issue_ids[0],
            plan_id=plan.id,
            plan_digest=plan.digest,
            step=step,
            effect=ward.actions[step.action].spec.effect,
            status=RunStatus.INTENT,
            attempt=len(await self._runs()) + 1,
            triggered_by=who,
            created_at=ward.clock.now(),
        )

    async def _escalate(self, reason: str) -> None:
        """Ask a person, once for each reason."""
        case = self._case
        if reason in case.told or case.over:
            return
        if not case.escalated:
            update = {"status": IncidentStatus.ESCALATED, "updated_at": self._ward.clock.now()}
            await self._ward.store.save_incident(case.incident.model_copy(update=update))
            if case.over:  # it closed meanwhile, and the store has kept that
                return
            case.incident = case.incident.model_copy(update=update)
            self._ward.story.incident_changed(case.incident)
        case.told.add(reason)
        await self._ward.story.tell(
            TimelineKind.ESCALATED, "A person is needed", incident_id=case.incident.id, detail=reason
        )

    async def _runs(self) -> list[Run]:
        """The incident's runs, oldest first."""
        return await self._ward.ledger.of_incident(self._case.incident.id)

    def _closing_of(self, run: Run) -> ClosedAt:
        return lambda: self._case.closed_at(run.issue_id)

    def _issue_of(self, run: Run) -> Issue | None:
        return next((issue for issue in self._case.issues if issue.id == run.issue_id), None)


def _may_hold_next_time(run: Run) -> bool:
    """Could not be carried out, or the process did not stay up: neither says that the remedy is the wrong one."""
    return run.status is RunStatus.FAILED and (run.verdict is None or run.verdict.signal == "up")
