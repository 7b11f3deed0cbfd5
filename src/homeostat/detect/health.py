"""Health of each service and of the whole, for the API and the dashboard. What has no data is unknown, never healthy.

A service, over the last ``WINDOW_S`` seconds: down when surely half of its requests fail, degraded when surely more
than 0.5 % do or they take 500 ms or more on average, else healthy. "Surely" is the lower bound of an exact interval:
three errors in twelve requests do not say that a service is down. A service with an open crash issue is down whatever
its telemetry still says. ``original_status`` is the rule of the original observability service, for its clients.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime

from homeostat.core.binomial import lower_bound
from homeostat.core.models import Issue, IssueType, Model, ServiceStatus
from homeostat.core.ports import Clock, RedReader
from homeostat.core.red import RedPoint
from homeostat.core.resources import HOST, service_name
from homeostat.detect.windows import at

WINDOW_S = 60
ISSUE_PENALTY = 5
REMEDIATION_BONUS = 3
DOWN_SHARE = 0.5
DEGRADED_SHARE = 0.005
SLOW_MS = 500.0
SURE = 0.95
"""One-sided confidence that the share of errors is above these."""


class ServiceHealth(Model):
    """One service over the last minute. Ratios are 0..1; None is what no data means."""

    service: str
    status: ServiceStatus
    request_rate: float | None  # per second
    error_rate: float | None  # ratio
    availability: float | None  # ratio of requests that did not fail
    latency_mean_ms: float | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    open_issues: int
    last_seen: datetime | None  # end of the newest second with a request, to the window


class OverallHealth(Model):
    """The whole system. ``score`` is 0..100, or None when nothing is known."""

    status: ServiceStatus
    score: int | None
    reason: str


def status_of(point: RedPoint | None, *, crashed: bool) -> ServiceStatus:
    """The rule above."""
    if crashed:
        return ServiceStatus.DOWN
    if point is None or point.mean_ms is None:
        return ServiceStatus.UNKNOWN
    failing = lower_bound(point.errors, point.requests, SURE)
    if failing >= DOWN_SHARE:
        return ServiceStatus.DOWN
    is_degraded = failing > DEGRADED_SHARE or point.mean_ms >= SLOW_MS
    return ServiceStatus.DEGRADED if is_degraded else ServiceStatus.HEALTHY


def original_status(point: RedPoint | None, *, crashed: bool) -> ServiceStatus:
    """Healthy: availability >= 99.5 %, mean < 500 ms, errors < 1 %; degraded: availability >= 95 %, errors < 5 %.

    Else down. Availability is the share of requests that did not fail.
    """
    if crashed:
        return ServiceStatus.DOWN
    if point is None or point.error_rate is None or point.mean_ms is None:
        return ServiceStatus.UNKNOWN
    if point.error_rate <= DEGRADED_SHARE and point.mean_ms < SLOW_MS:  # availability >= 99.5 % includes errors < 1 %
        return ServiceStatus.HEALTHY
    return ServiceStatus.DEGRADED if point.error_rate < 0.05 else ServiceStatus.DOWN


def health_score(issues_last_hour: int, remediated_last_hour: int) -> int:
    """``100 - 5 x issues + 3 x successful remediations``, both of the last hour, within 0..100: the original's."""
    return max(0, min(100, 100 - ISSUE_PENALTY * issues_last_hour + REMEDIATION_BONUS * remediated_last_hour))


