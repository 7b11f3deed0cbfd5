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
TARGETS_NOTE: Final = "not used: alerts go where alerting in Homeostat's configuration says"
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
    """The AlertPolicies and AlertConditions of a text, by name: whole documents, as the inline ones are."""

    policies: dict[str, Node] = field(default_factory=dict)
    conditions: dict[str, Node] = field(default_factory=dict)

    def note(self, kind: str, name: str, document: Node) -> None:
        """One document of these kinds."""
        (self.policies if kind == "AlertPolicy" else self.conditions)[name] = document

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
        document = _referred(entry, "alertPolicyRef", "AlertPolicy", self.policies)
        policy = document.node("spec", required=True) if document is not None else None
        if policy is None:
            return None
        policy.only(_POLICY)
        if policy.boolean("alertWhenNoData"):
            what = "a lack of data is not an alert of an SLO here"
            policy.problem("alertWhenNoData", what, "Set it to false; Homeostat alerts when traces stop")
        if policy.boolean("alertWhenBreaching") is False:
            policy.problem("alertWhenBreaching", "such a policy would never alert", "Set it to true, or leave it out")
        if policy.boolean("alertWhenResolved") is False:
            what = "the end of an alert is always told"
            policy.problem("alertWhenResolved", what, "Set it to true, or leave it out")
        if policy.has("notificationTargets"):
            policy.note("notificationTargets", TARGETS_NOTE)
        return policy

    def _rule(self, entry: Node) -> BurnRule | None:
        document = _referred(entry, "conditionRef", "AlertCondition", self.conditions)
        spec = document.node("spec", required=True) if document is not None else None
        if document is None or spec is None:
            return None
        metadata = document.node("metadata")
        name = (metadata.text("displayName") or metadata.text("name") or "") if metadata is not None else ""
        annotations = metadata.node("annotations") if metadata is not None else None
        spec.only({"description", "severity", "condition"})
        severity = spec.choice("severity", tuple(SEVERITIES), required=True)
        condition = spec.node("condition", required=True)
        if severity is None or condition is None:
            return None
        short_s = annotations.duration_s(SHORT_WINDOW) if annotations is not None else None
        return _burn_rule(name, SEVERITIES[severity], condition, short_s)


def _referred(entry: Node, reference: str, kind: str, known: dict[str, Node]) -> Node | None:
    """The document that an entry names, or the entry itself, which is one inline."""
    if not entry.has(reference):
        entry.only({"apiVersion", "kind", "metadata", "spec"})
        return entry
    entry.only({reference})
    name = entry.text(reference)
    if name is not None and name not in known:
        entry.problem(reference, f"there is no {kind} {name!r} here", "Add it to the same text")
    return known.get(name) if name is not None else None


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
            short_window_s=twelfth_s if short_s is None else short_s,
            factor=factor,
            hold_s=hold_s,
            name=name,
        )
    except ValidationError:
        condition.problem("threshold", "a burn rate and its window must be above 0", "Write threshold: 14.4, e.g.")
        return None
