"""How far apart two services are in the call graph. Used to rank changes and to name who is affected."""

from collections.abc import Iterable, Mapping

from homeostat.core.red import Edge

HOPS_MAX = 16
"""Deeper chains of calls are not followed."""


class CallGraph:
    """Who calls whom, from the edges of a stretch of time. Circles are fine."""

    def __init__(self, edges: Iterable[Edge]) -> None:
        self._callees: dict[str, set[str]] = {}
        self._callers: dict[str, set[str]] = {}
        for edge in edges:
            if edge.caller != edge.callee:
                self._callees.setdefault(edge.caller, set()).add(edge.callee)
                self._callers.setdefault(edge.callee, set()).add(edge.caller)

    def below(self, services: Iterable[str]) -> dict[str, int]:
        """What the answers of these services depend on, with the number of calls in between (0: itself)."""
        return _hops(services, self._callees)

    def above(self, services: Iterable[str]) -> dict[str, int]:
        """What depends on the answers of these services, with the number of calls in between (0: itself)."""
        return _hops(services, self._callers)


def _hops(services: Iterable[str], step: Mapping[str, set[str]]) -> dict[str, int]:
    """Breadth first."""
    found = dict.fromkeys(services, 0)
    front = list(found)
    for hops in range(1, HOPS_MAX + 1):
        following = {after for service in front for after in step.get(service, ()) if after not in found}
        if not following:
            break
        found.update(dict.fromkeys(following, hops))
        front = list(following)
    return found
