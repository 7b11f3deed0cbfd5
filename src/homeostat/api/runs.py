"""Runs and what a person may say to them; what could be done, and under which policy."""

from typing import Annotated

from fastapi import APIRouter, Query

from homeostat.api.context import Context, Here
from homeostat.api.errors import CONFLICT
from homeostat.api.models import ApproveBody, Policy, RejectBody, WhoBody
from homeostat.core.errors import ConflictError, NotFoundError
from homeostat.core.models import ActionSpec, Run, RunStatus

router = APIRouter(prefix="/api", tags=["healing"])


@router.get("/runs")
async def runs(here: Here, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> list[Run]:
    """Runs, newest first."""
    return await here.parts.state.runs(limit=limit)


@router.post("/runs/{run_id}/approve", responses=CONFLICT)
async def approve(run_id: str, body: ApproveBody, here: Here) -> Run:
    """Say yes to exactly the plan that was seen: its digest has to be given."""
    run = await _awaiting(here, run_id)
    if run.plan_digest != body.plan_digest:
        raise ConflictError(
            f"The plan of run {run_id} is not the one that was approved: its digest is {run.plan_digest}. "
            "Read the plan again, then approve."
        )
    return await here.parts.healer.approve(run_id, body.who, body.plan_digest)


@router.post("/runs/{run_id}/reject", responses=CONFLICT)
async def reject(run_id: str, body: RejectBody, here: Here) -> Run:
    """Say no."""
    await _awaiting(here, run_id)
    return await here.parts.healer.reject(run_id, body.who, body.reason)


@router.post("/runs/{run_id}/undo", responses=CONFLICT)
async def undo(run_id: str, body: WhoBody, here: Here) -> Run:
    """Take back what a run did."""
    await _run(here, run_id)
    return await here.parts.healer.undo(run_id, body.who)


@router.get("/actions")
async def actions(here: Here) -> list[ActionSpec]:
    """What could be done here, with risk and undo."""
    return list(here.parts.healer.action_specs())


@router.get("/policy")
async def policy(here: Here) -> Policy:
    """Who and what may act, and how much of the limits is used up."""
    return Policy.model_validate(await here.parts.healer.policy_view())


async def _run(here: Context, run_id: str) -> Run:
    run = await here.parts.state.run(run_id)
    if run is None:
        raise NotFoundError(f"There is no run {run_id!r}. GET /api/runs lists them.")
    return run


async def _awaiting(here: Context, run_id: str) -> Run:
    run = await _run(here, run_id)
    if run.status is not RunStatus.AWAITING_APPROVAL:
        raise ConflictError(f"Run {run_id} does not await approval: it is {run.status.value}.")
    return run
