"""Control state in memory, with the promises of ``StateStore``: for tests under virtual time."""

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from homeostat.core.errors import StoreError
from homeostat.core.events import Event, EventType, over_at
from homeostat.core.models import (
    AUTOMATIC,
    TERMINAL_RUN_STATUSES,
    FlagChange,
    Incident,
    IncidentStatus,
    Issue,
    IssueStatus,
    Run,
    RunStatus,
    TimelineEntry,
    TimelineKind,
)
from homeostat.core.records import RecordCounts

PLAN_PREFIX = "plan:"


class MemoryState:
    """Everything in dictionaries; ``history`` keeps every record of every run, in order."""

    def __init__(self) -> None:
        self.issues_by_id: dict[str, Issue] = {}
        self.incidents_by_id: dict[str, Incident] = {}
        self.entries: list[TimelineEntry] = []
        self.runs_by_id: dict[str, Run] = {}
        self.history: list[Run] = []
        self.changes: list[FlagChange] = []
        self.values: dict[str, bool] = {}
        self.armed: dict[str, bool] = {}
        self.settings: dict[str, str] = {}
        self.texts: dict[str, dict[str, str]] = {}
        self.events_by_id: dict[str, Event] = {}

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator["MemoryState"]:
        yield self

    async def save_issue(self, issue: Issue) -> None:
        self.issues_by_id[issue.id] = issue

    async def issue(self, issue_id: str) -> Issue | None:
        return self.issues_by_id.get(issue_id)

    async def issues(
        self, *, status: IssueStatus | None = None, limit: int = 50, since: datetime | None = None
    ) -> list[Issue]:
        found = [
            issue
            for issue in sorted(
                self.issues_by_id.values(), key=lambda issue: (issue.opened_at, issue.id), reverse=True
            )
            if (status is None or issue.status is status) and (since is None or issue.opened_at >= since)
        ]
        return found[:limit]

    async def save_incident(self, incident: Incident) -> None:
        self._put_incident(incident)

    async def incident(self, incident_id: str) -> Incident | None:
        return self.incidents_by_id.get(incident_id)

    async def incidents(
        self, *, open_only: bool = False, limit: int = 50, since: datetime | None = None
    ) -> list[Incident]:
        found = [
            incident
            for incident in sorted(
                self.incidents_by_id.values(), key=lambda one: (one.opened_at, one.id), reverse=True
            )
            if (not open_only or incident.status is not IncidentStatus.CLOSED)
            and (since is None or incident.opened_at >= since)
        ]
        return found[:limit]

    async def add_timeline(self, entry: TimelineEntry) -> None:
        self._put_entry(entry)

    async def timeline(
        self, incident_id: str | None = None, *, limit: int = 500, since: datetime | None = None
    ) -> list[TimelineEntry]:
        found = [
            entry
            for entry in sorted(self.entries, key=lambda entry: entry.time)
            if (incident_id is None or entry.incident_id == incident_id) and (since is None or entry.time >= since)
        ]
        return found[-limit:]

    async def record(
        self,
        *,
        issues: Sequence[Issue] = (),
        incidents: Sequence[Incident] = (),
        entries: Sequence[TimelineEntry] = (),
    ) -> None:
        if any(getattr(given, "id", None) is None for given in (*issues, *incidents, *entries)):
            raise StoreError("a record without an id")
        for issue in issues:  # nothing in here waits: it is one transaction as far as other tasks can tell
            self.issues_by_id[issue.id] = issue
        for incident in incidents:
            self._put_incident(incident)
        for entry in entries:
            self._put_entry(entry)

    def _put_incident(self, incident: Incident) -> None:
        known = self.incidents_by_id.get(incident.id)
        if known is not None and known.status is IncidentStatus.CLOSED:
            late = incident.status is IncidentStatus.CLOSED and incident.healed is True
            incident = known.model_copy(update={"healed": True}) if late else known
        self.incidents_by_id[incident.id] = incident

    def _put_entry(self, entry: TimelineEntry) -> None:
        if all(known.id != entry.id for known in self.entries):
            self.entries.append(entry)

    async def append(self, run: Run) -> None:
        known = self.runs_by_id.get(run.id)
        if known is not None and not _may_follow(known, run):
            return
        self.runs_by_id[run.id] = run
        self.history.append(run)

    async def run(self, run_id: str) -> Run | None:
        return self.runs_by_id.get(run_id)

    async def runs(
        self, *, incident_id: str | None = None, limit: int = 50, since: datetime | None = None
    ) -> list[Run]:
        found = [
            run
            for run in sorted(self.runs_by_id.values(), key=lambda run: (run.created_at, run.id), reverse=True)
            if (incident_id is None or run.incident_id == incident_id) and (since is None or run.created_at >= since)
        ]
        return found[:limit]

    async def unfinished(self) -> list[Run]:
        found = [run for run in self.runs_by_id.values() if run.status not in TERMINAL_RUN_STATUSES]
        return sorted(found, key=lambda run: (run.created_at, run.id))

    async def to_rearm(self) -> list[Run]:
        found = [
            run for run in self.runs_by_id.values() if run.status is RunStatus.VERIFIED and run.rearmed_at is None
        ]
        return sorted(found, key=lambda run: (run.created_at, run.id))

    async def flag_values(self) -> dict[str, bool]:
        return dict(self.values)

    async def flag_armed(self) -> dict[str, bool]:
        return dict(self.armed)

    async def record_flag_change(self, change: FlagChange) -> None:
        for index, known in enumerate(self.changes):
            if known.id == change.id:
                self.changes[index] = change
                return
        self.changes.append(change)
        self.values[change.flag] = change.new_value
        if change.triggered_by != AUTOMATIC:
            self.armed[change.flag] = change.new_value
        else:
            self.armed.setdefault(change.flag, change.previous_value)

    async def flag_change(self, change_id: str) -> FlagChange | None:
        return next((change for change in self.changes if change.id == change_id), None)

    async def flag_changes(self, *, limit: int = 100, since: datetime | None = None) -> list[FlagChange]:
        found = [change for change in reversed(self.changes) if since is None or change.time >= since]
        return found[:limit]

    async def get_setting(self, key: str) -> str | None:
        return self.settings.get(key)

    async def put_setting(self, key: str, value: str) -> None:
        self.settings[key] = value

    async def put_document(self, kind: str, document_id: str, body: str) -> None:
        self.texts.setdefault(kind, {})[document_id] = body

    async def documents(self, kind: str) -> dict[str, str]:
        return dict(self.texts.get(kind, {}))

    async def delete_document(self, kind: str, document_id: str) -> bool:
        return self.texts.get(kind, {}).pop(document_id, None) is not None

    async def save_event(self, event: Event) -> None:
        self.events_by_id[event.id] = event

    async def event(self, event_id: str) -> Event | None:
        return self.events_by_id.get(event_id)

    async def events(
        self, *, since: datetime, until: datetime | None = None, type: EventType | None = None, limit: int = 1_000
    ) -> list[Event]:
        found = [
            event
            for event in sorted(self.events_by_id.values(), key=lambda event: (event.time, event.id), reverse=True)
            if (over_at(event) or since) >= since
            and (until is None or event.time <= until)
            and (type is None or event.type is type)
        ]
        return found[:limit]

    async def counts(self) -> RecordCounts:
        runs = list(self.runs_by_id.values())
        kinds = Counter(entry.kind for entry in self.entries)
        ended = [run for run in runs if run.status is RunStatus.VERIFIED and run.intent_at and run.finished_at]
        escalated = {e.incident_id or e.id for e in self.entries if e.kind is TimelineKind.ESCALATED}
        escalated |= {i.id for i in self.incidents_by_id.values() if i.status is IncidentStatus.ESCALATED}
        return RecordCounts(
            issues_total=len(self.issues_by_id),
            issues_open=sum(issue.status is IssueStatus.OPEN for issue in self.issues_by_id.values()),
            plans_total=kinds[TimelineKind.PLANNED],
            runs_by_status=dict(Counter(run.status for run in runs)),
            runs_begun=sum(run.intent_at is not None for run in runs),
            runs_not_helped=sum(run.verdict is not None and not run.verdict.helped for run in runs),
            verified_durations_s=tuple(
                max(0.0, (run.finished_at - run.intent_at).total_seconds())
                for run in ended
                if run.finished_at is not None and run.intent_at is not None
            ),
            rearmed=kinds[TimelineKind.RECOVERED],
            escalated=len(escalated),
        )

    async def forget(self, before: datetime) -> int:
        had = self._size()
        incidents_over = {
            one.id
            for one in self.incidents_by_id.values()
            if one.opened_at < before
            and one.status is IncidentStatus.CLOSED
            and (one.closed_at is None or one.closed_at < before)
        }
        kept = set(self.incidents_by_id) - incidents_over
        self.runs_by_id = {
            key: run for key, run in self.runs_by_id.items() if not _run_over(run, before, run.incident_id in kept)
        }
        self.incidents_by_id = {key: one for key, one in self.incidents_by_id.items() if key in kept}
        self.issues_by_id = {key: issue for key, issue in self.issues_by_id.items() if not _issue_over(issue, before)}
        self.entries = [entry for entry in self.entries if entry.time >= before]
        latest = {change.flag: change.id for change in self.changes}
        self.changes = [c for c in self.changes if c.time >= before or latest[c.flag] == c.id]
        self.settings = {
            key: value
            for key, value in self.settings.items()
            if not key.startswith(PLAN_PREFIX) or key.removeprefix(PLAN_PREFIX) in kept
        }
        self.events_by_id = {
            key: event for key, event in self.events_by_id.items() if (over_at(event) or before) >= before
        }
        return had - self._size()

    def _size(self) -> int:
        stores = (self.issues_by_id, self.incidents_by_id, self.runs_by_id, self.settings, self.events_by_id)
        return sum(map(len, stores)) + len(self.entries) + len(self.changes)


def _may_follow(known: Run, run: Run) -> bool:
    """A terminal state gives way only to a later one."""
    if known.status not in TERMINAL_RUN_STATUSES:
        return True
    if known.status is RunStatus.IN_DOUBT:
        return run.status in TERMINAL_RUN_STATUSES
    if known.status is not RunStatus.VERIFIED:
        return False
    return run.status is RunStatus.UNDONE or (run.status is RunStatus.VERIFIED and known.rearmed_at is None)


def _issue_over(issue: Issue, before: datetime) -> bool:
    ended = issue.closed_at is None or issue.closed_at < before
    return issue.opened_at < before and issue.status is IssueStatus.CLOSED and ended


def _run_over(run: Run, before: datetime, incident_kept: bool) -> bool:
    ended = run.status in TERMINAL_RUN_STATUSES and run.status is not RunStatus.IN_DOUBT
    waits = run.status is RunStatus.VERIFIED and run.rearmed_at is None and incident_kept
    return run.created_at < before and ended and not waits
