"""OpenSLO v1 into objectives: https://github.com/OpenSLO/OpenSLO. All problems at once; nothing is half read.

Kinds: SLO (one objective of ours for each of its objectives), SLI, Service, DataSource, AlertPolicy, AlertCondition.
AlertNotificationTargets are noted and not used: where alerts go is ``alerting`` in the configuration.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError

from homeostat.core.errors import ConfigError
from homeostat.core.slo import Sli, Slo
from homeostat.observe.slo import openslo_metrics as metrics
from homeostat.observe.slo.checks import complaints
from homeostat.observe.slo.definitions import ratio, stable_id
from homeostat.observe.slo.openslo_alerts import TARGETS_NOTE, AlertReader
from homeostat.observe.slo.openslo_nodes import Node, Problems, parse

API_VERSION: Final = "openslo/v1"
KINDS: Final = ("SLO", "SLI", "Service", "DataSource", "AlertPolicy", "AlertCondition", "AlertNotificationTarget")
OCCURRENCES: Final = "Occurrences"
TIMESLICES: Final = "Timeslices"

ID: Final = "homeostat/id"
CREATED: Final = "homeostat/created-at"
METRIC: Final = "homeostat/metric"
THRESHOLD: Final = "homeostat/threshold"
"""Annotations that carry what OpenSLO has no place for."""

_HEAD: Final = {"apiVersion", "kind", "metadata", "spec"}
_METADATA: Final = {"name", "displayName", "labels", "annotations"}
_SPEC: Final = {
    "description",
    "service",
    "indicator",
    "indicatorRef",
    "timeWindow",
    "budgetingMethod",
    "objectives",
    "alertPolicies",
}
_OBJECTIVE: Final = {"displayName", "op", "value", "target", "targetPercent", "timeSliceTarget", "timeSliceWindow"}


@dataclass(frozen=True, slots=True)
class Read:
    """What is in a text."""

    slos: list[Slo]
    notes: list[str]  # with file, line and key: what has no effect here


def read_openslo(text: str, file: str, now: datetime) -> list[Slo]:
    """The objectives of a text, as ``read_with_notes`` reads them."""
    return read_with_notes(text, file, now).slos


def read_with_notes(text: str, file: str, now: datetime) -> Read:
    """Raises ConfigError with every problem found, or when there is no SLO in the text."""
    problems = Problems(file, [])
    documents = parse(text, problems)
    reader = _Reader(problems, now)
    slos = reader.read(documents)
    if not slos and not problems.found:
        problems.add(1, "kind", "there is no SLO in it", "Add a document with kind: SLO")
    if problems.found:
        raise ConfigError(problems.found)
    return Read(slos, problems.notes)


@dataclass(slots=True)
class _Reader:
    problems: Problems
    now: datetime
    indicators: dict[str, Node] = field(default_factory=dict)  # specs of the SLI documents, by name
    types: dict[str, str] = field(default_factory=dict)  # of DataSources, by name
    alerts: AlertReader = field(default_factory=AlertReader)

    def read(self, documents: list[Node]) -> list[Slo]:
        """First what is referred to, then the SLOs."""
        slos = [node for node in documents if self._note(node) == "SLO"]
        found = [slo for node in slos for slo in self._slo(node)]
        seen: set[str] = set()
        for slo in found:
            if slo.id in seen:
                what, remedy = f"two objectives would have the id {slo.id}", "Give each SLO a name of its own"
                self.problems.add(0, "metadata.name", what, remedy)
            seen.add(slo.id)
        return found

    def _note(self, document: Node) -> str | None:
        document.only(_HEAD)
        version = document.text("apiVersion", required=True)
        if version is not None and version != API_VERSION:
            document.problem("apiVersion", f"{version!r} is not supported", f"Write {API_VERSION}")
        kind = document.choice("kind", KINDS, required=True)
        metadata, spec = document.node("metadata", required=True), document.node("spec", required=True)
        name = metadata.text("name", required=True) if metadata is not None else None
        if metadata is None or spec is None or name is None:
            return None
        metadata.only(_METADATA)
        match kind:
            case "SLI":
                self.indicators[name] = spec
            case "DataSource":
                self.types[name] = spec.text("type", required=True) or ""
            case "AlertPolicy" | "AlertCondition":
                self.alerts.note(kind, name, document)
            case "AlertNotificationTarget":
                document.note("kind", f"{name!r} is {TARGETS_NOTE}")
            case _:
                pass
        return kind

    def _slo(self, document: Node) -> list[Slo]:
        metadata, spec = document.node("metadata"), document.node("spec")
        if metadata is None or spec is None:
            return []
        spec.only(_SPEC)
        objectives = spec.nodes("objectives", required=True)
        if not objectives and spec.has("objectives"):
            spec.problem("objectives", "there is none", "Add one with a target")
        window = self._window(spec)
        slices = self._method(spec)
        rules = self.alerts.rules(spec)
        found: list[Slo] = []
        for place, objective in enumerate(objectives):
            objective.only(_OBJECTIVE)
            fields = {
                **self._identity(metadata, objective, place, len(objectives)),
                "service": spec.text("service", required=True, max_length=200),
                "description": spec.text("description", max_length=1050) or "",
                "target": self._target(objective),
                "window": window,
                "sli": self._indicator(spec, objective, metadata),
                "rules": rules,
                **self._slice(objective, slices),
            }
            found += self._checked(objective, fields)
        return found

    def _checked(self, objective: Node, fields: dict[str, object]) -> list[Slo]:
        """The objective, if everything that it needs could be read and fits together."""
        if any(fields[key] is None for key in ("service", "target", "window", "sli")):
            return []
        try:
            slo = Slo.model_validate(fields)
        except ValidationError as error:
            for detail in error.errors():
                where = ".".join(map(str, detail["loc"]))
                objective.problem("", f"{where}: {detail['msg']}", "Correct it")
            return []
        wrong = complaints(slo)
        for key, message, remedy in wrong:
            objective.problem("", f"{key}: {message}", remedy)
        return [] if wrong else [slo]

    def _identity(self, metadata: Node, objective: Node, place: int, count: int) -> dict[str, object]:
        """One objective keeps the id that was exported; several get one each, the same at every reading."""
        name = metadata.text("name") or ""
        title = metadata.text("displayName", max_length=200) or name
        annotations = metadata.texts("annotations")
        if count > 1:
            own = objective.text("displayName", max_length=100) or str(place + 1)
            title, slo_id = f"{title}: {own}"[:200], stable_id(f"openslo/{name}/{place}")
        else:
            slo_id = annotations.get(ID) or stable_id(f"openslo/{name}")
        return {
            "id": slo_id,
            "name": title,
            "labels": metadata.texts("labels"),
            "created_at": annotations.get(CREATED, self.now),
            "metric": annotations.get(METRIC, ""),
            "threshold": annotations.get(THRESHOLD),
        }

    def _window(self, spec: Node) -> timedelta | None:
        windows = spec.nodes("timeWindow")
        if not windows:
            if not spec.has("timeWindow"):
                return timedelta(days=30)
            spec.problem(
                "timeWindow", "there is no window in it", "Add an entry with duration: 30d and isRolling: true"
            )
            return None
        if len(windows) > 1:
            spec.problem("timeWindow", "there is more than one", "OpenSLO allows exactly one")
        window = windows[0]
        window.only({"duration", "isRolling", "calendar"})
        if window.has("calendar") or window.boolean("isRolling") is False:
            key = "calendar" if window.has("calendar") else "isRolling"
            window.problem(key, "windows that follow the calendar are not supported", "Use isRolling: true")
            return None
        seconds = window.duration_s("duration", required=True)
        return None if seconds is None else timedelta(seconds=seconds)

    def _method(self, spec: Node) -> bool:
        """Whether time slices are counted."""
        if not spec.has("budgetingMethod"):
            return False
        return spec.choice("budgetingMethod", (OCCURRENCES, TIMESLICES)) == TIMESLICES

    def _slice(self, objective: Node, slices: bool) -> dict[str, object]:
        if not slices:
            for key in ("timeSliceTarget", "timeSliceWindow"):
                if objective.has(key):
                    objective.problem(key, f"it belongs to {TIMESLICES}", f"Set budgetingMethod: {TIMESLICES}")
            return {}
        target = objective.number("timeSliceTarget", required=True)
        length_s = objective.duration_s("timeSliceWindow", required=True, minutes=True)
        return {} if target is None or length_s is None else {"slice_target": target, "slice_s": length_s}

    def _target(self, objective: Node) -> float | None:
        if objective.has("target") == objective.has("targetPercent"):
            objective.problem("target", "exactly one of target and targetPercent is needed", "Write target: 0.999")
            return None
        key = "target" if objective.has("target") else "targetPercent"
        value = objective.number(key)
        if value is None:
            return None
        share = value if key == "target" else ratio(value)
        if not 0 < share < 1:
            remedy = "100 % leaves no budget: choose 0.999 (or targetPercent: 99.9), for example"
            objective.problem(key, f"{value:g} is not between nothing and everything", remedy)
            return None
        return share

    def _indicator(self, spec: Node, objective: Node, metadata: Node) -> Sli | None:
        inner = self._indicator_spec(spec)
        if inner is None:
            return None
        inner.only({"description", "ratioMetric", "thresholdMetric"})
        if inner.has("ratioMetric") == inner.has("thresholdMetric"):
            inner.problem("", "exactly one of ratioMetric and thresholdMetric is needed", "Keep one")
            return None
        metric = inner.node("ratioMetric" if inner.has("ratioMetric") else "thresholdMetric")
        if metric is None:
            return None
        if inner.has("thresholdMetric"):
            return metrics.threshold(metric, objective, self.types)
        for key in ("op", "value"):
            if objective.has(key):
                objective.problem(key, "it belongs to a thresholdMetric", "Leave it out")
        return metrics.ratio(metric, self.types)

    def _indicator_spec(self, spec: Node) -> Node | None:
        if spec.has("indicator") == spec.has("indicatorRef"):
            spec.problem("indicator", "exactly one of indicator and indicatorRef is needed", "Keep one")
            return None
        if spec.has("indicatorRef"):
            name = spec.text("indicatorRef")
            if name is not None and name not in self.indicators:
                spec.problem("indicatorRef", f"there is no SLI {name!r} here", "Add the SLI to the same text")
            return self.indicators.get(name) if name is not None else None
        inline = spec.node("indicator")
        if inline is None:
            return None
        inline.only(_HEAD)
        return inline.node("spec", required=True)
