"""Two traces side by side: which spans one has and the other has not, and which took longer."""

from collections import Counter
from collections.abc import Iterator

from homeostat.core.analysis import OperationDifference, SpanChange, SpanDifference, TraceComparison
from homeostat.core.models import Trace
from homeostat.observe.analysis.times import self_ns
from homeostat.observe.analysis.tree import Node, tree_of

_NS_PER_MS = 1e6
_NOISE_MS = 1.0
_NOISE_SHARE = 0.1
"""A span counts as slower or faster when it changed by more than a millisecond and by more than a tenth."""

Pair = tuple[Node | None, Node | None]


def compare(left: Trace, right: Trace) -> TraceComparison:
    """Match the trees from their roots down, by service, operation and place among siblings of the same operation."""
    left_tree, right_tree = tree_of(left), tree_of(right)
    spans = tuple(_difference(*pair) for pair in _matched(left_tree.roots, right_tree.roots))
    left_ms = (left_tree.end_ns - left_tree.start_ns) / _NS_PER_MS
    right_ms = (right_tree.end_ns - right_tree.start_ns) / _NS_PER_MS
    counted = Counter(span.change for span in spans)
    return TraceComparison(
        left_trace_id=left.trace_id,
        right_trace_id=right.trace_id,
        left_ms=left_ms,
        right_ms=right_ms,
        delta_ms=right_ms - left_ms,
        changes={change: counted[change] for change in SpanChange},
        spans=spans,
        operations=_operations(spans),
        notes=(
            *(f"Left: {note}" for note in left_tree.notes),
            *(f"Right: {note}" for note in right_tree.notes),
        ),
    )


def _matched(left: tuple[Node, ...], right: tuple[Node, ...]) -> Iterator[Pair]:
    """Every span of both trees, those at the same place as a pair; parents before their children."""
    waiting = _pairs(left, right)[::-1]
    while waiting:
        one, other = waiting.pop()
        yield one, other
        children = _pairs(one.children if one else (), other.children if other else ())
        waiting.extend(children[::-1])


def _pairs(left: list[Node] | tuple[Node, ...], right: list[Node] | tuple[Node, ...]) -> list[Pair]:
    """Siblings side by side, in the order of the left, those that only the right has behind their neighbours."""
    unmatched = dict(_keyed(right))
    pairs: list[Pair] = []
    for key, node in _keyed(left):
        pairs.append((node, unmatched.pop(key, None)))
    pairs += [(None, node) for node in unmatched.values()]
    return pairs


def _keyed(nodes: list[Node] | tuple[Node, ...]) -> Iterator[tuple[tuple[str, str, int], Node]]:
    seen: Counter[tuple[str, str]] = Counter()
    for node in nodes:
        name = node.span.service, node.span.name
        yield (*name, seen[name]), node
        seen[name] += 1


def _difference(left: Node | None, right: Node | None) -> SpanDifference:
    either = left or right
    assert either is not None
    left_ms, right_ms = _ms(left), _ms(right)
    return SpanDifference(
        depth=either.depth,
        service=either.span.service,
        operation=either.span.name,
        change=_change(left_ms, right_ms),
        left_span_id=left.span.span_id if left else None,
        right_span_id=right.span.span_id if right else None,
        left_ms=left_ms,
        right_ms=right_ms,
        delta_ms=right_ms - left_ms if left_ms is not None and right_ms is not None else None,
        left_self_ms=self_ns(left) / _NS_PER_MS if left else None,
        right_self_ms=self_ns(right) / _NS_PER_MS if right else None,
        left_error=left.span.status == "error" if left else None,
        right_error=right.span.status == "error" if right else None,
    )


def _ms(node: Node | None) -> float | None:
    return node.duration_ns / _NS_PER_MS if node is not None else None


def _change(left_ms: float | None, right_ms: float | None) -> SpanChange:
    if left_ms is None:
        return SpanChange.ADDED
    if right_ms is None:
        return SpanChange.MISSING
    delta = right_ms - left_ms
    if abs(delta) <= max(_NOISE_MS, _NOISE_SHARE * left_ms):
        return SpanChange.SAME
    return SpanChange.SLOWER if delta > 0 else SpanChange.FASTER


def _operations(spans: tuple[SpanDifference, ...]) -> tuple[OperationDifference, ...]:
    sums: dict[tuple[str, str], list[float]] = {}
    for span in spans:
        entry = sums.setdefault((span.service, span.operation), [0, 0, 0.0, 0.0])
        entry[0] += span.left_span_id is not None
        entry[1] += span.right_span_id is not None
        entry[2] += span.left_self_ms or 0.0
        entry[3] += span.right_self_ms or 0.0
    found = [
        OperationDifference.between(service, operation, (left_calls, left_self), (right_calls, right_self))
        for (service, operation), (left_calls, right_calls, left_self, right_self) in sums.items()
    ]
    return tuple(sorted(found, key=lambda entry: -abs(entry.delta_self_ms)))
