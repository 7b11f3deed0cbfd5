"""Where an incident comes from, and how one knows. Called by ``incidents`` whenever an incident gains an issue.

In this order:
1. A **crashed process** is the cause of what its callers suffer.
2. A **flag change** just before the first bad second is the cause of errors or slowness that begin with it,
   often in many services at once. It need not be an injected fault: any change of configuration is the first
   suspect of an operator, too. One that is longer ago is suspected only where no service stands out.
3. Else **blame** is measured. Errors: those that began in a service, less those it was handed from below
   (``RedPoint.self_errors``); calls that failed without their callee saying so (it is gone, or too slow for its
   callers' patience) are blamed on the callee. Latency: how much longer than usual a service took, less what the
   services below it took longer. The service with the largest share is the cause; its share is the confidence.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from homeostat.core import resources
from homeostat.core.models import FlagChange, Issue, IssueType, RootCause, SensorEvent
from homeostat.core.red import Edge, RedPoint
from homeostat.detect.slowness import MARGIN, STARVED_MARGIN, Own, standing_out
from homeostat.detect.topology import Topology

CRASH_CONFIDENCE = 0.98  # a process that the kernel says is dead; what else happened at that moment is not known
FLAG_CONFIDENCE = 0.95  # a change within FLAG_NEAR_S
FLAG_CONFIDENCE_MIN = 0.5  # a change FLAG_BEFORE_S earlier
FLAG_NEAR_S = 5.0
FLAG_BEFORE_S = 30.0
FLAG_AFTER_S = 1.0  # first_bad_at is the start of a whole second: the change may lie within it
BLAME_CONFIDENCE_MAX = 0.95
STANDS_OUT = 0.6  # share of one service
HOST_CONFIDENCE = 0.9  # an issue of the machine itself: it was measured
ALIKE_MIN = 3  # so many services that are slower than usual, and none of them far beyond the others
ALIKE_CONFIDENCE = 0.3  # too little to act upon
PERSISTS = 0.5  # share of the newest seconds, of one that stands out on a starved machine
STARVED_CONFIDENCE = 0.45  # of slow services on it: by exclusion, and not sure enough to decide what belongs together


@dataclass(frozen=True, slots=True)
class UsualOwn:
    """What a request of a service usually takes of its own, in ms: in it, and at the doors of those it calls."""

    self_ms: float = 0.0
    door_ms: float = 0.0  # of one call


@dataclass(frozen=True, slots=True)
class Scene:
    """What is known of the time since an incident began. ``points`` and ``edges`` cover it; ``topology`` longer."""

    points: Mapping[str, RedPoint]
    edges: Sequence[Edge]
    topology: Topology
    usual_mean_ms: Mapping[str, float]
    flag_changes: Sequence[FlagChange]
    process_services: Mapping[str, str]  # process name -> service.name
    usual: Mapping[str, UsualOwn] = field(default_factory=dict[str, UsualOwn])
    host: SensorEvent | None = None  # what is known of the machine that the processes run on, where it is starved
    newest: "Scene | None" = None  # on such a machine the last seconds of what it covers (an incident's first minute)

    def usual_own(self, service: str) -> UsualOwn:
        """Nothing, where it is not known yet."""
        return self.usual.get(service, UsualOwn())

    def service_of(self, resource: str) -> str:
        """The service that a ``service:`` or ``process:`` resource is known by."""
        return resources.service_name(resource, self.process_services)


@dataclass(frozen=True, slots=True)
class Blame:
    """How much of the trouble began in each service: ``shares`` add up to at most 1."""

    shares: Mapping[str, float]
    unit: str  # errors | ms
    amounts: Mapping[str, float]

    @property
    def top(self) -> tuple[str, float] | None:
        """The most blamed service and its share; by name among equals, so that it does not flicker."""
        if not self.shares:
            return None
        return max(self.shares.items(), key=lambda item: (item[1], item[0]))


def explain(issues: Sequence[Issue], scene: Scene) -> RootCause | None:
    """The cause of issues that belong together. None without issues."""
    if not issues:
        return None
    crash = _crash(issues)
    if crash is not None:
        return crash
    if all(issue.type is IssueType.HOST_STARVED for issue in issues):
        return _starved(issues[0].evidence.detail, HOST_CONFIDENCE)
    blame = _best_blame(issues, scene)
    began = min(issue.first_bad_at for issue in issues)
    change = flag_change_before(began, scene.flag_changes)
    if change is not None and (_gap_s(began, change) <= FLAG_NEAR_S or not _stands_out(blame)):
        return _changed_flag(issues, change, blame)
    if blame is not None and blame.top is not None:
        if blame.unit == "errors" or scene.host is None or _persists(blame.top[0], issues, scene):
            return _blamed_service(blame, scene)
        if scene.newest is None or not _runs_here(issues, scene):
            return _blamed_service(blame, scene, at_most=STARVED_CONFIDENCE)
    if scene.host is not None and _runs_here(issues, scene):
        return _starved(f"{scene.host.detail[:1].upper()}{scene.host.detail[1:]}.", STARVED_CONFIDENCE, blame)
    return _nothing_measured(issues, scene)


def _stands_out(blame: Blame | None) -> bool:
    """Does one service explain so much by measurement that a change of a while ago is not needed to explain it?"""
    return blame is not None and blame.top is not None and blame.top[1] >= STANDS_OUT


def flag_change_before(first_bad_at: datetime, changes: Sequence[FlagChange]) -> FlagChange | None:
    """The flag change that an onset at ``first_bad_at`` fits: the latest of those shortly before it."""
    fitting = [change for change in changes if -FLAG_AFTER_S <= _gap_s(first_bad_at, change) <= FLAG_BEFORE_S]
    return max(fitting, key=lambda change: (change.time, change.new_value, change.flag), default=None)


def _gap_s(first_bad_at: datetime, change: FlagChange) -> float:
    return (first_bad_at - change.time).total_seconds()


def _crash(issues: Sequence[Issue]) -> RootCause | None:
    crashes = [issue for issue in issues if issue.type is IssueType.PROCESS_CRASH]
    if not crashes:
        return None
    first = min(crashes, key=lambda issue: (issue.first_bad_at, issue.id))
    name = resources.ResourceId.parse(first.resource).name
    return RootCause(
        resource=first.resource,
        confidence=CRASH_CONFIDENCE,
        reason=f"The process {name} died at {first.first_bad_at:%H:%M:%S} UTC.",
        evidence=(first.evidence.detail,) if first.evidence.detail else (),
    )


def _changed_flag(issues: Sequence[Issue], change: FlagChange, blame: Blame | None) -> RootCause:
    gap = max(0.0, _gap_s(min(issue.first_bad_at for issue in issues), change))
    far = min(1.0, max(0.0, (gap - FLAG_NEAR_S) / (FLAG_BEFORE_S - FLAG_NEAR_S)))
    turned = "on" if change.new_value else "off"
    moment = "in the second of" if gap < 1.0 else f"{gap:.0f} s before"
    what = "first slow request" if issues[0].type is IssueType.HIGH_LATENCY else "first error"
    return RootCause(
        resource=resources.flag(change.flag),
        confidence=round(FLAG_CONFIDENCE - far * (FLAG_CONFIDENCE - FLAG_CONFIDENCE_MIN), 2),
        reason=f"{change.flag} was turned {turned} {moment} the {what}.",
        evidence=(
            f"{change.flag}: {change.previous_value} -> {change.new_value} at {change.time:%H:%M:%S} UTC "
            f"by {change.triggered_by} ({change.reason}).",
            *(() if blame is None else _blame_lines(blame)),
        ),
        self_error_share=_top_share(blame, "errors"),
        self_time_share=_top_share(blame, "ms"),
    )


def _persists(service: str, issues: Sequence[Issue], scene: Scene) -> bool:
    """Does a slow service on a starved machine stand out in the newest seconds as well?

    There any process may get no processor for a second, by chance: then it stands out in that second alone.
    """
    if service not in scene.process_services.values():
        return True
    if scene.newest is None:
        return False
    top = latency_blame(scene.newest, _scope(issues, scene)).top
    return top is not None and top[0] == service and top[1] >= PERSISTS


def _runs_here(issues: Sequence[Issue], scene: Scene) -> bool:
    """Is one of the slow services on the machine that is starved?"""
    here = set(scene.process_services.values())
    return any(issue.type is IssueType.HIGH_LATENCY and scene.service_of(issue.resource) in here for issue in issues)


def _starved(detail: str, confidence: float, passing: Blame | None = None) -> RootCause:
    """``passing``: who stood out, and not to the last."""
    reason = "The machine has too little processor time, and no service is slower than that explains."
    if passing is not None and passing.top is not None:
        name, share = passing.top
        reason = (
            f"The machine has too little processor time. {share:.0%} of what that does not explain was spent in "
            f"{name}, but not in the last seconds as well: there any process may get no processor for a moment."
        )
    return RootCause(
        resource=resources.HOST,
        confidence=confidence,
        reason=reason,
        evidence=((detail,) if detail else ()) + (() if passing is None else _blame_lines(passing)),
    )


def _blamed_service(blame: Blame, scene: Scene, *, at_most: float = BLAME_CONFIDENCE_MAX) -> RootCause:
    assert blame.top is not None
    service, share = blame.top
    what = "errors began" if blame.unit == "errors" else "added time was spent"
    return RootCause(
        resource=resources.service(service),
        confidence=round(min(at_most, share), 2),
        reason=f"{share:.0%} of the {what} in {service}.",
        evidence=(*_blame_lines(blame), *(() if scene.host is None else (_beside(scene.host),))),
        self_error_share=_top_share(blame, "errors"),
        self_time_share=_top_share(blame, "ms"),
    )


def _beside(host: SensorEvent) -> str:
    return f"The machine is starved as well ({host.detail}); what all services have of that is left out."


def _nothing_measured(issues: Sequence[Issue], scene: Scene) -> RootCause:
    """Nobody began anything that we can see: name the affected service that depends on no other affected one."""
    services = sorted({scene.service_of(issue.resource) for issue in issues})
    deepest = [one for one in services if not scene.topology.below(one).intersection(services)] or services
    slow = any(issue.type is IssueType.HIGH_LATENCY for issue in issues)
    if slow and sum(own.added_ms > 0 for own in _own_times(scene).values()) >= ALIKE_MIN:
        return RootCause(
            resource=resources.service(deepest[0]),
            confidence=round(ALIKE_CONFIDENCE / len(deepest), 2),
            reason=f"Everything takes longer than usual, alike; {deepest[0]} depends on no other affected service.",
        )
    return RootCause(
        resource=resources.service(deepest[0]),
        confidence=round(0.5 / len(deepest), 2),
        reason=f"{deepest[0]} is affected and depends on no other affected service; nothing surer could be measured.",
    )


def _top_share(blame: Blame | None, unit: str) -> float | None:
    return None if blame is None or blame.unit != unit or blame.top is None else round(blame.top[1], 4)


def _blame_lines(blame: Blame) -> tuple[str, ...]:
    ranked = sorted(blame.shares.items(), key=lambda item: (-item[1], item[0]))[:3]
    what = "errors" if blame.unit == "errors" else "ms of added time"
    return tuple(
        f"{share:.0%} ({blame.amounts[name]:.0f} {what}) began in {name}." for name, share in ranked if share >= 0.01
    )


def _best_blame(issues: Sequence[Issue], scene: Scene) -> Blame | None:
    """By errors or by time, as the issues are; with both kinds, whichever one service explains more of."""
    scope = _scope(issues, scene)
    types = {issue.type for issue in issues}
    blames = [
        blame
        for wanted, blame in (
            (IssueType.HIGH_ERROR_RATE, error_blame(scene, scope)),
            (IssueType.HIGH_LATENCY, latency_blame(scene, scope)),
        )
        if wanted in types and blame.top is not None
    ]
    return max(blames, key=lambda blame: blame.top[1] if blame.top else 0.0, default=None)


def _scope(issues: Sequence[Issue], scene: Scene) -> set[str]:
    """The services in which the trouble may have begun."""
    affected = {scene.service_of(issue.resource) for issue in issues}
    # A caller of another affected service has its trouble from there, as far as this incident goes: what else it
    # calls may be sick of something else, in an incident of its own.
    deepest = [one for one in affected if not (scene.topology.below(one) - {one}) & affected] or affected
    return affected.union(*(scene.topology.below(service) for service in deepest))


def error_blame(scene: Scene, scope: set[str]) -> Blame:
    """Errors by the service they began in.

    The whole is at least the most errors that any one service shows: where calls fail and no callee admits it
    and none can be blamed, what is explained is a small share, and no confidence comes out of it.
    """
    points = {name: point for name, point in scene.points.items() if name in scope}
    amounts = {name: float(point.self_errors) for name, point in points.items()}
    for name, point in points.items():
        unexplained = point.downstream_errors - _admitted(scene, name)
        callees = scene.topology.callees(name)
        silent = [callee for callee in callees if callee not in scene.points]
        for callee in (silent or callees) if unexplained > 0 else ():
            amounts[callee] = amounts.get(callee, 0.0) + unexplained / len(silent or callees)
    whole = max([sum(amounts.values()), *(float(point.errors) for point in points.values())], default=0.0)
    return _shares(amounts, whole, "errors")


def _admitted(scene: Scene, caller: str) -> float:
    """Failed calls of ``caller`` that their callees know of, by the callees' own spans."""
    admitted = 0.0
    for edge in scene.edges:
        callee = scene.points.get(edge.callee)
        if edge.caller == caller and callee is not None and callee.requests:
            admitted += min(float(edge.errors), callee.errors * min(1.0, edge.requests / callee.requests))
    return admitted


