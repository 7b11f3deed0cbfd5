"""Arithmetic between the rollups and the answers: adding series up, reading quantiles off histograms."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from homeostat.api.models import RedAnswerPoint
from homeostat.core.ports import RedReader
from homeostat.core.red import RedPoint, RedReach, quantiles_ms

MINUTE_S: Final = 60
"""What old rollups are kept by."""


def effective_step_s(reach: RedReach, start_s: int, step_s: int) -> int:
    """The step in which a series from ``start_s`` on can be told: whole minutes where only minutes are kept."""
    first_s = start_s if reach.known_from_s is None else max(start_s, reach.known_from_s)
    return step_s if first_s >= reach.seconds_from_s else -(-step_s // MINUTE_S) * MINUTE_S


def answer_point(point: RedPoint, known_from_s: int | None) -> RedAnswerPoint:
    """One step as the API shows it. Of a step that is known in part, the rate is that of the part."""
    time = datetime.fromtimestamp(point.start_s, UTC)
    if known_from_s is None or point.end_s <= known_from_s:
        unknown = ("requests", "errors", "request_rate", "error_rate", "p50_ms", "p95_ms", "p99_ms")
        return RedAnswerPoint.model_validate({"time": time, **dict.fromkeys(unknown)})
    p50, p95, p99 = quantiles_ms(point.histogram, (0.50, 0.95, 0.99))
    return RedAnswerPoint(
        time=time,
        requests=point.requests,
        errors=point.errors,
        request_rate=point.requests / max(1, point.end_s - max(point.start_s, known_from_s)),
        error_rate=point.error_rate,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
    )


def entry_services(red: RedReader, start_s: int, end_s: int) -> list[str]:
    """Services that no other service called in the window: what they serve came from outside.

    Where everything is called by something (a cycle), all of them.
    """
    services = [point.service for point in red.window(start_s, end_s)]
    called = {edge.callee for edge in red.edges(start_s, end_s) if edge.caller != edge.callee}
    return [service for service in services if service not in called] or services


def whole_series(red: RedReader, start_s: int, end_s: int, step_s: int) -> list[RedPoint]:
    """One point per step of everything that entered the system; none at all before the first span.

    Asks step by step, because a window holds every service at the price of one.
    """
    entries = frozenset(entry_services(red, start_s, end_s))
    if not entries:
        return []
    return [
        _add_up([point for point in red.window(at, at + step_s) if point.service in entries], at, at + step_s)
        for at in range(start_s, end_s, step_s)
    ]


def _add_up(points: Sequence[RedPoint], start_s: int, end_s: int) -> RedPoint:
    histograms = [point.histogram for point in points if point.histogram]
    return RedPoint(
        service="*",
        operation=None,
        start_s=start_s,
        end_s=end_s,
        requests=sum(point.requests for point in points),
        errors=sum(point.errors for point in points),
        duration_sum_ms=sum(point.duration_sum_ms for point in points),
        histogram=tuple(map(sum, zip(*histograms, strict=True))),
    )
