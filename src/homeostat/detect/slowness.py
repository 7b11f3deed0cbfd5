"""Whose slowness is its own, when everything is slow? Pure arithmetic for ``root_cause``.

On a starved machine every service takes longer, by waiting for a processor. What a service has of that is no trouble
of its own, and restarting it would only add to the load. What all have in common is estimated by the *others*: the
median of what a request of each of them takes longer than usual, once in milliseconds (each waits about as often),
once in proportion to what is usual for it (who computes more waits more often). The larger of both, times a margin,
is taken off; what is left stands out. From three neighbours on a median does not follow a single sick one; that of
two is their mean, which one sick neighbour raises by half of its trouble: then less stands out, and nobody is blamed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

MARGIN: Final = 2.0
"""Services differ: up to twice what the others have is no more than they have."""

STARVED_MARGIN: Final = 3.0
"""Where the machine is known to be starved, everything scatters more."""

FLOOR_MS: Final = 1.0
"""Nothing is usual for less: below this a proportion is noise."""

NEIGHBOURS_MIN: Final = 2
"""So many others are needed to tell what is common from just another's trouble."""


@dataclass(frozen=True, slots=True)
class Own:
    """One service's own time in a window: not that of the services it called."""

    added_ms: float  # beyond the usual, all requests together
    requests: float
    usual_ms: float = 0.0  # of one request

    @property
    def added_per_request_ms(self) -> float:
        """0 without requests."""
        return self.added_ms / self.requests if self.requests > 0 else 0.0


def standing_out(own: Mapping[str, Own], neighbours: set[str], margin: float) -> dict[str, float]:
    """What each service took longer than usual beyond what all have in common, in ms over the window.

    ``neighbours`` are those that share its fate, as far as one knows; where they are too few, all of ``own``.
    """
    return {
        name: max(0.0, one.added_ms - margin * _common_ms(name, one, own, neighbours)) for name, one in own.items()
    }


def _common_ms(name: str, one: Own, own: Mapping[str, Own], neighbours: set[str]) -> float:
    """What of its added time is explained by what its neighbours have, in ms over the window."""
    others = [item for other, item in own.items() if other != name and item.requests > 0]
    near = [item for other, item in own.items() if other != name and item.requests > 0 and other in neighbours]
    known = near if len(near) >= NEIGHBOURS_MIN else others
    if len(known) < NEIGHBOURS_MIN:
        return 0.0
    by_request = median(item.added_per_request_ms for item in known)
    in_proportion = median(item.added_per_request_ms / max(item.usual_ms, FLOOR_MS) for item in known)
    return one.requests * max(by_request, in_proportion * one.usual_ms)
