"""Where an objective's events come from: RED, any metric, or the outcomes of healing. ``tracker`` reads them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Protocol

import numpy as np
from anyio import to_thread

from homeostat.core.metrics import MetricAggregation, MetricQuery
from homeostat.core.models import Run, RunStatus
from homeostat.core.ports import Journal, MetricStore, RedHistory
from homeostat.core.red import RedPoint
from homeostat.core.slo import Comparison, Selector, Sli, SliKind, Slo
from homeostat.observe.slo.indicator import red_minutes, red_point, within_ms
from homeostat.observe.slo.minutes import MinuteCounts
from homeostat.observe.slo.windows import DAY_S, MINUTE_S

RUNS_READ_MAX: Final = 20_000
"""Of remediations in a window: more than anybody's limits allow in a month."""

_DAY_MINUTES: Final = DAY_S // MINUTE_S

_HELD: Final[dict[Comparison, Callable[[float, float], bool]]] = {
    Comparison.LT: lambda value, threshold: value < threshold,
    Comparison.LTE: lambda value, threshold: value <= threshold,
    Comparison.GT: lambda value, threshold: value > threshold,
    Comparison.GTE: lambda value, threshold: value >= threshold,
}


class Source(Protocol):
    """Counts events by the minute."""

    async def counts(self, start_minute: int, end_minute: int) -> MinuteCounts:
        """The events of ``[start_minute, end_minute)``, Unix minutes; the last may have only begun.

        Raises HomeostatError when it cannot be read.
        """
        ...

    def known_from_s(self) -> int | None:
        """The Unix second since when anybody was counting; None: nothing was ever counted."""
        ...

    def known_s(self, start_s: float, end_s: float) -> float:
        """For how many seconds of ``[start_s, end_s)`` anybody was counting."""
        ...


class _SinceFirst:
    """Known is what comes after the first event that was seen, but for the time in which Homeostat was down."""

    def __init__(self, red: RedHistory) -> None:
        """``red`` knows when Homeostat was down."""
        self._first_s: int | None = None
        self._red = red

    def known_from_s(self) -> int | None:
        """Since the first minute with data."""
        return self._first_s

    def known_s(self, start_s: float, end_s: float) -> float:
        """What since then somebody was there to receive. What came late of the rest counts all the same."""
        return replace(self._red.reach(), known_from_s=self._first_s).known_s(start_s, end_s)


