"""OpenSLO's metric sources as ours: ``homeostat`` (RED, healing, stored metrics) and plain Prometheus selectors."""

import re
from typing import Final

from pydantic import ValidationError

from homeostat.core.slo import Comparison, Selector, Sli, SliKind
from homeostat.observe.slo.openslo_nodes import Node

HOMEOSTAT: Final = "homeostat"
PROMETHEUS: Final = "prometheus"
TYPES: Final = (HOMEOSTAT, PROMETHEUS)

GOOD_REQUESTS: Final = "good_requests"
BAD_REQUESTS: Final = "bad_requests"
FAST_REQUESTS: Final = "fast_requests"
SLOW_REQUESTS: Final = "slow_requests"
REQUESTS: Final = "requests"
VERIFIED_RUNS: Final = "verified_runs"
JUDGED_RUNS: Final = "judged_runs"
SIGNALS: Final = (
    GOOD_REQUESTS,
    BAD_REQUESTS,
    FAST_REQUESTS,
    SLOW_REQUESTS,
    REQUESTS,
    VERIFIED_RUNS,
    JUDGED_RUNS,
)

_SIGNAL_KEYS: Final = {"signal", "service", "operation", "threshold_ms"}
_METRIC_KEYS: Final = {"metric", "service", "labels"}
_SELECTOR: Final = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(.*)\}\s*)?", re.DOTALL)
_MATCHER: Final = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\\n]|\\.)*)"\s*(,|$)')
_ESCAPE: Final = re.compile(r"\\(.)")


class Signal:
    """A ``homeostat`` source that names one of the built-in signals."""

    def __init__(self, node: Node) -> None:
        node.only(_SIGNAL_KEYS)
        self.node = node
        self.word = node.choice("signal", SIGNALS, required=True)
        self.service = node.text("service")
        self.operation = node.text("operation", max_length=1_000)
        self.threshold_ms = node.number("threshold_ms")


def read_source(node: Node, types: dict[str, str]) -> Signal | Selector | None:
    """What a ``metricSource`` names. ``types``: of the DataSources of the same text, by name. None: written down."""
    node.only({"type", "metricSourceRef", "spec"})
    spec = node.node("spec", required=True)
    kind = _type(node, types)
    if spec is None or kind is None:
        return None
    if kind == PROMETHEUS:
        spec.only({"query"})
        query = spec.text("query", required=True, max_length=10_000)
        return None if query is None else _selector_of(spec, query)
    if spec.has("signal"):
        return Signal(spec)
    spec.only(_METRIC_KEYS | {"signal"})
    metric, service = spec.text("metric"), spec.text("service")
    if metric is None:
        spec.problem(
            "metric", "neither a signal nor a metric is named", f"Add metric, or signal: {', '.join(SIGNALS)}"
        )
        return None
    return Selector(metric=metric, service=service, labels=spec.texts("labels"))


def ratio(node: Node, types: dict[str, str]) -> Sli | None:
    """An SLI out of a ``ratioMetric``."""
    node.only({"counter", "good", "bad", "total", "raw", "rawType"})
    if node.has("raw"):
        node.problem("raw", "a ratio that was computed elsewhere has no events", "Give good (or bad) and total")
        return None
    if node.boolean("counter") is False:
        node.problem(
            "counter", "only counters that grow can be added up to events", "Use counters, and counter: true"
        )
    if node.has("good") == node.has("bad"):
        node.problem("", "a ratio needs exactly one of good and bad", "Give the one that is counted")
        return None
    part = "good" if node.has("good") else "bad"
    found = [_part(node, name, types) for name in (part, "total")]
    share, total = found
    if share is None or total is None:
        return None
    if isinstance(share, Selector) and isinstance(total, Selector):
        return _metric_ratio(part, share, total)
    if isinstance(share, Signal) and isinstance(total, Signal):
        return _of_signals(node, part, share, total)
    node.problem(
        "total", "one part is a signal of Homeostat and the other a metric", "Take both from the same source"
    )
    return None


