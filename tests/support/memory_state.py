"""Control state in memory, with the promises of ``StateStore``: for tests under virtual time."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

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
)


class MemoryState:
    """Everything in dictionaries; ``history`` keeps every record of every run, in order."""

    def __init__(self) -> None:
        self.issues_by_id: dict[str, Issue] = {}
        self.incidents_by_id: dict[str, Incident] = {}
        self.entries: list[TimelineEntry] = []
        self.runs_by_id: dict[str, Run] = {}
        self.history: list[Run] = []
        self.changes: list[FlagChange] = []
        self.settings: dict[str, str] = {}

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
            for issue in reversed(self.issues_by_id.values())
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
            for incident in reversed(self.incidents_by_id.values())
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
            for entry in self.entries
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
        for issue in issues:  # nothing in here waits: it is one transaction as far as other tasks can tell
            self.issues_by_id[issue.id] = issue
        for incident in incidents:
            self._put_incident(incident)
        for entry in entries:
            self._put_entry(entry)

    def _put_incident(self, incident: Incident) -> None:
        known = self.incidents_by_id.get(incident.id)
        if known is not None and known.status is IncidentStatus.CLOSED:
            late = incident.status is IncidentStatus.CLOSED and incident.healed
            incident = known.model_copy(update={"healed": True}) if late else known
        self.incidents_by_id[incident.id] = incident

    def _put_entry(self, entry: TimelineEntry) -> None:
        if all(known.id != entry.id for known in self.entries):
            self.entries.append(entry)

    async def append(self, run: Run) -> None:
        known = self.runs_by_id.get(run.id)
        if known is not None and known.status in TERMINAL_RUN_STATUSES and run.status is not known.status:
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
            for run in reversed(self.runs_by_id.values())
            if (incident_id is None or run.incident_id == incident_id) and (since is None or run.created_at >= since)
        ]
        return found[:limit]

    async def unfinished(self) -> list[Run]:
        return [run for run in self.runs_by_id.values() if run.status not in TERMINAL_RUN_STATUSES]

    async def to_rearm(self) -> list[Run]:
        return [
            run for run in self.runs_by_id.values() if run.status is RunStatus.VERIFIED and run.rearmed_at is None
        ]

    async def flag_values(self) -> dict[str, bool]:
        return {change.flag: change.new_value for change in self.changes}

    async def flag_armed(self) -> dict[str, bool]:
        armed: dict[str, bool] = {}
        for change in self.changes:
            if change.triggered_by != AUTOMATIC:
                armed[change.flag] = change.new_value
            else:
                armed.setdefault(change.flag, change.previous_value)
        return armed

    async def record_flag_change(self, change: FlagChange) -> None:
        for index, known in enumerate(self.changes):
            if known.id == change.id:
                self.changes[index] = change
                return
        self.changes.append(change)

    async def flag_changes(self, *, limit: int = 100, since: datetime | None = None) -> list[FlagChange]:
        found = [change for change in reversed(self.changes) if since is None or change.time >= since]
        return found[:limit]

    async def get_setting(self, key: str) -> str | None:
        return self.settings.get(key)

    async def put_setting(self, key: str, value: str) -> None:
        self.settings[key] = value