def latency_blame(scene: Scene, scope: set[str]) -> Blame:
    """Time beyond the usual by the service that it was spent in, in ms over the window.

    A service's own part is its time less that of its calls. What its calls took longer than their callees admit
    was spent at the callees' doors: a process that is frozen, or whose queue is full, does not know how long its
    callers have waited, and tells of some of its requests late or never. Neither can be more than what the service
    or the caller took longer than usual. What all services have in common is nobody's (``slowness``).
    """
    margin = MARGIN if scene.host is None else STARVED_MARGIN
    amounts = standing_out(_own_times(scene), scope, margin)
    amounts = {name: amount for name, amount in amounts.items() if name in scope}
    return _shares(amounts, sum(amounts.values()), "ms")


def _own_times(scene: Scene) -> dict[str, Own]:
    """Of every service what it, and its callers at its door, took longer than usual."""
    points = {name: point for name, point in scene.points.items() if point.requests}
    added = {
        name: max(0.0, point.duration_sum_ms - point.requests * scene.usual_mean_ms.get(name, 0.0))
        for name, point in points.items()
    }
    own = {
        name: Own(
            min(added[name], max(0.0, point.self_duration_sum_ms - point.requests * scene.usual_own(name).self_ms)),
            point.requests,
            scene.usual_own(name).self_ms,
        )
        for name, point in points.items()
    }
    doors = {caller: _doors(scene, point, added[caller]) for caller, point in points.items()}
    for door in (one for opened in doors.values() for one in opened):
        known = own.get(door.callee, Own(0.0, 0.0))
        theirs = door.added_ms * (1.0 - _callers_part(door, doors))
        own[door.callee] = Own(
            known.added_ms + theirs, max(known.requests, door.calls), known.usual_ms + door.usual_ms
        )
        caller = own[door.caller]
        own[door.caller] = Own(caller.added_ms + door.added_ms - theirs, caller.requests, caller.usual_ms)
    return own