def threshold(node: Node, objective: Node, types: dict[str, str]) -> Sli | None:
    """An SLI out of a ``thresholdMetric`` and an objective's ``op`` and ``value``."""
    node.only({"metricSource"})
    source = node.node("metricSource", required=True)
    selector = read_source(source, types) if source is not None else None
    comparison = objective.choice("op", [word.value for word in Comparison], required=True)
    value = objective.number("value", required=True)
    if isinstance(selector, Signal):
        selector.node.problem(
            "signal",
            "a signal has no value to compare",
            "Use a ratioMetric of fast_requests and requests, for example",
        )
        return None
    if selector is None or comparison is None or value is None:
        return None
    return Sli(kind=SliKind.METRIC_THRESHOLD, metric=selector, comparison=Comparison(comparison), threshold=value)


def _metric_ratio(part: str, share: Selector, total: Selector) -> Sli:
    good, bad = (share, None) if part == "good" else (None, share)
    return Sli(kind=SliKind.METRIC_RATIO, good=good, bad=bad, total=total)


def _part(node: Node, name: str, types: dict[str, str]) -> Signal | Selector | None:
    part = node.node(name, required=True)
    if part is None:
        return None
    part.only({"metricSource"})
    source = part.node("metricSource", required=True)
    return read_source(source, types) if source is not None else None


def _of_signals(node: Node, part: str, share: Signal, total: Signal) -> Sli | None:
    kinds = {
        ("good", GOOD_REQUESTS, REQUESTS): SliKind.AVAILABILITY,
        ("bad", BAD_REQUESTS, REQUESTS): SliKind.AVAILABILITY,
        ("good", FAST_REQUESTS, REQUESTS): SliKind.LATENCY,
        ("bad", SLOW_REQUESTS, REQUESTS): SliKind.LATENCY,
        ("good", VERIFIED_RUNS, JUDGED_RUNS): SliKind.HEALING,
    }
    if share.word is None or total.word is None:
        return None
    kind = kinds.get((part, share.word, total.word))
    if kind is None:
        known = "; ".join(f"{place}: {word} with total: {whole}" for place, word, whole in kinds)
        node.problem(part, f"{share.word} of {total.word} is no indicator", f"Choose one of {known}")
        return None
    if (share.service, share.operation) != (total.service, total.operation):
        total.node.problem(
            "service", f"it counts other requests than {part}", "Give both the same service and operation"
        )
        return None
    if kind is SliKind.LATENCY and share.threshold_ms is None:
        share.node.problem("threshold_ms", "a latency needs it", "Add threshold_ms, e.g. 300")
        return None
    try:
        return Sli(
            kind=kind,
            service=share.service,
            operation=share.operation,
            threshold_ms=share.threshold_ms if kind is SliKind.LATENCY else None,
        )
    except ValidationError:
        share.node.problem(
            "threshold_ms", f"{share.threshold_ms} is out of range", "Give milliseconds, up to an hour"
        )
        return None


def _type(node: Node, types: dict[str, str]) -> str | None:
    if node.has("type"):
        return node.choice("type", TYPES)
    reference = node.text("metricSourceRef")
    if reference is None:
        node.problem("type", "it is missing", f"Add type: {HOMEOSTAT}, or a metricSourceRef to a DataSource")
        return None
    if reference not in types:
        node.problem("metricSourceRef", f"there is no DataSource {reference!r} here", "Add it, or give the type")
        return None
    kind = next((known for known in TYPES if known == types[reference].lower()), None)
    if kind is None:
        node.problem(
            "metricSourceRef", f"type {types[reference]!r} is not supported", f"Use one of {', '.join(TYPES)}"
        )
    return kind


def _selector_of(spec: Node, query: str) -> Selector | None:
    """``name{label="value"}``; anything more would have to be computed by a Prometheus."""
    found = _SELECTOR.fullmatch(query)
    labels = _labels(found[2] or "") if found else None
    if found is None or labels is None:
        spec.problem(
            "query",
            "Homeostat does not compute PromQL: only a metric's name with labels that are equal is understood",
            'Write name{label="value"}: the increase (of a ratio) or the value (of a threshold) is taken from it',
        )
        return None
    return Selector(metric=found[1], labels=labels)


def _labels(text: str) -> dict[str, str] | None:
    labels: dict[str, str] = {}
    at = 0
    while text[at:].strip():
        found = _MATCHER.match(text, at)
        if found is None:
            return None
        labels[found[1]] = _ESCAPE.sub(lambda escape: {"n": "\n"}.get(escape[1], escape[1]), found[2])
        at = found.end()
    return labels
