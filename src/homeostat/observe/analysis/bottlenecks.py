"""Where the time of many traces goes: operations ranked by self time."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from homeostat.core.analysis import Bottleneck, Bottlenecks
from homeostat.core.models import Trace
from homeostat.observe.analysis.population import Member, Operation, Work, group_of, members_of, weighted_quantile

_EXAMPLES = 3
_P95 = 0.95


@dataclass(slots=True)
class _Sum:
    """One operation over all traces, weighted."""

    self_ms: float = 0.0
    critical_ms: float = 0.0
    spans: float = 0.0
    traces: float = 0.0
    errors: float = 0.0
    values: list[float] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    longest: list[tuple[float, str]] = field(default_factory=list)

    def add(self, member: Member, work: Work) -> None:
        """Count what one trace did."""
        weight = member.weight
        self.self_ms += weight * work.self_ms
        self.critical_ms += weight * work.critical_ms
        self.spans += weight * work.spans
        self.traces += weight
        self.errors += weight * work.errors
        self.values += work.spans_self_ms
        self.weights += [weight] * len(work.spans_self_ms)
        self.longest = sorted([*self.longest, (work.self_ms, member.trace.trace_id)], reverse=True)[:_EXAMPLES]


def bottlenecks(traces: Sequence[Trace], *, limit: int = 30, notes: Sequence[str] = ()) -> Bottlenecks:
    """The operations with the most self time, over all these traces."""
    members = members_of(traces)
    sums: dict[Operation, _Sum] = {}
    for member in members:
        for name, work in member.work.items():
            sums.setdefault(name, _Sum()).add(member, work)
    all_self = sum(entry.self_ms for entry in sums.values())
    all_critical = sum(entry.critical_ms for entry in sums.values())
    ranked = sorted(sums.items(), key=lambda item: (-item[1].self_ms, item[0]))
    return Bottlenecks(
        traces=group_of(members),
        bottlenecks=tuple(_bottleneck(name, entry, all_self, all_critical) for name, entry in ranked[:limit]),
        notes=tuple(notes),
    )


def _bottleneck(name: Operation, entry: _Sum, all_self: float, all_critical: float) -> Bottleneck:
    return Bottleneck(
        service=name[0],
        operation=name[1],
        self_ms=entry.self_ms,
        self_share=entry.self_ms / all_self if all_self else 0.0,
        self_ms_per_trace=entry.self_ms / entry.traces,
        self_p95_ms=weighted_quantile(entry.values, entry.weights, _P95),
        critical_ms=entry.critical_ms,
        critical_share=entry.critical_ms / all_critical if all_critical else 0.0,
        spans=entry.spans,
        traces=entry.traces,
        errors=entry.errors,
        example_trace_ids=tuple(trace_id for _, trace_id in entry.longest),
    )
