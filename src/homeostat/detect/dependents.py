"""How the services that call what was acted upon are since the act: ``core.ports.Dependents`` over exact RED figures.

Verification asks this beside the signal that opened the issue (``signals``). Callers are taken from the calls of the
ten minutes before the act, at most ``HOPS_MAX`` calls away. Each is asked about its errors and its durations; its
objectives say what it may do, and where it has none, the limits at which detection would close an issue.

What a caller was handed by services that the act has nothing to do with is left out of its errors, as far as more of
its calls to them fail than before the act: what it lived with then is no excuse now. Who turns slow because those
turned slow is not worse through the act either. Of what was acted upon itself only the errors that began in it are
asked for; after a crash not even those, because a process that did not run has nothing to be compared with.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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

AWAITED_PER_S: Final = 2.0
"""Who had so many requests a second before the act will have had enough within the ten seconds that verdicts wait."""

BESIDE_SHARE: Final = 0.5
"""Where so much of the added time was spent in services beside the act, the rest does not make it the act's doing."""

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


@dataclass(frozen=True, slots=True)
class _Look:
    """What all questions of one look share. ``handed`` and ``waited`` grow from the nearest dependent outwards."""

    past: _Past
    after: Sequence[_Window]  # stretches that end now, from the shortest to all since the act
    alpha: float
    crashed: bool
    excused: Collection[str]  # whose slowness is not held against the act
    handed: dict[str, float] = field(default_factory=dict[str, float])  # of whose errors which share came from beside
    waited: dict[str, float] = field(default_factory=dict[str, float])  # of whose added time


@dataclass(frozen=True, slots=True)
class _Calls:
    """What a service's calls came to, for each of its requests."""

    failed_near: float = 0.0  # calls to those who depend on the act, or to what was acted upon
    failed_beside: float = 0.0  # calls to others, and what the former were handed by others
    ms_beside: float = 0.0


