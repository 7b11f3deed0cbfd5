"""Who calls whom, directly or through others: what groups issues and walks to their cause."""

from collections.abc import Iterable
from functools import cached_property

from homeostat.core.red import Edge


class Topology:
    """The call graph of a stretch of time. A service reaches what it calls, and what that calls."""

    def __init__(self, edges: Iterable[Edge]) -> None:
        self._callees: dict[str, set[str]] = {}
        for edge in edges:
            if edge.caller != edge.callee:
                self._callees.setdefault(edge.caller, set()).add(edge.callee)
        self._reached: dict[str, frozenset[str]] = {}

    def callees(self, service: str) -> frozenset[str]:
        """What a service calls itself."""
        return frozenset(self._callees.get(service, ()))

    def below(self, service: str) -> frozenset[str]:
        """Everything that a service's answer can depend on, itself left out (unless it calls itself in a circle)."""
        known = self._reached.get(service)
        if known is None:
            seen: set[str] = set()
            front = list(self._callees.get(service, ()))
            while front:
                callee = front.pop()
                if callee not in seen:
                    seen.add(callee)
                    front.extend(self._callees.get(callee, ()))
            known = self._reached[service] = frozenset(seen)
        return known

    def connected(self, one: str, other: str) -> bool:
        """Whether trouble of one can show in the other: they are the same, or one depends on the other.

        Two services with a common caller are not connected: neither can make the other fail.
        """
        return one == other or other in self.below(one) or one in self.below(other)

    @cached_property
    def services(self) -> frozenset[str]:
        """Every service that calls or is called."""
        return frozenset(self._callees).union(*self._callees.values())
