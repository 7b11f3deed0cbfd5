"""``GET /api/overview`` and ``GET /api/health``: the first page, and whether Homeostat itself is well."""

from fastapi import APIRouter

from homeostat import __version__
from homeostat.api.context import Context, Here
from homeostat.api.models import (
    ActCounts,
    DecideCounts,
    DetectCounts,
    LoopCounts,
    ObserveCounts,
    OtlpAddresses,
    Overview,
    ProcessHealth,
    RecoverCounts,
    VerifyCounts,
)

router = APIRouter(prefix="/api", tags=["overview"])


@router.get("/overview")
async def overview(here: Here) -> Overview:
    """Health, services, the loop's counts, storage and mode, in one answer."""
    await here.tally.ready()
    parts = here.parts
    services, overall = here.health()
    return Overview(
        health=overall,
        services=services,
        loop=loop_counts(here),
        storage=await here.storage(),
        mode=parts.healer.mode(),
        otlp=OtlpAddresses(http=parts.otlp_http_url, grpc=parts.otlp_grpc_url),
        generated_at=parts.clock.now(),
    )


@router.get("/health")
async def health(here: Here) -> ProcessHealth:
    """200 as soon as requests are served; ``degraded`` while telemetry cannot be stored or the loop does not look."""
    problems = await here.problems()
    return ProcessHealth(status="degraded" if problems else "ok", version=__version__, detail=" ".join(problems))


def loop_counts(here: Context) -> LoopCounts:
    """The stages of the loop, counted now."""
    ingest = here.parts.ingest()
    counts = here.tally.counts()
    return LoopCounts(
        observe=ObserveCounts(
            spans_total=ingest.spans_received,
            spans_per_s=ingest.spans_per_s,
            services=len(here.parts.red.services()),
        ),
        detect=DetectCounts(issues_total=counts.issues_total, issues_open=counts.issues_open),
        decide=DecideCounts(plans_total=counts.plans_total, awaiting_approval=counts.awaiting_approval),
        act=ActCounts(runs_total=counts.runs_total, in_progress=counts.runs_in_progress),
        verify=VerifyCounts(verified=counts.runs_verified, not_helped=counts.runs_not_helped),
        recover=RecoverCounts(rearmed=counts.rearmed, escalated=counts.escalated),
    )
