"""Where the numbers of the self-healing score and statistics come from."""

from collections.abc import Sequence
from statistics import fmean

from homeostat.api.context import HOUR, Context
from homeostat.api.self_healing_models import HealingStatistics, HealthScore
from homeostat.api.services import window_s
from homeostat.core.models import ServiceStatus
from homeostat.detect.health import ServiceHealth

CALLS_WINDOW_S = 300
NOT_KNOWN = "N/A"

POINTS = {ServiceStatus.HEALTHY: 100.0, ServiceStatus.DEGRADED: 50.0, ServiceStatus.DOWN: 0.0}


async def health_score(here: Context) -> HealthScore:
    """The score now. Database and security have no sensors yet, so theirs is null."""
    now = here.parts.clock.now()
    services, overall = here.health()
    return HealthScore(
        overall_score=overall.score,
        compute_score=_compute(services),
        network_score=_network(here),
        storage_score={"ok": 100, "full": 0, "failing": 0}.get((await here.storage()).state),
        database_score=None,
        security_score=None,
        timestamp=now,
        issues_detected=here.tally.issues_since(now - HOUR),
        auto_remediated=here.tally.verified_since(now - HOUR),
    )


def _compute(services: list[ServiceHealth]) -> int | None:
    """Mean over the services of which anything is known: healthy 100, degraded 50, down 0."""
    points = [POINTS[service.status] for service in services if service.status in POINTS]
    return round(fmean(points)) if points else None


def _network(here: Context) -> int | None:
    """Percent of the calls between services in the last five minutes that succeeded."""
    edges = here.parts.red.edges(*window_s(here, CALLS_WINDOW_S))
    calls = sum(edge.requests for edge in edges)
    failed = sum(edge.errors for edge in edges)
    return max(0, round(100 * (calls - failed) / calls)) if calls else None


def statistics(here: Context) -> HealingStatistics:
    """Totals of everything on record."""
    counts = here.tally.counts()
    finished = counts.runs_verified + counts.runs_failed
    return HealingStatistics(
        total_issues_detected=counts.issues_total,
        total_remediations=counts.runs_total,
        successful_remediations=counts.runs_verified,
        failed_remediations=counts.runs_failed,
        success_rate=round(100 * counts.runs_verified / finished, 2) if finished else None,
        average_remediation_time=_average(here.tally.healing_durations_s()),
        # Both would have to be compared with the same system without healing. A running system has no such control
        # group: the incidents that ended by themselves are others than those that had to be healed.
        uptime_improvement=NOT_KNOWN,
        mttr_reduction=NOT_KNOWN,
    )


def _average(durations_s: Sequence[float]) -> str:
    return f"{fmean(durations_s):.1f} seconds" if durations_s else NOT_KNOWN
