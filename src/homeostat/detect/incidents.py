"""Issues that belong together become one incident, which names its cause and closes when all of them have closed.

An issue that opens joins an open incident when
1. it is about the same service (a crash and the errors of the same service), or
2. both began with the same flag change, or
3. one depends on the other by call edges, and the issue began within ``JOIN_WINDOW`` of the incident's newest one:
   the cause may be found before or after its victims. Once the incident's cause is known, only a connection to
   the cause counts: a common caller of two sick services suffers from both and must not make them one.
Otherwise it opens an incident of its own. An incident holds at most one crashed process: processes do not die of
each other, and each must be healed. An issue never changes its incident, and incidents are never merged: their
ids are on timelines and in the journal of runs.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from homeostat.core.models import (
    Incident,
    IncidentStatus,
    Issue,
    IssueStatus,
    IssueType,
    RootCause,
    Severity,
)
from homeostat.core.ports import Ids
from homeostat.core.resources import HOST, ResourceId
from homeostat.detect.issues import ChangeKind, IssueChange
from homeostat.detect.root_cause import Scene, explain, flag_change_before

JOIN_WINDOW = timedelta(seconds=120)
UNSETTLED = timedelta(seconds=10)  # in this time the cause is named anew at each look; later only a surer one counts
UNSURE = timedelta(seconds=300)  # for so long where nothing stands out: somebody may fall ill on a starved machine
RECENT = timedelta(seconds=20)  # by then the newest seconds say more than the beginning, in which all were alike
SURE = 0.5  # from this confidence on the cause decides what belongs to the incident

_SEVERITY_ORDER = (Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)


@dataclass(frozen=True, slots=True)
class IncidentChange:
    """One change, with the incident as it is now and its issues (open and closed)."""

    kind: ChangeKind
    incident: Incident
    issues: tuple[Issue, ...]


class IncidentBook:
    """The open incidents."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._open: dict[str, Incident] = {}
        self._issues: dict[str, dict[str, Issue]] = {}

    def restore(self, incidents: Iterable[Incident], issues: Iterable[Issue]) -> None:
        """Go on with what was open before a restart. Of closed issues only the ids are needed."""
        for incident in incidents:
            if incident.status is not IncidentStatus.CLOSED:
                self._open[incident.id] = incident
                self._issues[incident.id] = {}
        for issue in issues:
            if issue.incident_id in self._issues:
                self._issues[issue.incident_id][issue.id] = issue

    def open_incidents(self) -> list[Incident]:
        """Every incident that has not closed, oldest first."""
        return sorted(self._open.values(), key=lambda incident: (incident.opened_at, incident.id))

    def adopt(self, incident: Incident) -> None:
        """Take over what another stage has changed (escalation). Ignored once it has closed."""
        if incident.id in self._open:
            known = self._open[incident.id]
            self._open[incident.id] = known.model_copy(update={"status": incident.status})

    def enrich(self, incident_id: str, trace_ids: Sequence[str], now: datetime) -> list[IncidentChange]:
        """Add example traces to the root cause of an open incident."""
        incident = self._open.get(incident_id)
        if incident is None or incident.root_cause is None or not trace_ids:
            return []
        cause = incident.root_cause.model_copy(update={"example_trace_ids": tuple(trace_ids)})
        return [self._save(incident, {"root_cause": cause, "updated_at": now}, ChangeKind.UPDATED)]

    def apply(
        self, changes: Sequence[IssueChange], scene: Callable[[datetime], Scene], now: datetime
    ) -> tuple[list[IssueChange], list[IncidentChange]]:
        """Bring the incidents up to date with the issues. Returns the same issue changes, now naming their incident,
        and what changed among incidents. ``scene(since)`` is asked only where something opened."""
        touched: dict[str, ChangeKind] = {}
        named: list[IssueChange] = []
        for change in sorted(changes, key=_order):
            if change.kind is ChangeKind.OPENED:
                issue, kind = self._place(change.issue, scene, now)
                touched.setdefault(issue.incident_id or "", kind)
                named.append(replace(change, issue=issue))
            else:
                named.append(change)
                incident_id = change.issue.incident_id
                if incident_id in self._open:
                    self._issues[incident_id][change.issue.id] = change.issue
                    touched.setdefault(incident_id, ChangeKind.UPDATED)
                    if change.kind is ChangeKind.EXPIRED:
                        touched[incident_id] = ChangeKind.EXPIRED
        for incident_id in self.unsettled(now):
            touched.setdefault(incident_id, ChangeKind.UPDATED)
        for incident_id, members in self._issues.items():
            if not any(issue.status is IssueStatus.OPEN for issue in members.values()):
                # Homeostat was killed after it had stored the close of the last issue and before the incident's.
                touched.setdefault(incident_id, ChangeKind.CLOSED)
        refreshed = [self._refresh(incident_id, kind, scene, now) for incident_id, kind in touched.items()]
        return named, [change for change in refreshed if change is not None]

    def unsettled(self, now: datetime) -> list[str]:
        """Ids of incidents so young that every look may still find a better cause."""
        return [
            incident.id
            for incident in self._open.values()
            if now - incident.opened_at < (UNSURE if _is_unsure(incident.root_cause) else UNSETTLED)
        ]

    def _place(self, issue: Issue, scene: Callable[[datetime], Scene], now: datetime) -> tuple[Issue, ChangeKind]:
        """Find or open the incident of a new issue."""
        known = scene(issue.first_bad_at)
        for incident in self.open_incidents():
            if self._belongs(issue, incident, known):
                joined = issue.model_copy(update={"incident_id": incident.id})
                self._issues[incident.id][issue.id] = joined
                return joined, ChangeKind.UPDATED
        incident_id = self._ids.new("incident")
        opened = issue.model_copy(update={"incident_id": incident_id})
        self._issues[incident_id] = {issue.id: opened}
        self._open[incident_id] = Incident(
            id=incident_id,
            title=issue.title,
            status=IncidentStatus.OPEN,
            severity=issue.severity,
            issue_ids=(issue.id,),
            affected_services=_affected([issue], known),
            root_cause=explain([opened], known),  # what opens in the same look may belong to it
            first_bad_at=issue.first_bad_at,
            opened_at=now,
            updated_at=now,
        )
        return opened, ChangeKind.OPENED

    def _belongs(self, issue: Issue, incident: Incident, scene: Scene) -> bool:
        members = list(self._issues[incident.id].values())
        crashed = {member.resource for member in members if member.type is IssueType.PROCESS_CRASH}
        if issue.type is IssueType.PROCESS_CRASH and crashed and issue.resource not in crashed:
            return False
        service = scene.service_of(issue.resource)
        if any(scene.service_of(member.resource) == service for member in members):
            return True
        if self._same_flag_change(issue, incident, scene):
            return True
        newest = max((member.first_bad_at for member in members), default=incident.first_bad_at)
        if abs(issue.first_bad_at - newest) > JOIN_WINDOW:
            return False
        return any(scene.topology.connected(service, origin) for origin in _origins(incident, members, scene))

    @staticmethod
    def _same_flag_change(issue: Issue, incident: Incident, scene: Scene) -> bool:
        if incident.root_cause is None or ResourceId.parse(incident.root_cause.resource).kind != "flag":
            return False
        change = flag_change_before(issue.first_bad_at, scene.flag_changes)
        return change is not None and incident.root_cause.resource == f"flag:{change.flag}"

    def _refresh(
        self, incident_id: str, kind: ChangeKind, scene: Callable[[datetime], Scene], now: datetime
    ) -> IncidentChange | None:
        """Recompute what follows from the issues; close when none is open. None when a reader would see no change."""
        incident, members = self._open[incident_id], list(self._issues[incident_id].values())
        if kind is ChangeKind.EXPIRED:  # of one of its issues: whatever becomes of the others
            incident = self._open[incident_id] = incident.model_copy(update={"expired": True})
        still_open = [issue for issue in members if issue.status is IssueStatus.OPEN]
        if not still_open:
            return self._close(incident, members, now)
        first_bad_at = min([incident.first_bad_at, *(issue.first_bad_at for issue in members)])
        known = scene(first_bad_at)
        cause = explain(members, known)
        if _is_unsure(cause) and now - first_bad_at > RECENT:
            cause = _surer(cause, explain(still_open, scene(now - RECENT)))
        # Once the sick one was healed, the newest seconds show only the machine.
        healed_away = cause is not None and cause.resource == HOST and not _is_unsure(incident.root_cause)
        if healed_away or now - incident.opened_at >= UNSETTLED:
            cause = _surer(incident.root_cause, cause)
        cause = _keep_examples(incident.root_cause, cause)
        services = tuple(sorted({*incident.affected_services, *_affected(members, known)}))
        update = {
            "title": _title(cause, members, services),
            "severity": max((issue.severity for issue in still_open), key=_SEVERITY_ORDER.index),
            "issue_ids": tuple(dict.fromkeys([*incident.issue_ids, *(issue.id for issue in members)])),
            "affected_services": services,
            "root_cause": cause,
            "first_bad_at": first_bad_at,
            "updated_at": now,
        }
        if kind is ChangeKind.UPDATED and _seen(incident) == _seen(incident.model_copy(update=update)):
            return None
        return self._save(incident, update, ChangeKind.UPDATED if kind is ChangeKind.EXPIRED else kind)

    def _save(self, incident: Incident, update: Mapping[str, object], kind: ChangeKind) -> IncidentChange:
        changed = self._open[incident.id] = incident.model_copy(update=update)
        return IncidentChange(kind, changed, tuple(self._issues[incident.id].values()))

    def _close(self, incident: Incident, members: list[Issue], now: datetime) -> IncidentChange:
        closed = incident.model_copy(update={"status": IncidentStatus.CLOSED, "closed_at": now, "updated_at": now})
        del self._open[incident.id]
        del self._issues[incident.id]
        return IncidentChange(ChangeKind.CLOSED, closed, tuple(members))


