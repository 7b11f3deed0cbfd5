"""Self time and the critical path of a trace. ``GET /api/traces/{id}/analysis`` answers what ``analyse`` gives."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from homeostat.core.analysis import CriticalSegment, OperationTime, SpanTime, TraceAnalysis
from homeostat.core.models import Trace
from homeostat.observe.analysis.tree import Node, Tree, tree_of

_NS_PER_MS = 1e6


def self_ns(node: Node) -> int:
    """A span's duration less the time in which at least one child ran.

    Children are cut to the span's own time: what an asynchronous child does after its parent's end is not its
    parent's.
    """
    covered, reached = 0, node.start_ns
    for child in node.children:  # by start
        start, end = max(child.start_ns, reached), min(child.end_ns, node.end_ns)
        if end > start:
            covered += end - start
            reached = end
    return node.duration_ns - covered


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of the critical path, Unix ns."""

    node: Node
    start_ns: int
    end_ns: int


def critical_path(root: Node | None) -> list[Segment]:
    """What the trace waited for, from the root's start to its end, without gaps.

    Walks back from the end of a span: until then it waited for the child that finished last before, and so within
    that child; before that child began, for the one that finished last until then (Zhang et al., CRISP, USENIX ATC
    2022, section 3). A child that outlives its parent is cut off at the parent's end; one that began at or after it
    is not waited for, and neither is the part of one that lies before its parent.
    """
    found: list[Segment] = []
    waiting = [(root, root.start_ns, root.end_ns)] if root is not None else []
    while waiting:
        node, low, high = waiting.pop()
        at = high
        for child in sorted(node.children, key=lambda child: min(child.end_ns, high), reverse=True):
            start, end = max(child.start_ns, low), min(child.end_ns, high)
            if end > at or start >= end:
                continue
            if end < at:
                found.append(Segment(node, end, at))
            waiting.append((child, start, end))
            at = start
        if at > low:
            found.append(Segment(node, low, at))
    return sorted(found, key=lambda segment: segment.start_ns)


@dataclass(slots=True)
class Times:
    """Of one tree, by span id, in ns."""

    own: dict[str, int] = field(default_factory=dict)
    critical: dict[str, int] = field(default_factory=dict)


def times_of(tree: Tree, path: Iterable[Segment]) -> Times:
    """Self time and time on the critical path of each span."""
    times = Times({node.span.span_id: self_ns(node) for node in tree.nodes})
    for segment in path:
        span_id = segment.node.span.span_id
        times.critical[span_id] = times.critical.get(span_id, 0) + segment.end_ns - segment.start_ns
    return times


def analyse(trace: Trace, *, only_shifted: bool = False) -> TraceAnalysis:
    """Self times, critical path and the sums of operations. Takes about 15 ms for 1,000 spans.

    ``only_shifted``: of ``spans`` those only whose clock was shifted.
    """
    tree = tree_of(trace)
    path = critical_path(tree.root)
    times = times_of(tree, path)
    start = tree.start_ns
    return TraceAnalysis(
        trace_id=trace.trace_id,
        start=trace.spans[0].start,
        duration_ms=(tree.end_ns - start) / _NS_PER_MS,
        spans=tuple(_span_time(node, times, start) for node in tree.nodes if node.shift_ns or not only_shifted),
        critical_path=tuple(
            CriticalSegment(
                span_id=segment.node.span.span_id,
                service=segment.node.span.service,
                operation=segment.node.span.name,
                start_ms=(segment.start_ns - start) / _NS_PER_MS,
                duration_ms=(segment.end_ns - segment.start_ns) / _NS_PER_MS,
            )
            for segment in path
        ),
        operations=_operations(tree, times),
        notes=tree.notes,
    )


def _span_time(node: Node, times: Times, start_ns: int) -> SpanTime:
    span_id = node.span.span_id
    return SpanTime(
        span_id=span_id,
        parent_span_id=node.parent.span.span_id if node.parent is not None else None,
        depth=node.depth,
        start_ms=(node.start_ns - start_ns) / _NS_PER_MS,
        duration_ms=node.duration_ns / _NS_PER_MS,
        self_ms=times.own[span_id] / _NS_PER_MS,
        critical_ms=times.critical.get(span_id, 0) / _NS_PER_MS,
        shift_ms=node.shift_ns / _NS_PER_MS,
    )


def _operations(tree: Tree, times: Times) -> tuple[OperationTime, ...]:
    groups: dict[tuple[str, str], list[Node]] = {}
    for node in tree.nodes:
        groups.setdefault((node.span.service, node.span.name), []).append(node)
    all_self = sum(times.own.values())
    found = [
        OperationTime(
            service=service,
            operation=operation,
            spans=len(members),
            errors=sum(node.span.status == "error" for node in members),
            total_ms=sum(node.duration_ns for node in members) / _NS_PER_MS,
            self_ms=(own := sum(times.own[node.span.span_id] for node in members)) / _NS_PER_MS,
            self_share=own / all_self if all_self else 0.0,
            critical_ms=sum(times.critical.get(node.span.span_id, 0) for node in members) / _NS_PER_MS,
        )
        for (service, operation), members in groups.items()
    ]
    return tuple(sorted(found, key=lambda entry: (-entry.self_ms, entry.service, entry.operation)))