class DependentServices:
    """``objectives`` are asked for at each look: people change them.

    ``starved``: has the machine of the processes too little processor time now? Then which of their services turns
    slow does so for that reason, and it is not held against the act.
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
        """Each dependent since the act, nearest first; unknown all of them while no complete second lies after it."""
        start_s, end_s = math.ceil(act.since.timestamp()), complete_end_s(self._red, self._clock.now())
        if end_s is None:
            return ()
        if end_s <= start_s:
            return self._not_yet(act)
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
        look = _Look(
            past,
            after,
            alpha=WORSE_ALPHA / max(1, sum(map(len, checks.values()))),
            crashed=act.issue_type is IssueType.PROCESS_CRASH,
            excused=set(self._process_services.values()) if self._starved() else (),
        )
        return tuple(  # nearest first: what they were handed from beside, they hand on
            _worst(service, look, [_answer(check, look) for check in asked])
            for service, asked in checks.items()
            if asked
        )

    def _not_yet(self, act: Act) -> tuple[Dependent, ...]:
        """Not kept: spans of the time before the act may still be on their way."""
        past, crashed = self._past(act), act.issue_type is IssueType.PROCESS_CRASH
        return tuple(
            Dependent(
                service,
                hops,
                DependentState.UNKNOWN,
                f"no complete second of {service} lies after the act yet",
                awaited=not crashed and hops > 0 and _is_busy(service, past),
            )
            for service, hops in past.hops.items()
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


def _answer(check: _Check, look: _Look) -> tuple[DependentState, str]:
    """How the service is by this question, and the figures."""
    after, past = look.after, look.past
    newest = next((window for window in after if _requests(window, check) >= REQUESTS_MIN), after[-1])
    windows = (past.before, past.during, newest)
    sides = _sides(check, windows, check.threshold_ms, look)
    beyond = None
    slow_ms = _p95(past.during.points.get(check.key))
    if check.threshold_ms is not None and slow_ms is not None:
        beyond = _sides(check, windows, max(check.threshold_ms, RISE * slow_ms), look)
    state = compare(sides, check.allowed, look.alpha, beyond, crashed=look.crashed)
    if check.threshold_ms is not None and state is DependentState.WORSE:
        reference = past.during if sides.was_harmed(check.allowed) or not sides.knows_usual else past.before
        if _slow_through_others(check.key[0], reference, newest, look) or check.key[0] in look.excused:
            state = DependentState.NOT_RECOVERED
    span = "since the act" if newest is after[-1] else f"in the last {newest.seconds} s"
    return state, _in_words(check, sides, state, windows, span)


def _sides(check: _Check, windows: Sequence[_Window], threshold_ms: float | None, look: _Look) -> Sides:
    before, during, newest = (_count(window, check, threshold_ms) for window in windows)
    if threshold_ms is None and not check.own:
        handed = math.floor(_handed(newest.bad, check, windows[-1], look) + 1e-9)
        newest = Count(newest.bad - handed, newest.total)
    return Sides(before, during, newest)


def _requests(window: _Window, check: _Check) -> int:
    point = window.points.get(check.key)
    return point.requests if point is not None else 0


def _count(window: _Window, check: _Check, threshold_ms: float | None) -> Count:
    point = window.points.get(check.key)
    if point is None or not point.requests:
        return Count()
    if threshold_ms is not None:
        within = float(np.asarray(point.histogram) @ share_within(threshold_ms))
        return Count(max(0, math.floor(point.requests - within + 1e-9)), point.requests)
    errors = point.self_errors if check.own else point.errors
    return Count(min(errors, point.requests), point.requests)


def _handed(errors: int, check: _Check, newest: _Window, look: _Look) -> float:
    """How many of a service's errors it was handed from beside the act since then.

    Calls are no requests: some are tried again, some failures are lived with. So only what more fails than before the
    act counts, and where calls to both sides fail more, each explains its share of the errors.
    """
    service, operation = check.key
    point = newest.points.get((service, None))
    if point is None or not point.requests or not errors:
        return 0.0
    now = _calls(newest, service, look)
    earlier = [
        _calls(window, service, look)
        for window in (look.past.before, look.past.during)
        if (before := window.points.get((service, None))) is not None and before.requests >= REQUESTS_MIN
    ]
    beside = now.failed_beside - max((one.failed_beside for one in earlier), default=0.0)
    near = max(0.0, now.failed_near - max((one.failed_near for one in earlier), default=0.0))
    if beside <= 0.0:
        return 0.0
    handed = min(beside * point.requests, errors * beside / (beside + near))
    if operation is None:
        look.handed[service] = handed / errors
    return handed


def _slow_through_others(service: str, reference: _Window, newest: _Window, look: _Look) -> bool:
    """Was most of the time that it takes longer spent in services beside the act?"""
    was, now = reference.points.get((service, None)), newest.points.get((service, None))
    if was is None or now is None:
        return False
    added_ms = (now.mean_ms or 0.0) - (was.mean_ms or 0.0)
    beside_ms = _calls(newest, service, look).ms_beside - _calls(reference, service, look).ms_beside
    if added_ms <= 0.0 or beside_ms < BESIDE_SHARE * added_ms:
        return False
    look.waited[service] = min(1.0, beside_ms / added_ms)
    return True


def _calls(window: _Window, service: str, look: _Look) -> _Calls:
    """Nothing without requests."""
    point = window.points.get((service, None))
    if point is None or not point.requests:
        return _Calls()
    near = beside = beside_ms = 0.0
    for edge in window.edges:
        if edge.caller == service != edge.callee:
            other = edge.callee not in look.past.hops
            handed = 1.0 if other else look.handed.get(edge.callee, 0.0)
            near += edge.errors * (1.0 - handed)
            beside += edge.errors * handed
            beside_ms += edge.duration_sum_ms * (1.0 if other else look.waited.get(edge.callee, 0.0))
    return _Calls(near / point.requests, beside / point.requests, beside_ms / point.requests)


def _p95(point: RedPoint | None) -> float | None:
    return None if point is None or point.requests < REQUESTS_MIN else point.quantile_ms(0.95)


def _worst(service: str, look: _Look, answers: Sequence[tuple[DependentState, str]]) -> Dependent:
    hops = look.past.hops[service]
    state, reason = min(answers, key=lambda answer: _WORST_FIRST.index(answer[0]))
    since = look.after[-1].points.get((service, None))
    too_few = state is DependentState.UNKNOWN and (since is None or since.requests < REQUESTS_MIN)
    awaited = too_few and hops > 0 and not look.crashed and _is_busy(service, look.past)
    return Dependent(service, hops, state, reason, awaited)


def _is_busy(service: str, past: _Past) -> bool:
    """Had it so much traffic before the act that there will soon be enough since?"""
    for window in (past.before, past.during):
        point = window.points.get((service, None))
        if point is not None and point.requests >= max(REQUESTS_MIN, AWAITED_PER_S * window.seconds):
            return True
    return False


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