def _seen(incident: Incident) -> tuple[object, ...]:
    """What a reader sees of an incident; the digits of a growing count are not worth a message."""
    cause = incident.root_cause
    return (
        incident.title,
        incident.severity,
        incident.issue_ids,
        incident.affected_services,
        None if cause is None else (cause.resource, round(cause.confidence, 1)),
    )


def _order(change: IssueChange) -> tuple[bool, bool, datetime]:
    """Closings last, so that what opens in the same look can still join; crashes first, for they are causes."""
    issue = change.issue
    return change.kind is not ChangeKind.OPENED, issue.type is not IssueType.PROCESS_CRASH, issue.first_bad_at


def _affected(issues: Iterable[Issue], scene: Scene) -> tuple[str, ...]:
    """The services that the issues are about; a machine is none."""
    return tuple(scene.service_of(issue.resource) for issue in issues if issue.resource != HOST)


def _origins(incident: Incident, members: Sequence[Issue], scene: Scene) -> set[str]:
    """Where the incident comes from, as far as that is known; else every service with an issue."""
    cause = incident.root_cause
    if cause is not None and cause.confidence >= SURE and ResourceId.parse(cause.resource).kind != "flag":
        return {scene.service_of(cause.resource)}
    return {scene.service_of(issue.resource) for issue in members}


