"""A trace as a tree that is sound whatever was sent: the base of all other analysis.

A span whose parent is missing is a root. A span that is its own ancestor is cut loose where the circle starts. A span
id that occurs twice counts once. Clocks that contradict the tree are shifted, for display only: nothing stored
changes.
"""

from collections import deque
from dataclasses import dataclass, field

from homeostat.core.models import Span, Trace

_NS_PER_MS = 1e6
_TOLERANCE_NS = 1_000
"""Senders round to microseconds: a child that begins so little before its parent has no other clock."""


@dataclass(slots=True, eq=False)
class Node:
    """A span in its tree, with times in ns on the clock of the tree."""

    span: Span
    parent: "Node | None" = None
    children: list["Node"] = field(default_factory=list)
    depth: int = 0
    shift_ns: int = 0

    @property
    def start_ns(self) -> int:
        """Unix time of its start, shifted."""
        return self.span.start_unix_nano + self.shift_ns

    @property
    def duration_ns(self) -> int:
        """Never negative."""
        return max(0, round(self.span.duration_ms * _NS_PER_MS))

    @property
    def end_ns(self) -> int:
        """Unix time of its end, shifted."""
        return self.start_ns + self.duration_ns


@dataclass(frozen=True, slots=True)
class Tree:
    """All spans of a trace. ``nodes`` has every span once, in the order of the trace."""

    trace: Trace
    nodes: tuple[Node, ...]
    roots: tuple[Node, ...]  # the main one first
    missing_parents: int
    circles: int
    duplicates: int

    @property
    def root(self) -> Node | None:
        """The root that stands for the trace: None for a trace without spans."""
        return self.roots[0] if self.roots else None

    @property
    def start_ns(self) -> int:
        """The earliest start, shifted; 0 without spans."""
        return min((node.start_ns for node in self.nodes), default=0)

    @property
    def end_ns(self) -> int:
        """The latest end, shifted; 0 without spans."""
        return max((node.end_ns for node in self.nodes), default=0)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know before trusting the numbers."""
        shifted = sum(node.shift_ns != 0 for node in self.nodes)
        several = len(self.roots) if len(self.roots) > 1 else 0
        return tuple(
            text
            for count, text in (
                (self.missing_parents, "{} of the spans name a parent that is not stored; they are shown as roots."),
                (self.circles, "{} circles of spans that are their own ancestors were cut open."),
                (self.duplicates, "{} spans came twice and are counted once."),
                (shifted, "The clocks of {} spans contradict their parents; they are shown shifted."),
                (several, "The trace has {} roots; the critical path is the first's."),
            )
            if count
            for text in (text.format(count),)
        )


def tree_of(trace: Trace) -> Tree:
    """Build the tree in time linear in the number of spans (but for sorting children)."""
    by_id: dict[str, Node] = {}
    for span in trace.spans:
        by_id.setdefault(span.span_id, Node(span))
    nodes = tuple(by_id.values())
    missing = 0
    for node in nodes:
        wanted = node.span.parent_span_id
        node.parent = by_id.get(wanted) if wanted is not None else None
        missing += wanted is not None and node.parent is None
    circles = _cut_circles(nodes)
    for node in nodes:
        if node.parent is not None:
            node.parent.children.append(node)
    roots = sorted((node for node in nodes if node.parent is None), key=_main_first)
    _descend(roots)
    return Tree(trace, nodes, tuple(roots), missing, circles, len(trace.spans) - len(nodes))


def _main_first(node: Node) -> tuple[bool, int, int]:
    """A root that names no parent, then the earliest, then the longest."""
    return node.span.parent_span_id is not None, node.span.start_unix_nano, -node.duration_ns


def _cut_circles(nodes: tuple[Node, ...]) -> int:
    """Make one span of each circle a root: the one that starts first. Gives how many circles there were."""
    done: set[int] = set()
    circles = 0
    for node in nodes:
        path: list[Node] = []
        on_path: set[int] = set()
        at: Node | None = node
        while at is not None and id(at) not in done and id(at) not in on_path:
            path.append(at)
            on_path.add(id(at))
            at = at.parent
        if at is not None and id(at) in on_path:
            circle = path[path.index(at) :]
            min(circle, key=lambda member: member.span.start_unix_nano).parent = None
            circles += 1
        done |= on_path
    return circles


def _descend(roots: list[Node]) -> None:
    """Depths, shifts and the order of children (by start), from the roots down."""
    waiting = deque(roots)
    while waiting:
        node = waiting.popleft()
        for child in node.children:
            child.depth = node.depth + 1
            child.shift_ns = _shift(node, child)
        node.children.sort(key=lambda child: (child.start_ns, child.span.span_id))
        waiting.extend(node.children)


def _shift(parent: Node, child: Node) -> int:
    """What to add to the clock of a child.

    Within a service there is one clock. A child elsewhere that began before its parent, or a server that began after
    its client had its answer, has another: it is put into the middle of its parent, as if both ways took equally long
    (the assumption of NTP, Mills 1991), or at its start where it is longer.
    """
    if child.span.service == parent.span.service:
        return parent.shift_ns
    start, length = child.span.start_unix_nano, child.duration_ns
    early = start < parent.start_ns - _TOLERANCE_NS
    late = start > parent.end_ns + _TOLERANCE_NS and (parent.span.kind, child.span.kind) == ("client", "server")
    if not (early or late):
        return 0
    return parent.start_ns + max(0, parent.duration_ns - length) // 2 - start
