"""How the services that call what was acted upon are since the act: ``core.ports.Dependents`` over exact RED figures.

Verification asks this beside the signal that opened the issue (``signals``). Callers are taken from the calls of the
ten minutes before the act, at most ``HOPS_MAX`` calls away. Each is asked about its errors and its durations; its
objectives say what it may do, and where it has none, the limits at which detection would close an issue.

What a caller was handed by services that the act has nothing to do with is left out of its errors. Of what was acted
upon itself only the errors that began in it are asked for; after a crash not even those, because a process that did
not run has nothing to be compared with.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from homeostat.core.config import DetectConfig
from homeostat.core.dependents import Act, Dependent, DependentState
from homeostat.core.models import IssueType
from homeostat.core.ports import Clock, RedReader
from homeostat.core.red import Edge, RedPoint, share_within
from homeostat.core.resources import ResourceId, service_name
from homeostat.core.slo import SliKind, Slo
from homeostat.detect.before_after import REQUESTS_MIN, RISE, WORSE_ALPHA, Count, Sides, compare
from homeostat.detect.latency import SLOW_SHARE
from homeostat.detect.windows import Key, complete_end_s

HOPS_MAX: Final = 2
"""Callers of callers; what an act does to those further up shows in these first."""

DEPENDENTS_MAX: Final = 50
"""The nearest and busiest are looked at: a service that everybody calls has that many witnesses."""

USUAL_S: Final = 300
"""So much before the incident says what is usual."""

GUARD_S: Final = 10
"""An incident is found a little after it began: what lies just before its first bad second is not usual."""

DURING_S_MAX: Final = 600
"""Of a long incident the last part: what was just before the act."""

CALLS_S: Final = 600
"""Calls of so long before the act count as dependencies."""

RECENT_S: Final = (4, 8, 16)
"""The shortest stretch of the newest seconds with enough requests speaks, else all since the act."""

ACTS_KEPT: Final = 32
"""What was before so many acts is remembered while they are judged."""

_Points = Mapping[Key, RedPoint]
_WORST_FIRST: Final = (
    DependentState.WORSE,
    DependentState.NOT_RECOVERED,
    DependentState.WELL,
    DependentState.UNKNOWN,
)


@dataclass(frozen=True, slots=True)
class _Window:
    """What is read of one stretch of time."""

    seconds: int
    points: _Points
    edges: Sequence[Edge]


@dataclass(frozen=True, slots=True)
class _Past:
    """What does not change any more once the act has begun."""

    hops: Mapping[str, int]  # dependents by the number of calls in between; 0: what was acted upon
    before: _Window
    during: _Window


@dataclass(frozen=True, slots=True)
class _Check:
    """One question about one series: the share of its bad requests, and how much of it is allowed."""

    key: Key
    allowed: float
    threshold_ms: float | None = None  # None: errors
    objective: Slo | None = None
    own: bool = False  # only what began in it


class DependentServices:
    """``objectives`` are asked for at each look: people change them.

    ``starved``: has the machine too little processor time now? Then who turns slow does so for that reason, and it is
    not held against the act.
    """

    def __init__(
        self,
        red: RedReader,
        clock: Clock,
        config: DetectConfig,
        *,
        process_services: Mapping[str, str] | None = None,
        objectives: Callable[[], Iterable[Slo]] = tuple,
        starved: Callable[[], bool] = bool,
    ) -> None:
        self._red = red
        self._clock = clock
        self._config = config
        self._process_services = dict(process_services or {})
        self._objectives = objectives
        self._starved = starved
        self._pasts: dict[Act, _Past] = {}
        self._found: dict[Act, tuple[int, tuple[Dependent, ...]]] = {}  # with the second up to which was looked

    async def look(self, act: Act) -> Sequence[Dependent]:
        """Each dependent since the act, nearest first; empty while no complete second lies after it."""
        start_s, end_s = math.ceil(act.since.timestamp()), complete_end_s(self._red, self._clock.now())
        if end_s is None or end_s <= start_s:
            return ()
        known = self._found.get(act)
        if known is None or known[0] != end_s:
            known = self._found[act] = (end_s, self._look(act, start_s, end_s))
            _keep_newest(self._found)
        return known[1]

    def _look(self, act: Act, start_s: int, end_s: int) -> tuple[Dependent, ...]:
        past = self._pasts.get(act)
        if past is None:
            past = self._pasts[act] = self._past(act)
            _keep_newest(self._pasts)
        if not past.hops:
            return ()
        starts = [end_s - seconds for seconds in RECENT_S if end_s - seconds > start_s]
        after = [self._window(start, end_s) for start in (*starts, start_s)]
        objectives = [slo for slo in self._objectives() if (slo.sli.service or slo.service) in past.hops]
        checks = {
            service: self._checks(service, hops, objectives, past, crashed=act.issue_type is IssueType.PROCESS_CRASH)
            for service, hops in past.hops.items()
        }
        excused = self._starved()
        alpha = WORSE_ALPHA / max(1, sum(map(len, checks.values())))
        return tuple(
            _worst(service, past.hops[service], [_answer(check, past, after, alpha, excused) for check in asked])
            for service, asked in checks.items()
            if asked
        )

    # -- what was before ------------------------------------------------------------------------------------

    def _past(self, act: Act) -> _Past:
        begun_s, first_bad_s = math.floor(act.begun_at.timestamp()), math.floor(act.first_bad_at.timestamp())
        first_bad_s = min(first_bad_s, begun_s)
        usual_end_s = first_bad_s - GUARD_S
        before = self._window(usual_end_s - USUAL_S, usual_end_s)
        during = self._window(max(first_bad_s, begun_s - DURING_S_MAX), begun_s)
        edges = self._red.edges(begun_s - CALLS_S, begun_s + 1)
        return _Past(callers(self._target(act), edges), before, during)

    def _target(self, act: Act) -> str:
        """The service that was acted upon; for what is none (a flag), the one whose trouble the act answers."""
        kind = ResourceId.parse(act.resource).kind
        resource = act.resource if kind in ("service", "process") else act.issue_resource
        return service_name(resource, self._process_services)

    def _window(self, start_s: int, end_s: int) -> _Window:
        if end_s <= start_s:
            return _Window(0, {}, ())
        points: dict[Key, RedPoint] = {(point.service, None): point for point in self._red.window(start_s, end_s)}
        if any(slo.sli.operation for slo in self._objectives()):
            points |= {(point.service, point.operation): point for point in self._red.operations(start_s, end_s)}
        return _Window(end_s - start_s, points, self._red.edges(start_s, end_s))

    # -- what is asked --------------------------------------------------------------------------------------

    def _checks(
        self, service: str, hops: int, objectives: Sequence[Slo], past: _Past, *, crashed: bool
    ) -> list[_Check]:
        mine = [slo for slo in objectives if (slo.sli.service or slo.service) == service]
        errors = [_of_objective(service, slo) for slo in mine if slo.sli.kind is SliKind.AVAILABILITY]
        slow = [_of_objective(service, slo) for slo in mine if slo.sli.kind is SliKind.LATENCY]
        limits = self._config.error_rate
        usual_errors = min(limits.close_percent, limits.threshold_percent) / 100
        if not hops:
            return [] if crashed else [_Check((service, None), usual_errors, own=True)]
        if not any(check.key[1] is None for check in errors):
            errors.append(_Check((service, None), usual_errors))
        if not any(check.key[1] is None for check in slow):
            slow.append(_Check((service, None), SLOW_SHARE, self._limit_ms(service, past)))
        return [*errors, *slow]

    def _limit_ms(self, service: str, past: _Past) -> float:
        """From where on a request is slow: half as long again as usual, and not what detection calls good."""
        limits, p95 = self._config.latency, _p95(past.before.points.get((service, None)))
        opening = limits.threshold_ms if p95 is None else max(limits.threshold_ms, limits.ratio * p95)
        closing = opening * min(1.0, limits.close_ratio / limits.ratio)
        return closing if p95 is None else max(closing, RISE * p95)


def callers(target: str, edges: Sequence[Edge]) -> dict[str, int]:
    """Those who call the target, with the number of calls in between (0: itself), nearest and busiest first.

    At most ``DEPENDENTS_MAX`` beside the target. Circles are fine.
    """
    found = {target: 0}
    room = DEPENDENTS_MAX
    for hops in range(1, HOPS_MAX + 1):
        calls: dict[str, int] = {}
        for edge in edges:
            if found.get(edge.callee) == hops - 1 and edge.caller not in found:
                calls[edge.caller] = calls.get(edge.caller, 0) + edge.requests
        busiest = sorted(calls, key=lambda caller: (-calls[caller], caller))[:room]
        found.update(dict.fromkeys(busiest, hops))
        room -= len(busiest)
    return found


def _of_objective(service: str, slo: Slo) -> _Check:
    """An objective over slices says of each slice, not of the whole, how much of it must be good."""
    allowed = 1.0 - (slo.slice_target if slo.slice_target is not None else slo.target)
    return _Check((service, slo.sli.operation), allowed, slo.sli.threshold_ms, slo)


# -- the answer to one question -----------------------------------------------------------------------------


def _answer(
    check: _Check, past: _Past, after: Sequence[_Window], alpha: float, excused: bool
) -> tuple[DependentState, str]:
    """``after``: stretches that end now, from the shortest to all since the act. ``excused``: slowness is no harm."""
    newest = next((window for window in after if _requests(window, check) >= REQUESTS_MIN), after[-1])
    windows = (past.before, past.during, newest)
    sides = Sides(*(_count(window, check, past.hops, check.threshold_ms) for window in windows))
    beyond = None
    slow_ms = _p95(past.during.points.get(check.key))
    if check.threshold_ms is not None and slow_ms is not None:
        limit_ms = max(check.threshold_ms, RISE * slow_ms)
        beyond = Sides(*(_count(window, check, past.hops, limit_ms) for window in windows))
    state = compare(sides, check.allowed, alpha, beyond)
    if excused and check.threshold_ms is not None and state is DependentState.WORSE:
        state = DependentState.NOT_RECOVERED
    span = "since the act" if newest is after[-1] else f"in the last {newest.seconds} s"
    return state, _in_words(check, sides, state, windows, span)


def _requests(window: _Window, check: _Check) -> int:
    point = window.points.get(check.key)
    return point.requests if point is not None else 0


def _count(window: _Window, check: _Check, hops: Mapping[str, int], threshold_ms: float | None) -> Count:
    point = window.points.get(check.key)
    if point is None or not point.requests:
        return Count()
    if threshold_ms is not None:
        within = float(np.asarray(point.histogram) @ share_within(threshold_ms))
        return Count(max(0, math.floor(point.requests - within + 1e-9)), point.requests)
    if check.own:
        return Count(min(point.self_errors, point.requests), point.requests)
    elsewhere = sum(edge.errors for edge in window.edges if edge.caller == point.service and edge.callee not in hops)
    return Count(max(0, point.errors - elsewhere), point.requests)


def _p95(point: RedPoint | None) -> float | None:
    return None if point is None or point.requests < REQUESTS_MIN else point.quantile_ms(0.95)


def _worst(service: str, hops: int, answers: Sequence[tuple[DependentState, str]]) -> Dependent:
    state, reason = min(answers, key=lambda answer: _WORST_FIRST.index(answer[0]))
    return Dependent(service, hops, state, reason)


# -- words --------------------------------------------------------------------------------------------------


def _in_words(check: _Check, sides: Sides, state: DependentState, windows: Sequence[_Window], span: str) -> str:
    service, operation = check.key
    name = service if operation is None else f"{service} ({operation})"
    after = sides.after
    if not after.total:
        return f"no request has come to {name} since the act"
    if check.threshold_ms is None:
        said = f"{name} answers {after.share:.1%} errors {span} ({after.bad} of {after.total})"
    else:
        p95 = windows[-1].points[check.key].quantile_ms(0.95)
        said = (
            f"{name} takes longer than {check.threshold_ms:.0f} ms for {after.share:.1%} of {after.total} requests "
            f"{span} (95th percentile {p95:.0f} ms)"
        )
    said += _compared(check, sides, state, windows)
    if check.objective is not None:
        said += f"; its objective {check.objective.name!r} allows {100 * check.allowed:.3g}%"
    return said


def _compared(check: _Check, sides: Sides, state: DependentState, windows: Sequence[_Window]) -> str:
    """What it is compared with: just before the act where it is worse, else what was usual."""
    harmed = sides.was_harmed(check.allowed) and state is DependentState.WORSE
    at, when = (sides.during, "in the incident before it") if harmed else (sides.before, "before the incident")
    point = windows[1 if harmed else 0].points.get(check.key)
    if not at.total or point is None:
        return "; nothing is known of it before"
    if check.threshold_ms is None:
        return f"; {at.share:.1%} {when}"
    p95 = point.quantile_ms(0.95)
    return f"; {at.share:.1%} {when} ({p95:.0f} ms)"


def _keep_newest(kept: dict[Act, _Past] | dict[Act, tuple[int, tuple[Dependent, ...]]]) -> None:
    """Acts are judged in the order in which they began, for half a minute each."""
    while len(kept) > ACTS_KEPT:
        del kept[next(iter(kept))]
