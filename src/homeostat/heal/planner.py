"""Which remedies are worth trying for an incident, in which order, and why. Called by ``treatment``.

A candidate's score is the action's own confidence times what is generally known of the action for this type of
issue, less for risk, more where it touches the named root cause.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence

from homeostat.core.models import Incident, Issue, IssueType, Plan, PlanStep, Risk, Target
from homeostat.core.ports import Action, Clock, Ids
from homeostat.core.resources import ResourceId

PRIORS: Mapping[tuple[IssueType, str], float] = {
    (IssueType.PROCESS_CRASH, "restart_process"): 1.0,
    (IssueType.HIGH_ERROR_RATE, "disable_flag"): 1.0,  # quick, and taken back in a second
    (IssueType.HIGH_LATENCY, "disable_flag"): 1.0,
    (IssueType.HIGH_LATENCY, "restart_process"): 0.9,  # requests in flight are lost
    (IssueType.HIGH_ERROR_RATE, "restart_process"): 0.8,
}
"""What is known beforehand of an action for a type of issue, 0..1."""

UNKNOWN_PRIOR = 0.7
"""For an action that the table does not name: a third party's."""

RISK_FACTORS: Mapping[Risk, float] = {Risk.LOW: 1.0, Risk.MEDIUM: 0.9, Risk.HIGH: 0.75}

CONFIDENCE_MAX = 0.99
"""Nothing is certain before it was measured."""

StepKey = tuple[str, str]
"""Action and resource: what is not tried again when it did not help."""


class Planner:
    """Asks every action for what it could do, and ranks the answers."""

    def __init__(self, actions: Mapping[str, Action], clock: Clock, ids: Ids, max_candidates: int) -> None:
        self._actions = actions
        self._clock = clock
        self._ids = ids
        self._max = max_candidates

    async def plan(
        self,
        incident: Incident,
        issues: Sequence[Issue],
        *,
        in_vain: Collection[StepKey] = (),
        did_harm: Collection[StepKey] = (),
        helped: Mapping[StepKey, str] | None = None,
    ) -> Plan:
        """The candidates for the incident's open issues. May be empty.

        What was tried ``in_vain`` is left out. So is what ``did_harm`` lately, but not for a crash: what does not run
        at all is started, whatever became of it last time. What has ``helped`` (for the issue with that id) is not
        repeated for another issue of the same incident: it is done, and that issue has outlived it.
        """
        done = helped or {}
        best: dict[StepKey, PlanStep] = {}
        for issue in issues:
            for action in self._actions.values():
                if issue.type not in action.spec.answers:
                    continue
                for target in await action.targets(issue, incident):
                    step = _step(issue, incident, action, target)
                    key = step_key(step)
                    if key in in_vain or done.get(key, issue.id) != issue.id:
                        continue
                    if key in did_harm and issue.type is not IssueType.PROCESS_CRASH:
                        continue
                    if key not in best or best[key].confidence < step.confidence:
                        best[key] = step
        ranked = sorted(best.values(), key=lambda step: (-step.confidence, step.action, step.resource))
        steps = tuple(ranked[: self._max])
        return Plan(
            id=self._ids.new("plan"),
            incident_id=incident.id,
            created_at=self._clock.now(),
            steps=steps,
            digest=digest(steps),
        )


def digest(steps: Sequence[PlanStep]) -> str:
    """SHA-256, in hex, over the steps as JSON with sorted keys and no blanks."""
    canonical = json.dumps(
        [step.model_dump(mode="json") for step in steps], sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def step_key(step: PlanStep) -> StepKey:
    """What makes two steps the same remedy."""
    return step.action, step.resource


def _step(issue: Issue, incident: Incident, action: Action, target: Target) -> PlanStep:
    spec = action.spec
    prior = PRIORS.get((issue.type, spec.name), UNKNOWN_PRIOR)
    score = target.confidence * prior * RISK_FACTORS[spec.risk]
    cause = incident.root_cause
    if cause is not None and _same_thing(cause.resource, target.resource):
        score = 1.0 - (1.0 - score) * (1.0 - 0.5 * cause.confidence)
    return PlanStep(
        action=spec.name,
        resource=target.resource,
        parameters=target.parameters,
        why=target.why,
        confidence=round(min(score, CONFIDENCE_MAX), 4),
        issue_id=issue.id,
    )


def _same_thing(cause: str, target: str) -> bool:
    """The very resource, or the process that is a service: they usually carry one name."""
    if cause == target:
        return True
    cause_id, target_id = ResourceId.parse(cause), ResourceId.parse(target)
    return cause_id.name == target_id.name and {cause_id.kind, target_id.kind} == {"service", "process"}
