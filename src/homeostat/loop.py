"""The loop: observe, detect, decide, act, verify, recover. ``keep_in_balance`` is the whole of it.

``app`` supplies the parts. Telemetry is observed all the while by the pipeline, which folds every span into the RED
metrics that detection looks at; verification runs within the healer's own tasks, so that one sick service does not
make the others wait.
"""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import anyio

from homeostat.core.errors import StoreError
from homeostat.core.models import (
    Incident,
    IncidentStatus,
    Issue,
    IssueStatus,
    SensorEvent,
    TimelineEntry,
    TimelineKind,
)
from homeostat.core.ports import Clock, Sensor, StateStore
from homeostat.detect import ChangeKind, Detection, DetectionResult, IncidentChange
from homeostat.heal import Healer
from homeostat.heartbeat import Heartbeat
from homeostat.story import Story

log = logging.getLogger(__name__)

SENSOR_EVENTS_MAX = 1_000
UNRECORDED_MAX = 10_000
RESTORED_MAX = 10_000


@dataclass(frozen=True)
class LoopParts:
    """What the loop is made of."""

    clock: Clock
    state: StateStore
    sensors: Sequence[Sensor]
    detection: Detection
    healer: Healer
    story: Story
    interval: timedelta
    heartbeat: Heartbeat = field(default_factory=Heartbeat)


async def keep_in_balance(parts: LoopParts) -> None:
    """Run until cancelled. A state that cannot be written for a while delays the loop, and loses nothing."""
    notice, found = Notice(), Unrecorded()
    async with anyio.create_task_group() as tasks, parts.healer.running():
        await _take_up(parts)
        for sensor in parts.sensors:
            tasks.start_soon(sensor.watch, notice.emit)
        while True:
            for event in notice.take():
                parts.detection.sense(event)
            found.add(await parts.detection.look(parts.clock.now()))
            await _record_and_heal(parts, found)
            await notice.wait(parts.interval)


async def _take_up(parts: LoopParts) -> None:
    """Open issues and incidents continue, unfinished runs are dealt with: a restart forgets and repeats nothing."""
    issues = await parts.state.issues(status=IssueStatus.OPEN, limit=RESTORED_MAX)
    incidents = await parts.state.incidents(open_only=True, limit=RESTORED_MAX)
    parts.detection.restore(issues, incidents, parts.clock.now())
    await parts.healer.recover()


async def _record_and_heal(parts: LoopParts, found: "Unrecorded") -> None:
    """First what was found, then what is to be done about it: the journal's runs refer to incidents on record."""
    try:
        if found:
            await _record(parts, found)
        for incident_id, incident in list(found.over.items()):
            await parts.healer.incident_closed(incident)
            del found.over[incident_id]
        parts.heartbeat.beat(parts.clock.monotonic())
    except StoreError as error:
        log.error("The state cannot be written; it is tried again: %s", error)


async def _record(parts: LoopParts, found: "Unrecorded") -> None:
    """All in one transaction: wherever Homeostat is killed, an issue on record has its incident on record."""
    issues, changes = list(found.issues.values()), list(found.incidents.values())
    incidents = [await _judged(parts, change.incident) for change in changes]
    entries = [*found.entries.values(), *(_closing(item, parts.clock.now()) for item in incidents if _is_over(item))]
    await parts.state.record(issues=issues, incidents=incidents, entries=entries)
    found.recorded(incidents)
    for issue in issues:
        parts.story.issue_changed(issue)
    for incident in incidents:
        parts.story.incident_changed(incident)
    for entry in entries:
        parts.story.told(entry)
    for incident, change in zip(incidents, changes, strict=True):
        if not _is_over(incident):
            parts.healer.consider(incident, change.issues)


async def _judged(parts: LoopParts, incident: Incident) -> Incident:
    """The incident with what only healing knows of it."""
    if _is_over(incident):
        healed = not incident.expired and await parts.healer.was_healed(incident.id)
        return incident.model_copy(update={"healed": healed})
    if parts.healer.escalated(incident.id) and incident.status is not IncidentStatus.ESCALATED:
        incident = incident.model_copy(update={"status": IncidentStatus.ESCALATED})
        parts.detection.adopt(incident)
    return incident


def _is_over(incident: Incident) -> bool:
    return incident.status is IncidentStatus.CLOSED


# An entry's id follows from what it tells: however often its writing is tried, it is on the timeline once.


