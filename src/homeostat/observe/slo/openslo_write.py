"""Objectives as OpenSLO v1 YAML. What is written, ``openslo_read`` reads back as the same objective."""

import io
import re
from collections.abc import Sequence
from typing import cast

from pydantic import JsonValue
from ruamel.yaml import YAML

from homeostat.core.models import Severity
from homeostat.core.slo import BurnRule, Selector, Sli, SliKind, Slo
from homeostat.observe.slo import openslo_metrics as metrics
from homeostat.observe.slo import openslo_read as words
from homeostat.observe.slo.openslo_alerts import SHORT_WINDOW
from homeostat.observe.slo.windows import duration_text

Json = dict[str, JsonValue]


def openslo_yaml(slos: Sequence[Slo]) -> str:
    """One document for each, separated by ``---``."""
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue] - not declared
    writer.width = 120
    writer.explicit_start = len(slos) > 1
    out = io.StringIO()
    writer.dump_all([openslo_document(slo) for slo in slos], out)
    return out.getvalue()


def openslo_document(slo: Slo) -> Json:
    """One objective as a document of kind SLO with everything inline."""
    objective: Json = {"target": slo.target}
    if slo.sli.kind is SliKind.METRIC_THRESHOLD and slo.sli.comparison is not None:
        objective = {"op": slo.sli.comparison.value, "value": slo.sli.threshold, **objective}
    if slo.slice_target is not None:
        objective |= {"timeSliceTarget": slo.slice_target, "timeSliceWindow": duration_text(slo.slice_s)}
    spec: Json = {
        **({"description": slo.description} if slo.description else {}),
        "service": slo.service,
        "indicator": {"metadata": {"name": f"{_slug(slo)}-sli"}, "spec": _indicator(slo.sli)},
        "timeWindow": [{"duration": duration_text(int(slo.window.total_seconds())), "isRolling": True}],
        "budgetingMethod": words.OCCURRENCES if slo.slice_target is None else words.TIMESLICES,
        "objectives": [objective],
    }
    if slo.rules:
        spec["alertPolicies"] = [_policy(slo, place, rule) for place, rule in enumerate(slo.rules)]
    return {"apiVersion": words.API_VERSION, "kind": "SLO", "metadata": _metadata(slo), "spec": spec}


def _metadata(slo: Slo) -> Json:
    annotations: Json = {words.ID: slo.id, words.CREATED: slo.created_at.isoformat()}
    if slo.metric:
        annotations[words.METRIC] = slo.metric
    if slo.threshold is not None:
        annotations[words.THRESHOLD] = repr(slo.threshold)
    metadata: Json = {"name": _slug(slo), "displayName": slo.name}
    if slo.labels:
        metadata["labels"] = cast("Json", dict(slo.labels))
    return {**metadata, "annotations": annotations}


def _indicator(sli: Sli) -> Json:
    if sli.kind is SliKind.METRIC_THRESHOLD:
        return {"thresholdMetric": _source(_selector(sli.metric))}
    where: Json = {
        key: value for key, value in (("service", sli.service), ("operation", sli.operation)) if value is not None
    }
    match sli.kind:
        case SliKind.METRIC_RATIO:
            part = "good" if sli.good is not None else "bad"
            parts: dict[str, Json] = {part: _selector(sli.good or sli.bad), "total": _selector(sli.total)}
        case SliKind.LATENCY:
            fast: Json = {"signal": metrics.FAST_REQUESTS, **where, "threshold_ms": sli.threshold_ms}
            parts = {"good": fast, "total": {"signal": metrics.REQUESTS, **where}}
        case SliKind.HEALING:
            parts = {"good": {"signal": metrics.VERIFIED_RUNS}, "total": {"signal": metrics.JUDGED_RUNS}}
        case _:
            good: Json = {"signal": metrics.GOOD_REQUESTS, **where}
            parts = {"good": good, "total": {"signal": metrics.REQUESTS, **where}}
    ratio: Json = {"counter": True}
    for name, spec in parts.items():
        ratio[name] = _source(spec)
    return {"ratioMetric": ratio}


def _source(spec: Json) -> Json:
    return {"metricSource": {"type": metrics.HOMEOSTAT, "spec": spec}}


def _selector(selector: Selector | None) -> Json:
    if selector is None:
        return {}
    spec: Json = {"metric": selector.metric}
    if selector.service is not None:
        spec["service"] = selector.service
    if selector.labels:
        spec["labels"] = cast("Json", dict(selector.labels))
    return spec


def _policy(slo: Slo, place: int, rule: BurnRule) -> Json:
    name = f"{_slug(slo)}-{place + 1}"
    short: Json = {SHORT_WINDOW: duration_text(rule.short_window_s)}
    metadata: Json = {"name": name, "displayName": rule.name or name, "annotations": short}
    condition: Json = {
        "kind": "burnrate",
        "op": "gt",
        "threshold": rule.factor,
        "lookbackWindow": duration_text(rule.long_window_s),
        "alertAfter": duration_text(rule.hold_s) if rule.hold_s else "0m",
    }
    inner: Json = {
        "kind": "AlertCondition",
        "metadata": metadata,
        "spec": {"severity": _severity(rule.severity), "condition": condition},
    }
    spec: Json = {"alertWhenBreaching": True, "alertWhenResolved": True, "conditions": [inner]}
    return {"kind": "AlertPolicy", "metadata": {"name": f"{name}-policy"}, "spec": spec}


def _severity(severity: Severity) -> str:
    return {Severity.CRITICAL: "page", Severity.MEDIUM: "ticket"}.get(severity, severity.value)


def _slug(slo: Slo) -> str:
    """A DNS label (RFC 1123) out of the name."""
    return re.sub(r"[^a-z0-9]+", "-", slo.name.lower()).strip("-")[:40].strip("-") or slo.id
