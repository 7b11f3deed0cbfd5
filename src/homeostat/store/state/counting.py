"""Counts what is on record, by SQL: exact however much there is. Called by ``sqlite``, in a thread."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select, union

from homeostat.core.models import IncidentStatus, IssueStatus, RunStatus, TimelineKind
from homeostat.core.records import RecordCounts
from homeostat.store.state.schema import incidents, issues, runs, timeline

_ISSUES = select(issues.c.status, func.count()).group_by(issues.c.status)
_RUNS = select(runs.c.status, func.count()).group_by(runs.c.status)

_intent_at = func.json_extract(runs.c.body, "$.intent_at")
_BEGUN = select(func.count()).where(_intent_at.is_not(None))
_NOT_HELPED = select(func.count()).where(
    func.json_extract(runs.c.body, "$.verdict.signal").is_not(None),
    func.coalesce(func.json_extract(runs.c.body, "$.verdict.helped"), 0) == 0,
)
_VERIFIED = select(_intent_at, func.json_extract(runs.c.body, "$.finished_at")).where(
    runs.c.status == RunStatus.VERIFIED.value
)

_kind = func.json_extract(timeline.c.body, "$.kind")
_ENTRIES = (
    select(_kind, func.count())
    .where(_kind.in_([TimelineKind.PLANNED.value, TimelineKind.RECOVERED.value]))
    .group_by(_kind)
)
_ESCALATED = select(func.count()).select_from(
    union(  # an incident may be escalated more than once
        select(func.coalesce(timeline.c.incident_id, timeline.c.id)).where(_kind == TimelineKind.ESCALATED.value),
        select(incidents.c.id).where(incidents.c.status == IncidentStatus.ESCALATED.value),
    ).subquery()
)


def count_records(connection: Connection) -> RecordCounts:
    """Everything, as of one moment."""
    by_issue_status = _pairs(connection, _ISSUES)
    entries = _pairs(connection, _ENTRIES)
    return RecordCounts(
        issues_total=sum(by_issue_status.values()),
        issues_open=by_issue_status.get(IssueStatus.OPEN.value, 0),
        plans_total=entries.get(TimelineKind.PLANNED.value, 0),
        runs_by_status={RunStatus(status): count for status, count in _pairs(connection, _RUNS).items()},
        runs_begun=connection.scalar(_BEGUN) or 0,
        runs_not_helped=connection.scalar(_NOT_HELPED) or 0,
        verified_durations_s=_durations_s(connection),
        rearmed=entries.get(TimelineKind.RECOVERED.value, 0),
        escalated=connection.scalar(_ESCALATED) or 0,
    )


def _pairs(connection: Connection, query: Select[Any, int]) -> dict[str, int]:
    return {str(name): int(count) for name, count in connection.execute(query)}


def _durations_s(connection: Connection) -> tuple[float, ...]:
    return tuple(
        max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds())
        for begin, end in connection.execute(_VERIFIED)
        if begin is not None and end is not None
    )