def _detected(issue: Issue) -> TimelineEntry:
    return TimelineEntry(
        id=f"entry-detected-{issue.incident_id}-{issue.id}",
        time=issue.opened_at,
        kind=TimelineKind.DETECTED,
        title=issue.title,
        detail=issue.description,
        incident_id=issue.incident_id,
        resource=issue.resource,
    )


def _opening(incident: Incident) -> TimelineEntry:
    return TimelineEntry(
        id=f"entry-fault-{incident.id}",
        time=incident.first_bad_at,
        kind=TimelineKind.FAULT,
        title="The first bad second",
        incident_id=incident.id,
        resource=incident.root_cause.resource if incident.root_cause else None,
    )


def _closing(incident: Incident, now: datetime) -> TimelineEntry:
    lasted = ((incident.closed_at or now) - incident.first_bad_at).total_seconds()
    if incident.expired:
        title = "Nothing has been heard for a day"
        detail = "The incident is closed, but nothing says that all is well: what healing has changed stays as it is."
    else:
        title = f"Every signal is good again after {lasted:.0f} s"
        how = "healed by Homeostat" if incident.healed else "without a verified action of Homeostat"
        detail = f"The incident is closed, {how}."
    return TimelineEntry(
        id=f"entry-closed-{incident.id}",
        time=incident.closed_at or now,
        kind=TimelineKind.CLOSED,
        title=title,
        detail=detail,
        incident_id=incident.id,
    )


class Unrecorded:
    """What was found and is not on record yet: of each issue and incident its newest state, and how it began.

    While the state cannot be written this grows with the number of troubles, not with the time. Where there are more
    than ``UNRECORDED_MAX``, the oldest go that began and ended without ever having been on record.
    """

    def __init__(self) -> None:
        self.issues: dict[str, Issue] = {}
        self.incidents: dict[str, IncidentChange] = {}
        self.entries: dict[str, TimelineEntry] = {}
        self.over: dict[str, Incident] = {}  # on record as closed; healing has not been told yet
        self._new: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self.issues or self.incidents)

    def add(self, result: DetectionResult) -> None:
        """Take in what a look has found."""
        for change in result.issue_changes:
            self.issues[change.issue.id] = change.issue
            if change.kind is ChangeKind.OPENED:
                self._begin(change.issue.id, _detected(change.issue))
        for change in result.incident_changes:
            self.incidents[change.incident.id] = change
            if change.kind is ChangeKind.OPENED:
                self._begin(change.incident.id, _opening(change.incident))
        if len(self.issues) > UNRECORDED_MAX:
            self._shed([item.id for item in self.issues.values() if item.status is IssueStatus.CLOSED], self.issues)
        if len(self.incidents) > UNRECORDED_MAX:
            self._shed([key for key, item in self.incidents.items() if _is_over(item.incident)], self.incidents)

    def recorded(self, incidents: Sequence[Incident]) -> None:
        """Everything is on record, the incidents as they are given."""
        self.over.update((incident.id, incident) for incident in incidents if _is_over(incident))
        for kept in (self.issues, self.incidents, self.entries, self._new):
            kept.clear()

    def _begin(self, subject: str, entry: TimelineEntry) -> None:
        self._new.add(subject)
        self.entries[subject] = entry

    def _shed(self, ended: Sequence[str], kept: dict[str, Issue] | dict[str, IncidentChange]) -> None:
        surplus = [key for key in ended if key in self._new][: len(kept) - UNRECORDED_MAX]
        if surplus:
            log.error("%d troubles that are over are not recorded: the state cannot be written", len(surplus))
        for key in surplus:
            del kept[key], self.entries[key]
            self._new.discard(key)


class Notice:
    """Sensor events on their way to the loop, which they wake. The oldest are dropped when there are too many."""

    def __init__(self) -> None:
        self._events: deque[SensorEvent] = deque(maxlen=SENSOR_EVENTS_MAX)
        self._wake = anyio.Event()

    def emit(self, event: SensorEvent) -> None:
        """Called by sensors."""
        self._events.append(event)
        self._wake.set()

    def take(self) -> list[SensorEvent]:
        """What came since the last call."""
        events = list(self._events)
        self._events.clear()
        self._wake = anyio.Event()
        return events

    async def wait(self, interval: timedelta) -> None:
        """Until the interval has passed or something was noticed."""
        with anyio.move_on_after(interval.total_seconds()):
            await self._wake.wait()
