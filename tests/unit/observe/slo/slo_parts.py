"""Minutes of RED that a test fills in, and objectives made short."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from homeostat.core.red import HISTOGRAM_BUCKETS, Edge, RedMinutes, RedPoint, RedReach, share_within
from homeostat.core.slo import Sli, SliKind, Slo

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
MINUTE_S = 60


def an_slo(**more: object) -> Slo:
    """99.9 % of the requests of ``shop`` succeed, over 30 days."""
    fields: dict[str, object] = {
        "id": "slo-1",
        "name": "Shop availability",
        "service": "shop",
        "target": 0.999,
        "window": timedelta(days=30),
        "sli": Sli(kind=SliKind.AVAILABILITY),
        "created_at": NOW,
    }
    return Slo.model_validate(fields | more)


@dataclass
class RedMinutesTable:
    """RED of one service by the minute; implements RedHistory."""

    service: str = "shop"
    known_from_s: int | None = None
    gaps: tuple[tuple[int, int], ...] = ()
    rows: dict[int, RedPoint] = field(default_factory=dict)  # by the second in which the minute begins
    asked: list[tuple[int, int]] = field(default_factory=list)

    def add(self, minute_s: int, requests: int, errors: int = 0, slow: dict[int, int] | None = None) -> None:
        """``slow``: requests by histogram bucket; the default is one bucket for all."""
        histogram = [0] * HISTOGRAM_BUCKETS
        for bucket, count in (slow or {80: requests}).items():
            histogram[bucket] += count
        self.rows[minute_s] = RedPoint(
            self.service, None, minute_s, minute_s + 60, requests, errors, histogram=tuple(histogram)
        )
        if self.known_from_s is None or minute_s < self.known_from_s:
            self.known_from_s = minute_s

    def services(self) -> list[str]:
        return [self.service] if self.rows else []

    def latest_s(self) -> int | None:
        return max(self.rows, default=None)

    def reach(self) -> RedReach:
        return RedReach(self.known_from_s, 0, self.gaps)

    def minutes(
        self,
        service: str,
        start_s: int,
        end_s: int,
        *,
        operation: str | None = None,
        histograms: bool = True,
        within_ms: float | None = None,
    ) -> RedMinutes:
        self.asked.append((start_s, end_s))
        found = [self.rows[at] for at in sorted(self.rows) if start_s <= at < end_s and service == self.service]
        histogram = np.array([row.histogram for row in found], np.int32).reshape(len(found), HISTOGRAM_BUCKETS)
        return RedMinutes(
            service=service,
            operation=operation,
            start_s=np.array([row.start_s for row in found], np.int64),
            requests=np.array([row.requests for row in found], np.int64),
            errors=np.array([row.errors for row in found], np.int64),
            duration_sum_ms=np.zeros(len(found)),
            histogram=histogram,
            within=np.zeros(0) if within_ms is None else histogram @ share_within(within_ms),
        )

    def window(self, start_s: int, end_s: int) -> list[RedPoint]:
        found = [row for at, row in self.rows.items() if start_s <= at < end_s]
        if not found:
            return []
        histogram = tuple(int(count) for count in np.sum([row.histogram for row in found], axis=0))
        first = replace(found[0], start_s=start_s, end_s=end_s, histogram=histogram)
        return [replace(first, requests=sum(row.requests for row in found), errors=sum(row.errors for row in found))]

    def operations(self, start_s: int, end_s: int) -> list[RedPoint]:
        return []

    def series(self, service: str, start_s: int, end_s: int, step_s: int) -> list[RedPoint]:
        return []

    def edges(self, start_s: int, end_s: int) -> list[Edge]:
        return []
