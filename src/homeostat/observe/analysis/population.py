"""Many traces at once: their weights, and the time of each operation in each.

Used by ``differences`` and ``bottlenecks``. With sampling on, a stored trace stands for ``1 / sampling_probability``
traces; every share and sum is of those.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from homeostat.core.analysis import Group
from homeostat.core.models import Span, Trace
from homeostat.observe.analysis.times import critical_path, times_of
from homeostat.observe.analysis.tree import tree_of

_NS_PER_MS = 1e6

Operation = tuple[str, str]
"""Service and name."""


@dataclass(slots=True)
class Work:
    """What one trace did in one operation."""

    self_ms: float = 0.0
    critical_ms: float = 0.0
    spans: int = 0
    errors: int = 0
    spans_self_ms: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Member:
    """A trace of a population."""

    trace: Trace
    weight: float
    duration_ms: float
    work: dict[Operation, Work]


def members_of(traces: Sequence[Trace]) -> list[Member]:
    """Every trace with at least one span, measured. About 20 microseconds a span."""
    return [_member(trace) for trace in traces if trace.spans]


def _member(trace: Trace) -> Member:
    tree = tree_of(trace)
    times = times_of(tree, critical_path(tree.root))
    work: dict[Operation, Work] = {}
    for node in tree.nodes:
        entry = work.setdefault((node.span.service, node.span.name), Work())
        own = times.own[node.span.span_id] / _NS_PER_MS
        entry.self_ms += own
        entry.critical_ms += times.critical.get(node.span.span_id, 0) / _NS_PER_MS
        entry.spans += 1
        entry.errors += node.span.status == "error"
        entry.spans_self_ms.append(own)
    return Member(trace, 1 / trace.sampling_probability, (tree.end_ns - tree.start_ns) / _NS_PER_MS, work)


def group_of(members: Sequence[Member]) -> Group:
    """How many they are and stand for."""
    weight = sum(member.weight for member in members)
    mean = sum(member.weight * member.duration_ms for member in members) / weight if weight else None
    return Group(traces=len(members), weight=weight, mean_ms=mean)


def weighted_quantile(values: Sequence[float], weights: Sequence[float], q: float) -> float:
    """The smallest value below or at which the share ``q`` of the weight lies. Raises ValueError without values."""
    if not values:
        raise ValueError("a quantile of nothing")
    pairs = sorted(zip(values, weights, strict=True))
    wanted, seen = q * sum(weights), 0.0
    for value, weight in pairs:
        seen += weight
        if seen >= wanted:
            return value
    return pairs[-1][0]


def judged_ms(trace: Trace, service: str | None, operation: str | None) -> float:
    """How long a trace took, for a question about a service or an operation: its longest such span.

    Without either it is the longest of all. This is what a search with ``min_duration_ms`` compares, so that both
    agree on what is slow. 0 when no span is meant.
    """
    return max((span.duration_ms for span in trace.spans if _is_meant(span, service, operation)), default=0.0)


def _is_meant(span: Span, service: str | None, operation: str | None) -> bool:
    return service in {None, span.service} and operation in {None, span.name}