class HealthReader:
    """Answers from RED metrics and the open issues."""

    def __init__(
        self,
        red: RedReader,
        clock: Clock,
        open_issues: Callable[[], Sequence[Issue]],
        process_services: Mapping[str, str] | None = None,
    ) -> None:
        self._red = red
        self._clock = clock
        self._open_issues = open_issues
        self._process_services = dict(process_services or {})

    def services(self) -> list[ServiceHealth]:
        """Every service that has been seen, or that has an open issue, by name."""
        end_s = math.floor(self._clock.now().timestamp()) + 1
        points = {point.service: point for point in self._red.window(end_s - WINDOW_S, end_s)}
        issues = self._issues_by_service()
        names = sorted({*self._red.services(), *issues})
        seen = self._last_seen({name for name, point in points.items() if point.requests}, end_s)
        return [self._health(name, points.get(name), issues.get(name, ()), seen.get(name)) for name in names]

    def crashed(self) -> set[str]:
        """Services of which a process is known to be down, whatever their telemetry still says."""
        return {
            service
            for service, issues in self._issues_by_service().items()
            if any(issue.type is IssueType.PROCESS_CRASH for issue in issues)
        }

    def overall(
        self, services: Sequence[ServiceHealth], issues_last_hour: int, remediated_last_hour: int
    ) -> OverallHealth:
        """The worst service decides. Services without data do not make the rest unknown, but are counted out loud."""
        known = [one for one in services if one.status is not ServiceStatus.UNKNOWN]
        if not known:
            reason = "No service has sent telemetry yet." if not services else "No service has sent telemetry lately."
            return OverallHealth(status=ServiceStatus.UNKNOWN, score=None, reason=reason)
        score = health_score(issues_last_hour, remediated_last_hour)
        silent = len(services) - len(known)
        heard = f"; {silent} without data" if silent else ""
        for status in (ServiceStatus.DOWN, ServiceStatus.DEGRADED):
            hit = [one for one in known if one.status is status]
            if hit:
                why = _why(hit[0]) if len(hit) == 1 else ""
                names = _names(one.service for one in hit)
                return OverallHealth(status=status, score=score, reason=f"{names} {status}{why}{heard}.")
        troubled = [one.service for one in services if one.open_issues]
        if troubled:  # the last minute was good, or silent; the issue has not closed yet
            reason = f"{_names(troubled)} under watch: an issue is still open{heard}."
            return OverallHealth(status=ServiceStatus.DEGRADED, score=score, reason=reason)
        return OverallHealth(
            status=ServiceStatus.HEALTHY,
            score=score,
            reason=f"{len(known)} service{'s' if len(known) != 1 else ''} healthy{heard}.",
        )

    def _health(
        self, name: str, point: RedPoint | None, issues: Collection[Issue], last_seen: datetime | None
    ) -> ServiceHealth:
        heard = point is not None and point.requests > 0
        crashed = any(issue.type is IssueType.PROCESS_CRASH for issue in issues)
        error_rate = point.error_rate if point is not None else None
        return ServiceHealth(
            service=name,
            status=status_of(point, crashed=crashed),
            request_rate=point.requests / WINDOW_S if point is not None and heard else None,
            error_rate=error_rate,
            availability=None if error_rate is None else 1.0 - error_rate,
            latency_mean_ms=point.mean_ms if point is not None else None,
            latency_p50_ms=point.quantile_ms(0.50) if point is not None else None,
            latency_p95_ms=point.quantile_ms(0.95) if point is not None else None,
            latency_p99_ms=point.quantile_ms(0.99) if point is not None else None,
            open_issues=len(issues),
            last_seen=last_seen,
        )

    def _last_seen(self, heard: set[str], end_s: int) -> dict[str, datetime]:
        """Second by second backwards, all services at once: most have spoken within the last two or three."""
        now, seen = self._clock.now().timestamp(), dict[str, datetime]()
        for second in range(end_s - 1, end_s - WINDOW_S - 1, -1):
            if len(seen) == len(heard):
                break
            for point in self._red.window(second, second + 1):
                if point.requests and point.service in heard and point.service not in seen:
                    seen[point.service] = at(min(second + 1, now))
        return seen

    def _issues_by_service(self) -> dict[str, list[Issue]]:
        found: dict[str, list[Issue]] = {}
        for issue in self._open_issues():
            if issue.resource == HOST:
                continue  # not a service; those that suffer from it have issues of their own
            service = service_name(issue.resource, self._process_services)
            found.setdefault(service, []).append(issue)
        return found


def _why(service: ServiceHealth) -> str:
    """Behind "is down" or "is degraded"; nothing where its telemetry does not say."""
    if service.error_rate is not None and service.error_rate > DEGRADED_SHARE:
        return f": {service.error_rate:.1%} of its requests fail"
    if service.latency_mean_ms is not None and service.latency_mean_ms >= SLOW_MS:
        return f": its requests take {service.latency_mean_ms:,.0f} ms on average"
    return ""


def _names(names: Iterable[str]) -> str:
    """``A is``, ``A and B are``, ``A, B and 3 more are``."""
    listed = list(names)
    if len(listed) == 1:
        return f"{listed[0]} is"
    if len(listed) == 2:
        return f"{listed[0]} and {listed[1]} are"
    return f"{listed[0]}, {listed[1]} and {len(listed) - 2} more are"
