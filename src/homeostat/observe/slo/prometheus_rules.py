"""Objectives as rules for a Prometheus that scrapes Homeostat: what it records and alerts on is what we evaluate.

The recorded names and labels are Sloth's (https://sloth.dev), so that dashboards made for them show these as well.
Unlike Sloth's, the ratio over the whole window is taken from the events and not averaged over five-minute ratios:
busy minutes count for more, as in Homeostat.
"""

import io
import re
from collections.abc import Sequence
from typing import Final

from pydantic import JsonValue
from ruamel.yaml import YAML

from homeostat.core.models import Severity
from homeostat.core.slo import BurnRule, Comparison, Selector, SliKind, Slo
from homeostat.observe.slo.windows import burn_windows_s, duration_text, rate_window_s, rules_of

Json = dict[str, JsonValue]

CALLS: Final = "traces_span_metrics_calls_total"
BUCKETS: Final = "traces_span_metrics_duration_milliseconds_bucket"
SERVICE_LABEL: Final = "service_name"
OPERATION_LABEL: Final = "span_name"
ERROR: Final = 'status_code="STATUS_CODE_ERROR"'
"""How Homeostat exposes RED on ``server.prometheus_port``: ``api.exposition``."""

RUNS: Final = "homeostat_runs"
EDGES_MS: Final = (2.0, 4.0, 6.0, 8.0, 10.0, 50.0, 100.0, 200.0, 400.0, 800.0, 1e3, 1.4e3, 2e3, 5e3, 1e4, 1.5e4)
"""Upper edges of the exposed buckets in milliseconds: those of the Collector's span metrics.

The thresholds of objectives are edges as well."""

RATIO: Final = "slo:sli_error:ratio_rate"
_OPERATORS: Final = {Comparison.LT: "<", Comparison.LTE: "<=", Comparison.GT: ">", Comparison.GTE: ">="}


def prometheus_rules(slos: Sequence[Slo]) -> str:
    """A rule file: three groups for each objective. ``promtool check rules`` takes it."""
    groups: list[JsonValue] = []
    for slo in slos:
        parts = (("sli", _recordings(slo)), ("meta", _meta(slo)), ("alerts", _alerts(slo)))
        for part, rules in parts:
            group: Json = {"name": f"homeostat-slo-{part}-{slo.id}", "rules": rules}
            groups.append(group)
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue] - not declared
    writer.width = 1_000_000  # a line is an expression
    out = io.StringIO()
    writer.dump({"groups": groups}, out)
    return out.getvalue()


def error_ratio(slo: Slo, window: str) -> str:
    """PromQL for the share of bad events over a window such as ``5m``."""
    if slo.slice_target is not None:
        length = duration_text(slo.slice_s)
        counted = f"(({_ratio(slo, length)}) >= 0)"  # a slice without events is 0 / 0, which is not above anything
        bad = f"({counted} > bool {_number(1 - slo.slice_target)})"
        return f"avg_over_time({bad}[{window}:{length}])"
    return _ratio(slo, window)


def _ratio(slo: Slo, window: str) -> str:
    sli = slo.sli
    match sli.kind:
        case SliKind.AVAILABILITY:
            return _share(_sum(CALLS, _requests(slo), window), _sum(CALLS, [*_requests(slo), ERROR], window))
        case SliKind.LATENCY:
            return _slow_share(slo, window)
        case SliKind.HEALING:
            judged, failed = 'status=~"verified|undone|failed"', 'status=~"undone|failed"'
            return _share(_sum(RUNS, [judged], window), _sum(RUNS, [failed], window))
        case SliKind.METRIC_RATIO:
            total = _increase(sli.total, window)
            if sli.bad is not None:
                return _share(total, _increase(sli.bad, window))
            return f"1 - ({_increase(sli.good, window)} / {total})"
        case SliKind.METRIC_THRESHOLD:
            sign = _OPERATORS[sli.comparison or Comparison.LTE]
            held = f"(avg(avg_over_time({_series(sli.metric)}[1m])) {sign} bool {_number(sli.threshold or 0)})"
            return f"1 - avg_over_time({held}[{window}:1m])"


def _slow_share(slo: Slo, window: str) -> str:
    """The threshold is an edge of the exposed histogram, because an objective needs it: ``api.span_metrics``."""
    requests = _requests(slo)
    fast, every = (_equal("le", edge) for edge in (_number(slo.sli.threshold_ms or 0), "+Inf"))
    return f"1 - ({_sum(BUCKETS, [*requests, fast], window)} / {_sum(BUCKETS, [*requests, every], window)})"


