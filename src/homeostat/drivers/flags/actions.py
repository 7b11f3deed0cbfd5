"""``disable_flag`` and ``restore_flag``: the two ways in which healing touches a feature flag."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from homeostat.core.errors import ActionError
from homeostat.core.models import (
    AUTOMATIC,
    ActionSpec,
    EffectClass,
    Incident,
    Issue,
    IssueType,
    Risk,
    Run,
    Scalar,
    Target,
)
from homeostat.core.ports import FlagControl
from homeostat.core.resources import ResourceId
from homeostat.core.resources import flag as flag_id
from homeostat.drivers.flags import knowledge

DISABLE = ActionSpec(
    name="disable_flag",
    title="Turn a feature flag off",
    driver="flags",
    resource_kinds=("flag",),
    answers=(IssueType.HIGH_ERROR_RATE, IssueType.HIGH_LATENCY),
    risk=Risk.LOW,
    effect=EffectClass.IDEMPOTENT,
    undo="The flag gets the value back that it had before.",
    expected_duration_s=0.1,
    settle_s=1.0,  # services take a changed flag up within a second
    verify_within_s=30.0,
)

RESTORE = DISABLE.model_copy(
    update={"name": "restore_flag", "title": "Give a feature flag its intended value back", "answers": ()}
)


class _SetFlag:
    """What both have in common: one flag, its value before, and the same way back."""

    def __init__(self, flags: FlagControl, spec: ActionSpec) -> None:
        self._flags = flags
        self._spec = spec

    @property
    def spec(self) -> ActionSpec:
        """The catalogue entry."""
        return self._spec

    async def prepare(self, resource: str, parameters: dict[str, Scalar]) -> dict[str, Scalar]:
        """The value before, and the one to be set."""
        flag = _flag(resource)
        return {"previous": self._value(flag), "wanted": self._wanted(flag)}

    async def act(self, run: Run) -> dict[str, Scalar]:
        """Set the flag. Nothing is done, and nothing audited, when it has that value already."""
        changed = await self._set(run, bool(run.before["wanted"]), f"healing {run.incident_id}: {run.step.why}")
        return {"value": bool(run.before["wanted"]), "changed": changed}

    async def probe(self, run: Run) -> bool | None:
        """It happened when the flag has the wanted value."""
        return self._value(_flag(run.step.resource)) == run.before["wanted"]

    async def undo(self, run: Run) -> dict[str, Scalar]:
        """Back to the value before; a flag that somebody has set otherwise since is left alone."""
        flag, previous = _flag(run.step.resource), bool(run.before["previous"])
        if self._value(flag) != run.before["wanted"]:
            return {"value": self._value(flag), "changed": False}
        return {
            "value": previous,
            "changed": await self._set(run, previous, f"undone: {run.step.action} did not help"),
        }

    async def rearm(self, run: Run) -> bool:
        """Back to the value that people want it to have. False when it has that already."""
        armed = self._flags.armed().get(_flag(run.step.resource))
        return armed is not None and await self._set(run, armed, f"recovered: {run.incident_id} is over")

    def _wanted(self, flag: str) -> bool:
        raise ActionError(f"{self._spec.name} does not say what {flag} should be.")

    def _value(self, flag: str) -> bool:
        values = self._flags.values()
        if flag not in values:
            raise ActionError(f"There is no flag {flag!r}. Flags: {', '.join(sorted(values))}.")
        return values[flag]

    async def _set(self, run: Run, value: bool, reason: str) -> bool:
        flag = _flag(run.step.resource)
        if self._value(flag) == value:
            return False
        await self._flags.set(flag, value, reason=reason, triggered_by=AUTOMATIC, problem_id=run.incident_id)
        return True


class DisableFlag(_SetFlag):
    """Turns a flag off that is on, meant to be on, and known or suspected to cause the trouble."""

    def __init__(self, flags: FlagControl) -> None:
        super().__init__(flags, DISABLE)

    async def targets(self, issue: Issue, incident: Incident) -> Sequence[Target]:
        """Flags by what is known of them, by what was changed just before, and by the named root cause."""
        if issue.type not in self._spec.answers or not self._flags.asked_since(issue.first_bad_at - knowledge.IN_USE):
            return ()
        values, armed = self._flags.values(), self._flags.armed()
        candidates = {flag for flag, value in values.items() if value and armed.get(flag, False)}
        reasons = _known(issue.type)
        began = min(issue.first_bad_at, incident.first_bad_at)
        reasons += await self._changed(began)
        if incident.root_cause is not None:
            reasons.append((incident.root_cause.resource, knowledge.ROOT_CAUSE, incident.root_cause.reason))
        best: dict[str, Target] = {}
        for resource, confidence, why in reasons:
            if resource.removeprefix("flag:") not in candidates:
                continue
            if resource not in best or best[resource].confidence < confidence:
                best[resource] = Target(resource=resource, why=why, confidence=confidence)
        return sorted(best.values(), key=lambda target: -target.confidence)

    async def _changed(self, began: datetime) -> list[tuple[str, float, str]]:
        """Flags that were turned on shortly before ``began``: the later, the likelier."""
        reasons: list[tuple[str, float, str]] = []
        for change in await self._flags.changes(began - knowledge.CHANGED_BEFORE):
            ahead = began - change.time
            if not change.new_value or ahead < -knowledge.DETECTION_SLACK:
                continue
            recent = ahead <= knowledge.CHANGED_JUST_BEFORE
            confidence = knowledge.JUST_CHANGED if recent else knowledge.LATELY_CHANGED
            seconds = max(timedelta(0), ahead).total_seconds()
            why = f"{change.flag} was turned on by {change.triggered_by} {seconds:.0f} s before the first bad second"
            reasons.append((flag_id(change.flag), confidence, why))
        return reasons

    def _wanted(self, flag: str) -> bool:
        return False


class RestoreFlag(_SetFlag):
    """Gives a flag the value that people want it to have. Recovery does this; a person may ask for it."""

    def __init__(self, flags: FlagControl) -> None:
        super().__init__(flags, RESTORE)

    async def targets(self, issue: Issue, incident: Incident) -> Sequence[Target]:
        """It answers no issue: it is the way back from one."""
        return ()

    def _wanted(self, flag: str) -> bool:
        return self._flags.armed().get(flag, self._value(flag))


def _known(issue_type: IssueType) -> list[tuple[str, float, str]]:
    return [
        (flag_id(rule.flag), rule.confidence, f"{rule.flag} is on and {rule.why}")
        for rule in knowledge.KNOWN.get(issue_type, ())
    ]


def _flag(resource: str) -> str:
    kind, name = ResourceId.parse(resource)
    if kind != "flag":
        raise ActionError(f"{resource} is not a flag.")
    return name
