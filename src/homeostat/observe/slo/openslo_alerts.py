"""OpenSLO's alert policies as burn rules. Used by ``openslo_read``."""

from dataclasses import dataclass, field
from typing import Final

from pydantic import ValidationError

from homeostat.core.models import Severity
from homeostat.core.slo import BurnRule
from homeostat.observe.slo.openslo_nodes import Node
from homeostat.observe.slo.windows import MINUTE_S

SHORT_PART: Final = 12
"""OpenSLO knows one window for a burn rate. The short one, which ends an alert soon, is a twelfth of it, as in the
Site Reliability Workbook, where the condition's annotation ``SHORT_WINDOW`` does not say otherwise."""

SHORT_WINDOW: Final = "homeostat/short-window"

SEVERITIES: Final = {
    "page": Severity.CRITICAL,
    "critical": Severity.CRITICAL,
    "sev1": Severity.CRITICAL,
    "high": Severity.HIGH,
    "sev2": Severity.HIGH,
    "ticket": Severity.MEDIUM,
    "warning": Severity.MEDIUM,
    "medium": Severity.MEDIUM,
    "sev3": Severity.MEDIUM,
    "low": Severity.LOW,
    "info": Severity.LOW,
    "sev4": Severity.LOW,
}
_POLICY: Final = {
    "description",
    "alertWhenNoData",
    "alertWhenResolved",
    "alertWhenBreaching",
    "conditions",
    "notificationTargets",
}
_CONDITION: Final = {"kind", "op", "threshold", "lookbackWindow", "alertAfter"}


@dataclass(slots=True)
class AlertReader:
    """The AlertPolicies and AlertConditions of a text, by name."""

    policies: dict[str, Node] = field(default_factory=dict)
    conditions: dict[str, Node] = field(default_factory=dict)

    def note(self, kind: str, name: str, spec: Node) -> None:
        """One document of these kinds."""
        (self.policies if kind == "AlertPolicy" else self.conditions)[name] = spec

    def rules(self, spec: Node) -> tuple[BurnRule, ...]:
        """The rules of an SLO's ``alertPolicies``; none: the standard table."""
        found: list[BurnRule] = []
        for entry in spec.nodes("alertPolicies"):
            policy = self._policy(entry)
            for condition in policy.nodes("conditions", required=True) if policy is not None else ():
                rule = self._rule(condition)
                found += [rule] if rule is not None else []
        return tuple(found)

    def _policy(self, entry: Node) -> Node | None:
        if not entry.has("alertPolicyRef"):
            entry.only({"apiVersion", "kind", "metadata", "spec"})
            policy = entry.node("spec", required=True)
        else:
            entry.only({"alertPolicyRef"})
            name = entry.text("alertPolicyRef") or ""
            policy = self.policies.get(name)
            if policy is None:
                entry.problem("alertPolicyRef", f"there is no AlertPolicy {name!r} here", "Add it to the same text")
        if policy is None:
            return None
        policy.only(_POLICY)
        if policy.boolean("alertWhenNoData"):
            what = "a lack of data is not an alert of an SLO here"
            policy.problem("alertWhenNoData", what, "Set it to false; Homeostat alerts when traces stop")
        if policy.boolean("alertWhenBreaching") is False:
            policy.problem("alertWhenBreaching", "such a policy would never alert", "Set it to true, or leave it out")
        return policy

    def _rule(self, entry: Node) -> BurnRule | None:
        name, annotations = "", None
        if entry.has("conditionRef"):
            entry.only({"conditionRef"})
            name = entry.text("conditionRef") or ""
            spec = self.conditions.get(name)
            if spec is None:
                entry.problem("conditionRef", f"there is no AlertCondition {name!r} here", "Add it to the same text")
        else:
            entry.only({"apiVersion", "kind", "metadata", "spec"})
            metadata, spec = entry.node("metadata"), entry.node("spec", required=True)
            if metadata is not None:
                name = metadata.text("displayName") or metadata.text("name") or ""
                annotations = metadata.node("annotations")
        if spec is None:
            return None
        spec.only({"description", "severity", "condition"})
        severity = spec.choice("severity", tuple(SEVERITIES), required=True)
        condition = spec.node("condition", required=True)
        if severity is None or condition is None:
            return None
        short_s = annotations.duration_s(SHORT_WINDOW) if annotations is not None else None
        return _burn_rule(name, SEVERITIES[severity], condition, short_s)


def _burn_rule(name: str, severity: Severity, condition: Node, short_s: int | None) -> BurnRule | None:
    condition.only(_CONDITION)
    if condition.has("kind"):
        condition.choice("kind", ("burnrate",))
    if condition.has("op"):
        condition.choice("op", ("gt", "gte"))
    factor = condition.number("threshold", required=True)
    long_s = condition.duration_s("lookbackWindow", required=True)
    hold_s = condition.duration_s("alertAfter") or 0
    if factor is None or long_s is None:
        return None
    twelfth_s = max(MINUTE_S, long_s // SHORT_PART // MINUTE_S * MINUTE_S)
    try:
        return BurnRule(
            severity=severity,
            long_window_s=long_s,
            short_window_s=short_s or twelfth_s,
            factor=factor,
            hold_s=hold_s,
            name=name,
        )
    except ValidationError:
        condition.problem("threshold", "a burn rate and its window must be above 0", "Write threshold: 14.4, e.g.")
        return None