@dataclass(frozen=True, slots=True)
class _Door:
    """Waiting that the caller has measured and the callee knows nothing of."""

    caller: str
    callee: str
    calls: float
    added_ms: float  # beyond the usual, all calls together
    usual_ms: float  # of one call

    @property
    def added_per_call_ms(self) -> float:
        """0 without calls."""
        return self.added_ms / self.calls if self.calls > 0 else 0.0


def _doors(scene: Scene, point: RedPoint, added_ms: float) -> list[_Door]:
    """The doors that a service has waited at; by the calls, where it calls several."""
    caller = point.service
    calls = {edge.callee: edge.requests for edge in scene.edges if edge.caller == caller != edge.callee}
    calls = calls or dict.fromkeys(scene.topology.callees(caller), 1)
    usual_ms = scene.usual_own(caller).door_ms
    beyond = door_ms(point, scene.edges) - point.downstream_requests * usual_ms
    at_doors = min(added_ms, max(0.0, beyond))
    whole = sum(calls.values())
    return [
        _Door(caller, callee, point.downstream_requests * count / whole, at_doors * count / whole, usual_ms)
        for callee, count in calls.items()
        if whole
    ]


def _callers_part(door: _Door, doors: Mapping[str, Sequence[_Door]]) -> float:
    """Which share of the waiting at a door is the caller's own, 0..1.

    A process that does not get to run keeps those waiting who call it, and hears late of the answers to its own
    calls. So what a caller's own callers wait for it, in the same way, is what it waits too long itself.
    """
    waited = [one for opened in doors.values() for one in opened if one.callee == door.caller]
    calls = sum(one.calls for one in waited)
    if door.added_per_call_ms <= 0.0 or calls <= 0.0:
        return 0.0
    return min(1.0, sum(one.added_ms for one in waited) / calls / door.added_per_call_ms)


def door_ms(caller: RedPoint, edges: Iterable[Edge]) -> float:
    """How much longer a service waited for its calls than those that it called say that they took."""
    admitted = sum(edge.duration_sum_ms for edge in edges if edge.caller == caller.service != edge.callee)
    return max(0.0, caller.downstream_duration_sum_ms - admitted)


def _shares(amounts: Mapping[str, float], whole: float, unit: str) -> Blame:
    kept = {name: amount for name, amount in amounts.items() if amount > 0.0}
    return Blame(shares={name: amount / whole for name, amount in kept.items()}, unit=unit, amounts=kept)