def _is_unsure(cause: RootCause | None) -> bool:
    return cause is None or cause.confidence < SURE


def _surer(old: RootCause | None, new: RootCause | None) -> RootCause | None:
    """A cause once named is kept unless the new one is as sure: later windows also hold the time after the heal."""
    if old is None or new is None:
        return new or old
    return new if new.confidence >= old.confidence or new.resource == old.resource else old


def _keep_examples(old: RootCause | None, new: RootCause | None) -> RootCause | None:
    if old is None or new is None or new.example_trace_ids or old.resource != new.resource:
        return new
    return new.model_copy(update={"example_trace_ids": old.example_trace_ids})


def _title(cause: RootCause | None, members: Sequence[Issue], services: tuple[str, ...]) -> str:
    """One line for a person: the cause, and how far it reaches."""
    first = min(members, key=lambda issue: (issue.first_bad_at, issue.id))
    if cause is None:
        return first.title
    kind, name = ResourceId.parse(cause.resource)
    what = {issue.type for issue in members}
    words = ((IssueType.HIGH_ERROR_RATE, "errors"), (IssueType.HIGH_LATENCY, "slowness"))
    trouble = " and ".join(word for type_, word in words if type_ in what) or "trouble"
    reach = services[0] if len(services) == 1 else f"{len(services)} services"
    if kind == "host":
        said = "The machine has too little processor time"
        return f"{said}: {trouble} in {reach}" if services else said
    if kind == "process":
        others = len([service for service in services if service != name])
        return f"{name} crashed" + (f", {others} more affected" if others else "")
    if kind == "flag":
        return f"{name} causes {trouble} in {reach}"
    others = len([service for service in services if service != name])
    return f"{name} causes {trouble}" + (f" in {others} more" if others else "")
