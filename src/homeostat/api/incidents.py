"""Issues, incidents and their story."""

import logging
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ValidationError

from homeostat.api.context import Context, Here
from homeostat.api.errors import NOT_FOUND
from homeostat.api.models import IncidentDetail
from homeostat.core.errors import NotFoundError
from homeostat.core.models import Incident, Issue, IssueStatus, Plan, TimelineEntry

log = logging.getLogger(__name__)
router = APIRouter(prefix="/api", tags=["incidents"])

RUNS_OF_AN_INCIDENT_MAX = 200

Limit = Annotated[int, Query(ge=1, le=1000)]


@router.get("/issues")
async def issues(here: Here, status: IssueStatus | None = None, limit: Limit = 50) -> list[Issue]:
    """Issues, newest first."""
    return await here.parts.state.issues(status=status, limit=limit)


@router.get("/incidents")
async def incidents(here: Here, open_only: bool = False, limit: Limit = 50) -> list[Incident]:
    """Incidents, newest first."""
    return await here.parts.state.incidents(open_only=open_only, limit=limit)


@router.get("/incidents/{incident_id}", responses=NOT_FOUND)
async def incident(incident_id: str, here: Here) -> IncidentDetail:
    """One incident with its issues, runs, plan and story."""
    state = here.parts.state
    found = await state.incident(incident_id)
    if found is None:
        raise NotFoundError(f"There is no incident {incident_id!r}. GET /api/incidents lists them.")
    members = [await state.issue(issue_id) for issue_id in found.issue_ids]
    return IncidentDetail(
        incident=found,
        issues=[issue for issue in members if issue is not None],
        runs=await state.runs(incident_id=incident_id, limit=RUNS_OF_AN_INCIDENT_MAX),
        plan=await _plan(here, incident_id),
        timeline=await state.timeline(incident_id),
    )


@router.get("/timeline")
async def timeline(
    here: Here,
    minutes: Annotated[int, Query(ge=1, le=43_200)] = 60,
    limit: Annotated[int, Query(ge=1, le=5000)] = 500,
) -> list[TimelineEntry]:
    """The story of the whole system, oldest first."""
    since = here.parts.clock.now() - timedelta(minutes=minutes)
    return await here.parts.state.timeline(limit=limit, since=since)


async def _plan(here: Context, incident_id: str) -> Plan | None:
    """The healer keeps the plan of an incident as a setting, because it outlives the runs made from it."""
    text = await here.parts.state.get_setting(f"plan:{incident_id}")
    if text is None:
        return None
    try:
        return Plan.model_validate_json(text)
    except ValidationError:
        log.warning("The stored plan of incident %s cannot be read and is left out", incident_id, exc_info=True)
        return None
