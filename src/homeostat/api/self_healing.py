"""The self-healing API of IAC Dharma 3.0, under both of its prefixes; arguments as query parameters or JSON body."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Body, Header, Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field

from homeostat.api.context import Context, Here
from homeostat.api.errors import CONFLICT
from homeostat.api.self_healing_figures import health_score, statistics
from homeostat.api.self_healing_models import (
    AutoRemediation,
    HealingHealth,
    HealingIssue,
    HealingStatistics,
    HealthScore,
    RemediationAction,
    healing_issue,
    remediation_action,
)
from homeostat.core.errors import NotFoundError
from homeostat.core.models import Issue, IssueType, PolicyMode

PREFIXES = ("/api/v3/self-healing", "/api/self-healing")

router = APIRouter(tags=["self-healing (IAC Dharma 3.0)"])

Limit = Annotated[int, Query(ge=1, le=1000)]
Who = Annotated[str, Field(min_length=1, max_length=200)]
FORWARDED_USER = "x-forwarded-user"
"""Header in which a reverse proxy with a login names the person."""

UNNAMED = "unnamed API client"
"""What is on record where nobody says who asks: the original's clients know no such argument."""

RUNS_READ_MAX = 2000


class ToggleBody(BaseModel):
    """The switch, as a body."""

    enabled: bool | None = None
    who: Who | None = None


class ManualBody(BaseModel):
    """Who asks for it, as a body."""

    who: Who | None = None


@router.get("/health")
async def health(here: Here) -> HealingHealth:
    """``degraded`` while telemetry cannot be stored or the loop does not look."""
    return HealingHealth(
        status="degraded" if await here.problems() else "healthy",
        monitoring_active=here.loop_problem() is None,
        auto_remediation_enabled=_auto(here),
        timestamp=here.parts.clock.now(),
    )


@router.get("/health-score")
async def score(here: Here) -> HealthScore:
    """Overall and per component."""
    await here.tally.ready()
    return await health_score(here)


@router.get("/issues")
async def issues(here: Here, limit: Limit = 50) -> list[HealingIssue]:
    """The last issues, oldest first."""
    newest_first = await here.parts.state.issues(limit=limit)
    restarts = await _restarts(here, newest_first)
    return [healing_issue(issue, restarts[issue.incident_id, issue.resource]) for issue in reversed(newest_first)]


@router.get("/remediations")
async def remediations(here: Here, limit: Limit = 50) -> list[RemediationAction]:
    """The last remediations, oldest first."""
    newest_first = await here.parts.state.runs(limit=limit)
    return [remediation_action(run) for run in reversed(newest_first)]


@router.get("/statistics")
async def totals(here: Here) -> HealingStatistics:
    """Totals of everything on record."""
    await here.tally.ready()
    return statistics(here)


@router.post("/toggle-auto-remediation")
async def toggle(
    here: Here,
    enabled: bool | None = None,
    who: Annotated[Who | None, Query()] = None,
    forwarded_user: Annotated[Who | None, Header(alias=FORWARDED_USER)] = None,
    body: Annotated[ToggleBody | None, Body()] = None,
) -> AutoRemediation:
    """Allow or forbid acting without asking."""
    wanted = enabled if enabled is not None or body is None else body.enabled
    if wanted is None:
        message = "say true or false, as a query parameter or in a JSON body"
        raise RequestValidationError([{"loc": ("enabled",), "msg": message}])
    await here.parts.healer.set_auto(wanted, who or (body.who if body else None) or forwarded_user or UNNAMED)
    enabled_now = _auto(here)
    return AutoRemediation(
        auto_remediation_enabled=enabled_now,
        message=f"Auto-remediation {'enabled' if enabled_now else 'disabled'}",
    )


@router.post("/manual-remediate/{issue_id}", responses=CONFLICT)
async def manual_remediate(
    issue_id: str,
    here: Here,
    who: Annotated[Who | None, Query()] = None,
    forwarded_user: Annotated[Who | None, Header(alias=FORWARDED_USER)] = None,
    body: Annotated[ManualBody | None, Body()] = None,
) -> RemediationAction:
    """Start healing an issue now, on behalf of ``who``; 409 says why when nothing can be done."""
    if await here.parts.state.issue(issue_id) is None:
        raise NotFoundError("Issue not found")  # their words: clients compare them
    run = await here.parts.healer.manual(issue_id, who or (body.who if body else None) or forwarded_user or UNNAMED)
    return remediation_action(run)


def _auto(here: Context) -> bool:
    return here.parts.healer.mode() is PolicyMode.AUTO


async def _restarts(here: Context, issues: Sequence[Issue]) -> Counter[tuple[str | None, str]]:
    """How often each crashed resource was acted upon, by incident and resource."""
    crashes = [issue.opened_at for issue in issues if issue.type is IssueType.PROCESS_CRASH]
    if not crashes:
        return Counter()
    runs = await here.parts.state.runs(since=min(crashes), limit=RUNS_READ_MAX)
    return Counter((run.incident_id, run.step.resource) for run in runs if run.acted_at is not None)
