"""Services as telemetry shows them: health, RED series, topology, operations."""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query

from homeostat.api.context import Context, Here
from homeostat.api.errors import NOT_FOUND
from homeostat.api.figures import answer_point, effective_step_s, whole_series
from homeostat.api.models import RedAnswerPoint, RedSeries, Topology, TopologyEdge, TopologyNode
from homeostat.core.errors import BadRequestError, NotFoundError
from homeostat.core.models import ServiceStatus
from homeostat.detect.health import ServiceHealth

router = APIRouter(prefix="/api", tags=["services"])

POINTS_MAX = 2000
LATE_S = 2
"""Spans arrive up to this late: a younger step would look like a dip."""

OPERATIONS_WINDOW_S = 3600

Minutes = Annotated[int, Query(ge=1, le=1440, description="How far back, in minutes.")]


@router.get("/services")
async def services(here: Here) -> list[ServiceHealth]:
    """Every service ever seen."""
    return here.health()[0]


@router.get("/services/{service:path}", responses=NOT_FOUND)
async def service(service: str, here: Here) -> ServiceHealth:
    """One service."""
    for candidate in here.health()[0]:
        if candidate.service == service:
            return candidate
    raise _never_seen(service)


@router.get("/red", responses=NOT_FOUND)
async def red(
    here: Here,
    service: str | None = None,
    minutes: Minutes = 15,
    step_s: Annotated[int, Query(ge=1, le=3600, description="Length of a step in seconds.")] = 5,
) -> RedSeries:
    """Rate, errors and duration over time; without ``service`` all requests that entered the system.

    What is older than half an hour is kept by the minute: where the answer reaches so far back, ``step_s`` is rounded
    up to whole minutes. Steps of which nothing is known are null.
    """
    if minutes * 60 > POINTS_MAX * step_s:
        raise BadRequestError(
            f"{minutes} minutes in steps of {step_s} s are more than {POINTS_MAX} points. Take a longer step_s."
        )
    rollups = here.parts.red
    reach = rollups.reach()
    complete_s = int(here.parts.clock.now().timestamp()) - LATE_S
    step_s = effective_step_s(reach, complete_s - minutes * 60, step_s)
    end_s = complete_s // step_s * step_s
    start_s = end_s - max(1, minutes * 60 // step_s) * step_s
    if service is not None and service not in rollups.services():
        raise _never_seen(service)

    def points() -> list[RedAnswerPoint]:
        if service is None:
            series = whole_series(rollups, start_s, end_s, step_s)
        else:
            series = rollups.series(service, start_s, end_s, step_s)
        return [answer_point(point, reach.known_from_s) for point in series]

    # Tens of milliseconds at 20 services and 15 minutes: not on the event loop.
    return RedSeries(service=service, step_s=step_s, points=await to_thread.run_sync(points))


@router.get("/topology")
async def topology(here: Here, minutes: Minutes = 15) -> Topology:
    """Who calls whom."""
    rollups = here.parts.red
    start_s, end_s = window_s(here, minutes * 60)
    services, _ = here.health()
    status = {health.service: health.status for health in services}
    points = await to_thread.run_sync(rollups.window, start_s, end_s)
    return Topology(
        nodes=[
            TopologyNode(
                service=point.service,
                status=status.get(point.service, ServiceStatus.UNKNOWN),
                requests=point.requests,
                error_rate=point.error_rate,
            )
            for point in points
        ],
        edges=[
            TopologyEdge(
                caller=edge.caller,
                callee=edge.callee,
                requests=edge.requests,
                errors=edge.errors,
                mean_ms=edge.duration_sum_ms / edge.requests if edge.requests else None,
            )
            for edge in rollups.edges(start_s, end_s)
        ],
    )


@router.get("/operations")
async def operations(here: Here, service: str | None = None) -> list[str]:
    """Names of the operations seen in the last hour."""
    points = here.parts.red.operations(*window_s(here, OPERATIONS_WINDOW_S))
    return sorted({point.operation for point in points if point.operation and service in {None, point.service}})


def window_s(here: Context, length_s: int) -> tuple[int, int]:
    """``[start, end)`` in Unix seconds, up to and with the present second."""
    end_s = int(here.parts.clock.now().timestamp()) + 1
    return end_s - length_s, end_s


def _never_seen(service: str) -> NotFoundError:
    return NotFoundError(
        f"No telemetry of a service {service!r} has been seen. GET /api/services lists those that were."
    )
