"""The detection stage as one object. ``loop.py`` calls ``look`` every half second and after each sensor event.

Nothing is stored or published here: the loop does that with what ``look`` returns, and gives back with ``restore``
what the store had when the process starts.
"""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

import anyio

from homeostat.core.config import DetectConfig
from homeostat.core.errors import StoreError
from homeostat.core.models import (
    Finding,
    FlagChange,
    Incident,
    Issue,
    IssueType,
    SensorEvent,
)
from homeostat.core.ports import Ids, RedReader
from homeostat.core.resources import HOST, ResourceId, service_name
from homeostat.detect import latency
from homeostat.detect.baseline import Baselines
from homeostat.detect.crash import CrashDetector
from homeostat.detect.error_rate import error_rate_detector
from homeostat.detect.host import HostWatch
from homeostat.detect.incidents import IncidentBook, IncidentChange
from homeostat.detect.issues import ChangeKind, IssueBook, IssueChange
from homeostat.detect.red_detector import RedDetector
from homeostat.detect.root_cause import FLAG_BEFORE_S, Scene, UsualOwn
from homeostat.detect.topology import Topology
from homeostat.detect.windows import Windows, complete_end_s

logger = logging.getLogger(__name__)

TOPOLOGY_S = 600  # calls of the last ten minutes count as dependencies
SCENE_S_MAX = 60  # of an incident's time; what is measured for its cause is its beginning
STARVED_SCENE_S = 6  # on a starved machine nobody is surely the cause before, and
STARVED_NEWEST_S = 3  # it has to be the cause in the last seconds of the scene as well
BEFORE_S = 1  # what slows a caller down has ended, and is counted, in the second before
LATE_S = 10  # learned spans may be this late: a bad look marks this much of the time before it
EXAMPLES_TIMEOUT_S = 0.5
EXAMPLES_ATTEMPTS = 6  # a trace is found only once its spans have arrived and settled


class ExampleTraces(Protocol):
    """The one question that detection has for the telemetry store."""

    async def example_traces(
        self, service: str, since: datetime, *, errors: bool, operation: str | None = None, limit: int = 3
    ) -> list[str]: ...


class FlagChanges(Protocol):
    """The one question that detection has for the flags."""

    async def changes(self, since: datetime) -> list[FlagChange]: ...


@dataclass(frozen=True, slots=True)
class DetectionResult:
    """What one look changed. To be stored as one: issues name the incident that they belong to."""

    issue_changes: tuple[IssueChange, ...] = ()
    incident_changes: tuple[IncidentChange, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.issue_changes or self.incident_changes)


@dataclass(slots=True)
class _Wanted:
    """Example traces to be looked for: those of a cause that is a service, or of the worst affected one."""

    service: str
    since: datetime
    errors: bool
    attempts: int = field(default=EXAMPLES_ATTEMPTS)