def _recordings(slo: Slo) -> list[JsonValue]:
    windows = {*burn_windows_s(slo), int(slo.window.total_seconds())}
    for rule in rules_of(slo):
        windows |= {rule.long_window_s, rule.short_window_s}
    return [
        {
            "record": f"{RATIO}{duration_text(window)}",
            "expr": error_ratio(slo, duration_text(window)),
            "labels": {**_labels(slo), "sloth_window": duration_text(window)},
        }
        for window in sorted(windows)
    ]


def _meta(slo: Slo) -> list[JsonValue]:
    allowed, whole = _number(1 - slo.target), duration_text(int(slo.window.total_seconds()))
    now = duration_text(rate_window_s(slo))
    days = _number(slo.window.total_seconds() / 86_400)
    rows = (
        ("slo:objective:ratio", f"vector({_number(slo.target)})"),
        ("slo:error_budget:ratio", f"vector({allowed})"),
        ("slo:time_period:days", f"vector({days})"),
        ("slo:current_burn_rate:ratio", f"{_recorded(slo, now)} / {allowed}"),
        ("slo:period_burn_rate:ratio", f"{_recorded(slo, whole)} / {allowed}"),
        ("slo:period_error_budget_remaining:ratio", f"1 - {_recorded(slo, whole)} / {allowed}"),
    )
    return [{"record": name, "expr": expression, "labels": _labels(slo)} for name, expression in rows]


def _alerts(slo: Slo) -> list[JsonValue]:
    return [_alert(slo, rule) for rule in rules_of(slo)]


def _alert(slo: Slo, rule: BurnRule) -> Json:
    long, short = duration_text(rule.long_window_s), duration_text(rule.short_window_s)
    limit = f"({_number(rule.factor)} * {_number(1 - slo.target)})"
    page = rule.severity in {Severity.CRITICAL, Severity.HIGH}
    return {
        "alert": "HomeostatSLOBurn",
        "expr": f"max({_recorded(slo, long)} > {limit}) without (sloth_window) "
        f"and max({_recorded(slo, short)} > {limit}) without (sloth_window)",
        **({"for": duration_text(rule.hold_s)} if rule.hold_s else {}),
        "labels": {
            **{name: _text(str(value)) for name, value in _labels(slo).items()},
            "severity": "page" if page else "ticket",
            "rule": _text(rule.name),
            "slo_name": _text(slo.name),
            "service": _text(slo.service),
        },
        "annotations": {
            "summary": _text(f"{slo.name} burns its error budget"),
            "description": f"Over {long} and {short} the share of bad events is more than {_number(rule.factor)} "
            "times what the objective allows.",
        },
    }


def _labels(slo: Slo) -> Json:
    return {"sloth_id": slo.id, "sloth_service": slo.service, "sloth_slo": slo.id}


def _recorded(slo: Slo, window: str) -> str:
    return f'{RATIO}{window}{{sloth_id="{slo.id}"}}'


def _requests(slo: Slo) -> list[str]:
    matchers = [_equal(SERVICE_LABEL, slo.sli.service or slo.service)]
    # Without an operation: every operation of the service is a series of its own, and they are added up.
    return [*matchers, *([_equal(OPERATION_LABEL, slo.sli.operation)] if slo.sli.operation else [])]


def _sum(metric: str, matchers: Sequence[str], window: str) -> str:
    inner = "{" + ",".join(matchers) + "}" if matchers else ""
    return f"sum(increase({metric}{inner}[{window}]))"


def _share(total: str, bad: str) -> str:
    """A counter of errors appears with the first one: before it there were none, if there was anything at all."""
    return f"({bad} or 0 * {total}) / {total}"


def _increase(selector: Selector | None, window: str) -> str:
    return f"sum(increase({_series(selector)}[{window}]))"


def _series(selector: Selector | None) -> str:
    """A stored metric under the name that Prometheus gives it: OpenTelemetry's rules for names and labels."""
    if selector is None:
        return 'absent_series{none=""}'
    matchers = [_equal(_name(label), value) for label, value in selector.labels.items()]
    if selector.service is not None:
        matchers.insert(0, _equal("job", selector.service))
    inner = "{" + ",".join(matchers) + "}" if matchers else ""
    return f"{_name(selector.metric)}{inner}"


def _name(name: str) -> str:
    plain = re.sub(r"[^a-zA-Z0-9_:]", "_", name)
    return plain if not plain[:1].isdigit() else f"_{plain}"


def _equal(label: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{label}="{escaped}"'


def _number(value: float) -> str:
    """Twelve digits: 1 - 0.999 is 0.001 and not 0.0010000000000000009."""
    return format(float(value), ".12g")


def _text(text: str) -> str:
    """Labels and annotations of alerts are templates: braces of a name must not be taken for one."""
    return text.replace("{{", '{{ "{{" }}')