class RedSource:
    """Requests of a service or an operation: every one, whatever is sampled."""

    def __init__(self, slo: Slo, red: RedHistory) -> None:
        self._sli = slo.sli
        self._service = slo.sli.service or slo.service
        self._red = red

    async def counts(self, start_minute: int, end_minute: int) -> MinuteCounts:
        """In a thread: a month may have to be read from files."""
        return await to_thread.run_sync(self._counts, start_minute, end_minute)

    def known_from_s(self) -> int | None:
        """Since when the rollups are whole; None as long as the service was never seen."""
        return self._red.reach().known_from_s if self._service in self._red.services() else None

    def known_s(self, start_s: float, end_s: float) -> float:
        """Without the time in which Homeostat was down."""
        return self._red.reach().known_s(start_s, end_s) if self.known_from_s() is not None else 0.0

    def _counts(self, start_minute: int, end_minute: int) -> MinuteCounts:
        latest_s = self._red.latest_s()
        begun = end_minute - 1 if latest_s is None else min(end_minute - 1, latest_s // MINUTE_S)
        minutes = self._red.minutes(
            self._service,
            start_minute * MINUTE_S,
            max(begun, start_minute) * MINUTE_S,
            operation=self._sli.operation,
            histograms=False,
            within_ms=within_ms(self._sli),
        )
        parts = [red_minutes(self._sli, minutes)]
        point = self._point(max(begun, start_minute) * MINUTE_S, end_minute * MINUTE_S)
        if point is not None:
            parts.append(red_point(self._sli, point, max(begun, start_minute) * MINUTE_S))
        return _joined(parts)

    def _point(self, start_s: int, end_s: int) -> RedPoint | None:
        """The newest minute, of which the rollups have only seconds."""
        operation = self._sli.operation
        read = self._red.window if operation is None else self._red.operations
        return next(
            (
                point
                for point in read(start_s, end_s)
                if point.service == self._service and (operation is None or point.operation == operation)
            ),
            None,
        )


class RatioSource(_SinceFirst):
    """One metric's increase over another's, both by the minute."""

    def __init__(self, sli: Sli, metrics: MetricStore, red: RedHistory) -> None:
        super().__init__(red)
        self._good, self._bad, self._total = sli.good, sli.bad, sli.total
        self._metrics = metrics

    async def counts(self, start_minute: int, end_minute: int) -> MinuteCounts:
        """A minute counts when the total grew. No bad events seen means none; no good ones seen means unknown."""
        total = await _read(self._metrics, self._total, start_minute, end_minute, MetricAggregation.INCREASE)
        good = await _read(self._metrics, self._good, start_minute, end_minute, MetricAggregation.INCREASE)
        bad = await _read(self._metrics, self._bad, start_minute, end_minute, MetricAggregation.INCREASE)
        rows: list[tuple[int, float, float]] = []
        for minute_s, events in sorted(total.items()):
            spoilt = bad.get(minute_s, 0.0) if self._bad else _less(events, good.get(minute_s))
            if spoilt is not None and events > 0:
                rows.append((minute_s, min(max(spoilt, 0.0), events), events))
        self._first_s = _earlier(self._first_s, min(total, default=None))
        return _of_rows(rows)


class ThresholdSource(_SinceFirst):
    """Minutes in which a metric's mean holds a comparison, out of the minutes with data."""

    def __init__(self, sli: Sli, metrics: MetricStore, red: RedHistory) -> None:
        super().__init__(red)
        self._selector, self._threshold = sli.metric, sli.threshold or 0.0
        self._held = _HELD[sli.comparison or Comparison.LTE]
        self._metrics = metrics

    async def counts(self, start_minute: int, end_minute: int) -> MinuteCounts:
        """One event for each minute with data."""
        values = await _read(self._metrics, self._selector, start_minute, end_minute, MetricAggregation.AVG)
        self._first_s = _earlier(self._first_s, min(values, default=None))
        return _of_rows(
            [(at, 0.0 if self._held(value, self._threshold) else 1.0, 1.0) for at, value in sorted(values.items())]
        )


class HealingSource(_SinceFirst):
    """Remediations that came to an end: good when verified, bad when they did not help or could not be done.

    What a person refused, what is in doubt and what was only rehearsed says nothing of healing.
    """

    def __init__(self, journal: Journal, red: RedHistory) -> None:
        super().__init__(red)
        self._journal = journal

    async def counts(self, start_minute: int, end_minute: int) -> MinuteCounts:
        """Each in the minute in which it was judged; those begun up to a day earlier are looked at."""
        since = datetime.fromtimestamp(start_minute * MINUTE_S - DAY_S, UTC)
        runs = await self._journal.runs(since=since, limit=RUNS_READ_MAX)
        judged: dict[int, list[float]] = {}
        for run in runs:
            good = healed(run)
            if good is None or run.dry_run:
                continue
            minute = int(_judged_at(run).timestamp()) // MINUTE_S
            if start_minute <= minute < end_minute:
                events = judged.setdefault(minute * MINUTE_S, [0.0, 0.0])
                events[0] += not good
                events[1] += 1
        self._first_s = _earlier(self._first_s, min(judged, default=None))
        return _of_rows([(at, bad, total) for at, (bad, total) in sorted(judged.items())])


@dataclass(frozen=True, slots=True)
class Sources:
    """What objectives can be read from. ``metrics`` None: no metrics are stored here."""

    red: RedHistory
    journal: Journal
    metrics: MetricStore | None = None

    def of(self, slo: Slo) -> Source | None:
        """The source of an objective; None where it needs metrics and there are none."""
        match slo.sli.kind:
            case SliKind.AVAILABILITY | SliKind.LATENCY:
                return RedSource(slo, self.red)
            case SliKind.HEALING:
                return HealingSource(self.journal, self.red)
            case SliKind.METRIC_RATIO:
                return RatioSource(slo.sli, self.metrics, self.red) if self.metrics else None
            case SliKind.METRIC_THRESHOLD:
                return ThresholdSource(slo.sli, self.metrics, self.red) if self.metrics else None


def healed(run: Run) -> bool | None:
    """Whether a remediation helped; None: it has not ended, was refused, or nobody can tell."""
    if run.verdict is not None and run.verdict.helped is not None:
        return run.verdict.helped
    return {RunStatus.VERIFIED: True, RunStatus.NOT_HELPED: False, RunStatus.FAILED: False}.get(run.status)


def _judged_at(run: Run) -> datetime:
    if run.verdict is not None:
        return run.verdict.judged_at
    return run.finished_at or run.acted_at or run.created_at


async def _read(
    metrics: MetricStore, selector: Selector | None, start_minute: int, end_minute: int, what: MetricAggregation
) -> dict[int, float]:
    """Values by the Unix second in which their minute begins, all series in one; a day at a time."""
    values: dict[int, float] = {}
    if selector is None:
        return values
    for first in range(start_minute, end_minute, _DAY_MINUTES):
        last = min(first + _DAY_MINUTES, end_minute)
        query = MetricQuery(
            name=selector.metric,
            start=datetime.fromtimestamp(first * MINUTE_S, UTC),
            end=datetime.fromtimestamp(last * MINUTE_S, UTC),
            step_s=MINUTE_S,
            service=selector.service,
            labels=selector.labels,
            group_by=(),
            aggregation=what,
        )
        for line in await metrics.series(query):
            for place, value in enumerate(line.values):
                if value is not None:
                    values[line.start_s + place * line.step_s] = value
    return values


def _less(events: float, good: float | None) -> float | None:
    return None if good is None else events - good


def _earlier(known: int | None, found: int | None) -> int | None:
    return min((second for second in (known, found) if second is not None), default=None)


def _joined(parts: Sequence[MinuteCounts]) -> MinuteCounts:
    return MinuteCounts(
        np.concatenate([part.start_s for part in parts]),
        np.concatenate([part.bad for part in parts]),
        np.concatenate([part.total for part in parts]),
    )


def _of_rows(rows: Sequence[tuple[int, float, float]]) -> MinuteCounts:
    if not rows:
        return MinuteCounts.none()
    return MinuteCounts(
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.float64),
        np.array([row[2] for row in rows], np.float64),
    )