class Detection:
    """Watches RED metrics and sensor events; keeps the open issues and incidents."""

    def __init__(
        self,
        config: DetectConfig,
        red: RedReader,
        ids: Ids,
        *,
        flags: FlagChanges | None = None,
        traces: ExampleTraces | None = None,
        process_services: Mapping[str, str] | None = None,
    ) -> None:
        self._red = red
        self._flags = flags
        self._traces = traces
        self._process_services = dict(process_services or {})
        self._baselines = Baselines(red, lambda past: latency.slow_limit_ms(config.latency, past))
        self._windows = Windows(red)
        self._detectors: dict[IssueType, RedDetector] = {
            IssueType.HIGH_ERROR_RATE: error_rate_detector(red, self._baselines, config.error_rate),
            IssueType.HIGH_LATENCY: latency.latency_detector(red, self._baselines, config.latency),
        }
        self._crash = CrashDetector()
        self._host = HostWatch()
        self._issues = IssueBook(ids, config.close_after)
        self._incidents = IncidentBook(ids)
        self._wanted: dict[str, _Wanted] = {}
        self._homeless: set[str] = set()  # open issues of before a restart that no open incident holds

    # -- what the loop calls --------------------------------------------------------------------------------

    def restore(self, issues: Iterable[Issue], incidents: Iterable[Incident], now: datetime) -> None:
        """Go on where a former process stopped: open issues and incidents continue, and no second one opens."""
        known = list(issues)
        self._issues.restore(known, now)
        self._incidents.restore(incidents, known)
        held = {incident.id for incident in self._incidents.open_incidents()}
        self._homeless = {issue.id for issue in self._issues.open_issues() if issue.incident_id not in held}
        for issue in self._issues.open_issues():
            detector = self._detectors.get(issue.type)
            if detector is not None:
                detector.remember(ResourceId.parse(issue.resource).name, issue.evidence.operation)

    def sense(self, event: SensorEvent) -> None:
        """Take in what a sensor saw; the next ``look`` acts on it."""
        self._crash.sense(event)
        self._host.sense(event)

    def adopt(self, incident: Incident) -> None:
        """Another stage has changed the status of an incident (escalation): keep it in what is reported next."""
        self._incidents.adopt(incident)

    def open_issues(self) -> list[Issue]:
        """Every open issue, oldest first."""
        return self._issues.open_issues()

    def open_incidents(self) -> list[Incident]:
        """Every incident that has not closed, oldest first."""
        return self._incidents.open_incidents()

    def starved(self) -> bool:
        """Has the machine that the watched processes run on too little processor time, as far as is known?"""
        return self._host.starved is not None

    async def look(self, now: datetime) -> DetectionResult:
        """Look at everything once. Without anything new this costs a few milliseconds and changes nothing.

        A store that cannot be read costs evidence, never the look: what it found would be lost with it.
        """
        red = self._look_at_red(now)
        findings = [*self._crash.look(), *red, *self._host.look(self._slow_here(red), now)]
        changes = self._with_homeless(self._issues.apply(findings, now), findings)
        opened = any(change.kind is ChangeKind.OPENED for change in changes)
        flag_changes = await self._recent_flag_changes(changes) if opened or self._incidents.unsettled(now) else []
        scenes: dict[int, Scene] = {}

        def scene(since: datetime) -> Scene:
            start_s = math.floor(since.timestamp())
            if start_s not in scenes:
                scenes[start_s] = self._scene(start_s, now, flag_changes)
            return scenes[start_s]

        named, incidents = self._incidents.apply(changes, scene, now)
        for change in named:
            if change.kind is ChangeKind.OPENED and change.issue.incident_id is not None:
                self._issues.assign(change.issue.id, change.issue.incident_id)
        self._want_examples(incidents)
        if not incidents:  # an opening must reach the healer at once; its examples come with the next look
            incidents = await self._enriched(now)
        return DetectionResult(tuple(named), tuple(incidents))

    def _with_homeless(self, changes: list[IssueChange], findings: Sequence[Finding]) -> list[IssueChange]:
        """An issue whose incident is missing opens once more, for an incident of its own or another's, as soon as it
        is seen to be bad still: what nobody holds would never be healed, and its fingerprint never open again."""
        if not self._homeless:
            return changes
        opened = {issue.id: issue for issue in self._issues.open_issues() if issue.id in self._homeless}
        bad = {f"{finding.type}|{finding.resource}" for finding in findings if finding.bad}
        again = {issue_id: issue for issue_id, issue in opened.items() if issue.fingerprint in bad}
        self._homeless = opened.keys() - again.keys()
        return [
            *(change for change in changes if change.issue.id not in again),
            *(IssueChange(ChangeKind.OPENED, issue) for issue in again.values()),
        ]

    # -- RED ------------------------------------------------------------------------------------------------

    def _look_at_red(self, now: datetime) -> list[Finding]:
        if not self._windows.move_to(now):
            return []
        self._protect_baselines(math.floor(now.timestamp()))
        findings: list[Finding] = []
        for type_, detector in self._detectors.items():
            watched = {ResourceId.parse(resource).name for resource in self._issues.open_resources(type_)}
            findings.extend(detector.look(self._windows, watched))
        moment_s = math.floor(now.timestamp())
        for finding in findings:
            if finding.bad:
                self._baselines.mark_bad(ResourceId.parse(finding.resource).name, moment_s - LATE_S, moment_s)
        return findings

    def _service_of(self, issue: Issue) -> str:
        return service_name(issue.resource, self._process_services)

    def _slow_here(self, findings: Iterable[Finding]) -> set[str]:
        """Services of the machine that the watched processes run on, that are slow now or were a moment ago."""
        slow = self._issues.open_resources(IssueType.HIGH_LATENCY)
        slow |= {one.resource for one in findings if one.bad and one.type is IssueType.HIGH_LATENCY}
        here = set(self._process_services.values())
        return {ResourceId.parse(resource).name for resource in slow} & here

    def _protect_baselines(self, now_s: int) -> None:
        """What is bad is not normal, however long it lasts."""
        for issue in self._issues.open_issues():
            # On a starved machine also those take longer than is normal that are not slow enough for an issue.
            of_host = issue.type is IssueType.HOST_STARVED
            hit = set(self._process_services.values()) if of_host else {self._service_of(issue)}
            since_s = math.floor(issue.first_bad_at.timestamp()) - (LATE_S if of_host else 0)
            for service in hit:
                self._baselines.mark_bad(service, since_s, now_s)
        self._baselines.learn(now_s)

    # -- the scene of an incident ---------------------------------------------------------------------------

    def _scene(self, start_s: int, now: datetime, flag_changes: list[FlagChange]) -> Scene:
        now_s = math.floor(now.timestamp())
        start_s -= BEFORE_S
        complete_s = complete_end_s(self._red, now)
        end_s = max(start_s + 1, min(complete_s or now_s, start_s + SCENE_S_MAX))
        topology = Topology(self._red.edges(now_s - TOPOLOGY_S, now_s + 1))
        scene = self._scene_between(start_s, end_s, topology, flag_changes)
        if self.starved() and end_s - start_s >= STARVED_SCENE_S:
            newest = self._scene_between(end_s - STARVED_NEWEST_S, end_s, topology, flag_changes)
            scene = replace(scene, newest=newest)
        return scene

    def _scene_between(self, start_s: int, end_s: int, topology: Topology, flag_changes: list[FlagChange]) -> Scene:
        points = {point.service: point for point in self._red.window(start_s, end_s)}
        pasts = {name: self._baselines.of((name, None)) for name in points}
        return Scene(
            points=points,
            edges=self._red.edges(start_s, end_s),
            topology=topology,
            usual_mean_ms={name: past.mean_ms for name, past in pasts.items() if past.mean_ms is not None},
            usual={name: UsualOwn(past.mean_self_ms or 0.0, past.mean_door_ms) for name, past in pasts.items()},
            flag_changes=flag_changes,
            process_services=self._process_services,
            host=self._host.starved,
        )

    async def _recent_flag_changes(self, changes: list[IssueChange]) -> list[FlagChange]:
        if self._flags is None:
            return []
        opened = [change.issue.first_bad_at for change in changes if change.kind is ChangeKind.OPENED]
        first = min([*opened, *(incident.first_bad_at for incident in self._incidents.open_incidents())])
        try:
            return await self._flags.changes(first - timedelta(seconds=FLAG_BEFORE_S))
        except StoreError as error:  # an incident whose flag is not named is still an incident
            logger.warning("The changes of flags are no evidence for now: %s", error)
            return []

    # -- example traces -------------------------------------------------------------------------------------

    def _want_examples(self, changes: Iterable[IncidentChange]) -> None:
        for change in changes:
            incident, cause = change.incident, change.incident.root_cause
            if change.kind is ChangeKind.CLOSED:
                self._wanted.pop(incident.id, None)
            elif cause is not None and not cause.example_trace_ids and incident.id not in self._wanted:
                resource = cause.resource
                if ResourceId.parse(resource).kind in {"flag", "host"}:  # no spans; what it did to a service has
                    resource = next((one.resource for one in change.issues if one.resource != HOST), HOST)
                if resource == HOST:
                    continue
                self._wanted[incident.id] = _Wanted(
                    service=service_name(resource, self._process_services),
                    since=incident.first_bad_at,
                    errors=any(issue.type is not IssueType.HIGH_LATENCY for issue in change.issues),
                )

    async def _enriched(self, now: datetime) -> list[IncidentChange]:
        """Look for the example traces of one incident, for at most half a second."""
        if self._traces is None or not self._wanted:
            return []
        incident_id, wanted = next(iter(self._wanted.items()))
        wanted.attempts -= 1
        found: list[str] = []
        try:
            with anyio.move_on_after(EXAMPLES_TIMEOUT_S):
                found = await self._traces.example_traces(wanted.service, wanted.since, errors=wanted.errors)
        except StoreError as error:  # an incident without examples is still an incident
            logger.warning("No example traces of %s: %s", wanted.service, error)
        if found or wanted.attempts <= 0:
            del self._wanted[incident_id]
        return self._incidents.enrich(incident_id, found, now)
