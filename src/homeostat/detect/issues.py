"""Findings become issues: each opens once, updates, and closes when its signal has been good for long enough.

Pure: ``apply`` takes findings and the time and answers what changed; the caller stores and publishes it.

- At most one open issue per fingerprint ``<type>|<resource>``.
- *good* (``bad=False``) for ``close_after`` closes. The time counts from the beginning of the data that were found
  good, so a finding on five good seconds closes an issue with ``close_after`` of five seconds at once.
- *bad* opens, or starts the wait for the close anew.
- *unknown* (``bad=None``, or no finding at all) neither opens nor closes: an issue whose service has gone silent
  stays open. After ``FORGET_AFTER`` without any word it is closed as expired, and says so: that is not recovery.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from homeostat.core.models import Evidence, Finding, Issue, IssueStatus, IssueType, Severity
from homeostat.core.ports import Ids
from homeostat.core.resources import ResourceId

FORGET_AFTER = timedelta(hours=24)
UPDATE_EVERY = timedelta(seconds=5)  # an open issue's numbers move all the time; they are told this often

_SEVERITY_ORDER = (Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)


class ChangeKind(StrEnum):
    """What happened to an issue or an incident."""

    OPENED = "opened"
    UPDATED = "updated"
    CLOSED = "closed"
    EXPIRED = "expired"  # closed because nothing has been heard for a day, not because it is good


@dataclass(frozen=True, slots=True)
class IssueChange:
    """One change, with the issue as it is now."""

    kind: ChangeKind
    issue: Issue


@dataclass(slots=True)
class _Open:
    issue: Issue
    heard_at: datetime  # the last finding that was not unknown
    good_since: datetime | None = None
    told_at: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.told_at = self.issue.updated_at


class IssueBook:
    """The open issues."""

    def __init__(self, ids: Ids, close_after: timedelta) -> None:
        self._ids = ids
        self._close_after = close_after
        self._open: dict[str, _Open] = {}

    def restore(self, issues: Iterable[Issue], now: datetime) -> None:
        """Go on with issues that were open before a restart."""
        for issue in issues:
            if issue.status is IssueStatus.OPEN:
                self._open[issue.fingerprint] = _Open(issue=issue, heard_at=now)

    def open_issues(self) -> list[Issue]:
        """Every open issue, oldest first."""
        return sorted((entry.issue for entry in self._open.values()), key=lambda issue: (issue.opened_at, issue.id))

    def open_resources(self, type_: IssueType) -> set[str]:
        """Resources with an open issue of a type."""
        return {entry.issue.resource for entry in self._open.values() if entry.issue.type is type_}

    def assign(self, issue_id: str, incident_id: str) -> Issue:
        """Note which incident an open issue belongs to. Raises KeyError when it is not open."""
        for entry in self._open.values():
            if entry.issue.id == issue_id:
                entry.issue = entry.issue.model_copy(update={"incident_id": incident_id})
                return entry.issue
        raise KeyError(issue_id)

    def apply(self, findings: Iterable[Finding], now: datetime) -> list[IssueChange]:
        """What the findings of one look change, in their order; then what has expired."""
        changes: list[IssueChange] = []
        for finding in findings:
            fingerprint = f"{finding.type}|{finding.resource}"
            entry = self._open.get(fingerprint)
            if finding.bad and entry is None:
                changes.append(self._open_issue(fingerprint, finding, now))
            elif finding.bad is not None and entry is not None:
                entry.heard_at = now
                change = self._update(entry, finding, now) if finding.bad else self._maybe_close(entry, finding, now)
                changes.extend(change)
        for entry in list(self._open.values()):
            if now - entry.heard_at > FORGET_AFTER:
                changes.append(self._close(entry, now, ChangeKind.EXPIRED))
        return changes

    def _open_issue(self, fingerprint: str, finding: Finding, now: datetime) -> IssueChange:
        first_bad_at = min(finding.first_bad_at or finding.time, now)
        issue = Issue(
            id=self._ids.new("issue"),
            type=finding.type,
            severity=finding.severity,
            resource=finding.resource,
            fingerprint=fingerprint,
            title=title(finding),
            description=finding.evidence.detail,
            evidence=finding.evidence,
            first_bad_at=first_bad_at,
            opened_at=now,
            updated_at=now,
        )
        self._open[fingerprint] = _Open(issue=issue, heard_at=now)
        return IssueChange(ChangeKind.OPENED, issue)

    def _update(self, entry: _Open, finding: Finding, now: datetime) -> list[IssueChange]:
        entry.good_since = None
        issue = entry.issue
        worse = _SEVERITY_ORDER.index(finding.severity) > _SEVERITY_ORDER.index(issue.severity)
        changed = _changed(issue.evidence, finding.evidence)
        if not worse and not (changed and now - entry.told_at >= UPDATE_EVERY):
            return []
        entry.issue = issue.model_copy(
            update={
                "severity": finding.severity if worse else issue.severity,
                "title": title(finding),
                "description": finding.evidence.detail,
                "evidence": finding.evidence,
                "updated_at": now,
            }
        )
        entry.told_at = now
        return [IssueChange(ChangeKind.UPDATED, entry.issue)]

    def _maybe_close(self, entry: _Open, finding: Finding, now: datetime) -> list[IssueChange]:
        # Data that an issue was opened with may be in a long window too: good time begins after its opening second.
        data_from = finding.time - timedelta(seconds=finding.evidence.window_s)
        began = max(data_from, entry.issue.first_bad_at)
        entry.good_since = began if entry.good_since is None else min(entry.good_since, began)
        if max(now, finding.time) - entry.good_since < self._close_after:
            return []
        return [self._close(entry, now, ChangeKind.CLOSED, finding.evidence)]

    def _close(self, entry: _Open, now: datetime, kind: ChangeKind, good: Evidence | None = None) -> IssueChange:
        issue = entry.issue
        ending = (
            f"Closed: {good.detail}"
            if good is not None
            else f"Closed because nothing has been heard of {issue.resource} for a day; nothing says that it is well."
        )
        closed = issue.model_copy(
            update={
                "status": IssueStatus.CLOSED,
                "closed_at": now,
                "updated_at": now,
                "description": f"{issue.description} {ending}",
            }
        )
        del self._open[issue.fingerprint]
        return IssueChange(kind, closed)


def _changed(old: Evidence, new: Evidence) -> bool:
    """Whether a reader would want to know: another operation, or a value that moved by a quarter."""
    if old.operation != new.operation or old.observed is None or new.observed is None:
        return old != new
    return abs(new.observed - old.observed) > 0.25 * abs(old.observed)


def title(finding: Finding) -> str:
    """One line for a person: ``PaymentProcessor fails 23 % of its requests``."""
    name, evidence = ResourceId.parse(finding.resource).name, finding.evidence
    where = f" ({evidence.operation})" if evidence.operation else ""
    match finding.type:
        case IssueType.HIGH_ERROR_RATE:
            return f"{name}{where} fails {evidence.observed or 0.0:.0%} of its requests"
        case IssueType.HIGH_LATENCY:
            return f"{name}{where} is slow: p95 {evidence.observed or 0.0:.0f} ms"
        case IssueType.PROCESS_CRASH:
            return f"{name} has crashed"
        case IssueType.HOST_STARVED:
            return "The machine has too little processor time for what runs on it"
