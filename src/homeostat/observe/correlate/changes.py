"""What changed before: deployments, flags, configuration, scaling, ranked by how likely they explain a trouble.

score = prior of the kind x 2^(-age / half-life) x nearness in the call graph, each 0..1. A ranking for people to
start from, not a probability: the reason is given with each, so that it can be judged. Pure; the API calls it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from homeostat.core.events import Event
from homeostat.core.models import Model
from homeostat.observe.correlate.graph import CallGraph

HALF_LIFE: Final = timedelta(minutes=15)
"""A change that is older by this is half as likely the cause: most bad changes show within minutes."""

PRIORS: Final = {"deployment": 1.0, "configuration": 0.9, "flag": 0.9, "scaling": 0.5}
OTHER_PRIOR: Final = 0.7

NEAR_PER_HOP: Final = 0.7
"""Of a service that the troubled one calls, for each call in between."""

CALLER_PER_HOP: Final = 0.4
"""Of a service that calls the troubled one: it can send more or other requests, rarely anything worse."""

NO_SERVICE: Final = 0.6
"""A change that names no service may concern any."""

UNRELATED: Final = 0.05


class RankedChange(Model):
    """One candidate, with what speaks for it."""

    event: Event
    score: float  # 0..1, to sort by
    age_s: float  # before the moment that was asked about
    hops: int | None  # calls between it and the service asked about; 0: the same; None: not connected, or none named
    why: str


@dataclass(frozen=True, slots=True)
class _Nearness:
    factor: float
    hops: int | None
    why: str


def rank_changes(
    changes: Iterable[Event], *, before: datetime, services: Sequence[str], graph: CallGraph, limit: int = 20
) -> list[RankedChange]:
    """The changes at or before ``before``, the likeliest first. Without ``services`` only kind and age count."""
    below, above = graph.below(services), graph.above(services)
    ranked = [_rank(event, before, services, below, above) for event in changes if event.time <= before]
    ranked.sort(key=lambda one: (-one.score, one.age_s, one.event.id))
    return ranked[:limit]


def _rank(
    event: Event, before: datetime, services: Sequence[str], below: dict[str, int], above: dict[str, int]
) -> RankedChange:
    age_s = (before - event.time).total_seconds()
    kind = event.change or "deployment"
    nearness = _nearness(event.services, services, below, above)
    score = PRIORS.get(kind, OTHER_PRIOR) * 0.5 ** (age_s / HALF_LIFE.total_seconds()) * nearness.factor
    article = "A" if kind[0] not in "aeiou" else "An"
    return RankedChange(
        event=event,
        score=round(score, 4),
        age_s=age_s,
        hops=nearness.hops,
        why=f"{article} {kind} {_age_text(age_s)} before, {nearness.why}",
    )


def _nearness(
    changed: Sequence[str], services: Sequence[str], below: dict[str, int], above: dict[str, int]
) -> _Nearness:
    if not services:
        return _Nearness(1.0, None, f"of {changed[0]}" if changed else "of no service in particular")
    if not changed:
        return _Nearness(NO_SERVICE, None, "of no service in particular")
    lower = min((service for service in changed if service in below), key=lambda name: below[name], default=None)
    if lower is not None:
        hops = below[lower]
        where = f"of {lower} itself" if hops == 0 else f"of {lower}, {_calls(hops)} below"
        return _Nearness(NEAR_PER_HOP**hops, hops, where)
    upper = min((service for service in changed if service in above), key=lambda name: above[name], default=None)
    if upper is not None:
        hops = above[upper]
        return _Nearness(CALLER_PER_HOP**hops, hops, f"of {upper}, a caller {_calls(hops)} above")
    return _Nearness(UNRELATED, None, f"of {changed[0]}, which no call connects with {services[0]}")


def _calls(hops: int) -> str:
    return "one call" if hops == 1 else f"{hops} calls"


def _age_text(age_s: float) -> str:
    if age_s < 120:
        return f"{age_s:.0f} s"
    if age_s < 7200:
        return f"{age_s / 60:.0f} min"
    return f"{age_s / 3600:.0f} h"
