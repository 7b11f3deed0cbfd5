"""One incident under treatment: what is known of it now, and what ``treatment`` has to be woken for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import anyio

from homeostat.core.models import Incident, IncidentStatus, Issue, IssueStatus, Run, RunStatus


@dataclass(slots=True)
class Case:
    """Kept by ``healer`` for as long as an incident is open. Everything in it can be rebuilt from the store."""

    incident: Incident
    issues: tuple[Issue, ...]
    over: bool = False
    acting: str | None = None  # the issue that a step is being carried out for: nobody else may begin one
    asking: str | None = None  # the issue that a person is being asked about
    aided: set[str] = field(default_factory=set[str])  # crashes that ``first_aid`` has in hand meanwhile
    told: set[str] = field(default_factory=set[str])  # reasons that a person has been told already
    outlived: set[str] = field(default_factory=set[str])  # verified runs whose issue stayed open all the same
    treated: bool = False  # a treatment task is running
    taken_up_at: datetime | None = None  # after a restart: what was bad before may be good by now
    _changed: anyio.Event = field(default_factory=anyio.Event)
    _updated: anyio.Event = field(default_factory=anyio.Event)

    @property
    def open_issues(self) -> list[Issue]:
        """What is still bad."""
        return [issue for issue in self.issues if issue.status is IssueStatus.OPEN]

    @property
    def escalated(self) -> bool:
        """Has a person been asked?"""
        return self.incident.status is IncidentStatus.ESCALATED

    def update(self, incident: Incident, issues: Sequence[Issue]) -> None:
        """Take in the newest; wakes the treatment when something changed that a plan depends on."""
        before = _essence(self.incident, self.issues)
        if self.escalated and incident.status is IncidentStatus.OPEN:
            incident = incident.model_copy(update={"status": IncidentStatus.ESCALATED})
        self.incident, self.issues = incident, tuple(issues)
        self._updated.set()
        if _essence(self.incident, self.issues) != before:
            self.wake()

    def closed_at(self, issue_id: str) -> datetime | None:
        """When detection closed an issue; None while it is open."""
        if self.over:
            return self.incident.closed_at
        return next((issue.closed_at for issue in self.issues if issue.id == issue_id), None)

    def has_outlived(self, run: Run) -> bool:
        """Was the run verified, and the issue that it was for stayed open all the same?"""
        return run.status is RunStatus.VERIFIED and run.id in self.outlived

    def wake(self) -> None:
        """Let the treatment look again."""
        self._changed.set()

    async def updated(self) -> None:
        """Wait for newer facts. For one waiter."""
        await self._updated.wait()
        self._updated = anyio.Event()

    async def changed(self, timeout_s: float | None) -> None:
        """Wait for a change, at most ``timeout_s`` seconds (None: for as long as it takes)."""
        with anyio.move_on_after(timeout_s):
            await self._changed.wait()
        self._changed = anyio.Event()


def _essence(incident: Incident, issues: Sequence[Issue]) -> object:
    cause = incident.root_cause
    return (cause.resource if cause else None, sorted((issue.id, issue.status.value) for issue in issues))
