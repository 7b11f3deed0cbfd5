"""Runs, issues and incidents for tests that do not care for most of their fields."""

from datetime import UTC, datetime

from homeostat.core.models import (
    Evidence,
    Incident,
    IncidentStatus,
    Issue,
    IssueType,
    PlanStep,
    RootCause,
    Run,
    RunStatus,
    Scalar,
    Severity,
)
from homeostat.core.ports import Action

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)


def an_issue(type_: IssueType, resource: str, at: datetime = T0) -> Issue:
    return Issue(
        id="issue-1",
        type=type_,
        severity=Severity.HIGH,
        resource=resource,
        fingerprint=f"{type_}|{resource}",
        title="trouble",
        description="",
        evidence=Evidence(signal="error_rate", observed=0.3, threshold=0.05, unit="ratio"),
        first_bad_at=at,
        opened_at=at,
        updated_at=at,
        incident_id="incident-1",
    )


def an_incident(cause: str | None = None, at: datetime = T0) -> Incident:
    return Incident(
        id="incident-1",
        title="trouble",
        status=IncidentStatus.OPEN,
        severity=Severity.HIGH,
        issue_ids=("issue-1",),
        affected_services=("web",),
        root_cause=RootCause(resource=cause, confidence=0.9, reason="it began there") if cause else None,
        first_bad_at=at,
        opened_at=at,
        updated_at=at,
    )


def a_run(action: Action, resource: str, before: dict[str, Scalar], id_: str = "run-1") -> Run:
    step = PlanStep(action=action.spec.name, resource=resource, why="because", confidence=0.9, issue_id="issue-1")
    return Run(
        id=id_,
        incident_id="incident-1",
        issue_id="issue-1",
        plan_id="plan-1",
        plan_digest="d",
        step=step,
        effect=action.spec.effect,
        status=RunStatus.INTENT,
        created_at=T0,
        intent_at=T0,
        before=before,
    )
