"""The self-healing answers of IAC Dharma 3.0, to the field name, and how ours become theirs.

Where the original answered with a constant or a random number, the value is measured here, or null ("N/A" where
the original has a text). That concerns the five component scores, ``success_rate`` without a single remediation,
and the three texts of the statistics.
"""

from datetime import datetime

from homeostat.api.models import Answer
from homeostat.core.models import Issue, IssueType, Run, RunStatus

TYPE_NAMES = {IssueType.PROCESS_CRASH: "pod_crash", IssueType.HIGH_LATENCY: "network_latency"}
"""Their names for issue types that both know; the others keep ours."""

STATUS_NAMES = {
    RunStatus.AWAITING_APPROVAL: "pending",
    RunStatus.INTENT: "in_progress",
    RunStatus.ACTED: "in_progress",
    RunStatus.NOT_HELPED: "in_progress",  # the undo is still to come
    RunStatus.VERIFIED: "success",
    RunStatus.UNDONE: "rolled_back",
    RunStatus.FAILED: "failed",
    RunStatus.REJECTED: "failed",
    RunStatus.IN_DOUBT: "failed",
}

SUCCESS = {
    RunStatus.VERIFIED: True,
    RunStatus.UNDONE: False,
    RunStatus.FAILED: False,
    RunStatus.REJECTED: False,
}
"""Null for what is not finished, and for a run in doubt: nobody knows yet."""


class HealingHealth(Answer):
    """Whether the loop runs."""

    status: str
    monitoring_active: bool
    auto_remediation_enabled: bool
    timestamp: datetime


class HealthScore(Answer):
    """Scores 0..100; null where nothing is measured."""

    overall_score: int | None
    compute_score: int | None
    network_score: int | None
    storage_score: int | None
    database_score: int | None
    security_score: int | None
    timestamp: datetime
    issues_detected: int  # in the last hour
    auto_remediated: int  # in the last hour


class HealingIssue(Answer):
    """An issue in their words."""

    id: str
    type: str
    severity: str
    resource: str
    description: str
    detected_at: datetime
    metrics: dict[str, int | float | None]


class RemediationAction(Answer):
    """A run in their words."""

    id: str
    issue_id: str
    action_type: str
    description: str
    status: str  # pending | in_progress | success | failed | rolled_back
    started_at: datetime | None
    completed_at: datetime | None
    success: bool | None
    error_message: str | None
    rollback_performed: bool


class HealingStatistics(Answer):
    """Totals of everything on record."""

    total_issues_detected: int
    total_remediations: int
    successful_remediations: int
    failed_remediations: int
    success_rate: float | None  # percent, of the finished ones
    average_remediation_time: str  # "2.3 seconds", from intent to verdict
    uptime_improvement: str
    mttr_reduction: str  # "N/A": there is no control group


class AutoRemediation(Answer):
    """The answer to the switch."""

    auto_remediation_enabled: bool
    message: str


def healing_issue(issue: Issue, restarts: int) -> HealingIssue:
    """Ours as theirs. ``restarts`` is how often the crashed resource was restarted for this issue.

    The sensor counts the restarts before it, by whomever: the larger number is what is known.
    """
    return HealingIssue(
        id=issue.id,
        type=TYPE_NAMES.get(issue.type, issue.type.value),
        severity=issue.severity.value,
        resource=issue.resource,
        description=issue.description or issue.title,
        detected_at=issue.opened_at,
        metrics=_metrics(issue, restarts),
    )


def _metrics(issue: Issue, restarts: int) -> dict[str, int | float | None]:
    evidence = issue.evidence
    if issue.type is IssueType.PROCESS_CRASH:
        exit_code = evidence.metrics.get("exit_code")  # where the kernel lets others than the parent see it
        known = int(evidence.metrics.get("restart_count", 0))
        return {"restart_count": max(known, restarts), "exit_code": None if exit_code is None else int(exit_code)}
    if issue.type is IssueType.HIGH_LATENCY:
        return {"latency_ms": evidence.observed, "threshold_ms": evidence.threshold}
    return {
        evidence.signal: evidence.observed,
        "threshold": evidence.threshold,
        "sample_size": evidence.sample_size,
    }


def remediation_action(run: Run) -> RemediationAction:
    """Ours as theirs."""
    return RemediationAction(
        id=run.id,
        issue_id=run.issue_id,
        action_type=run.step.action,
        description=f"{run.step.action} on {run.step.resource}: {run.step.why}",
        status=STATUS_NAMES[run.status],
        started_at=run.intent_at,
        completed_at=run.finished_at,
        success=SUCCESS.get(run.status),
        error_message=_error(run),
        rollback_performed=run.status is RunStatus.UNDONE,
    )


def _error(run: Run) -> str | None:
    if run.error is not None or run.status is RunStatus.VERIFIED or run.verdict is None:
        return run.error
    return run.verdict.reason
