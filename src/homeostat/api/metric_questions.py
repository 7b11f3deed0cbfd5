"""Metrics that systems sent: which there are, their series, and exemplars. (Homeostat's own are in ``metrics``.)"""

from datetime import datetime
from math import isfinite
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import Field

from homeostat.api.context import Here
from homeostat.api.log_search import NAME_MAX, step_of, whole_second
from homeostat.api.trace_search import ATTRIBUTES_MAX, EARLIEST, TimeRange, pair_of
from homeostat.core.errors import BadRequestError
from homeostat.core.metrics import Exemplar, MetricAggregation, MetricInfo, MetricQuery, MetricSeries
from homeostat.core.models import Model

router = APIRouter(prefix="/api", tags=["metrics"])

_STEPS: Final = 120
_GROUPS_MAX: Final = 16


class CatalogQuestion(TimeRange):
    """Which metrics."""

    contains: str = Field(default="", max_length=NAME_MAX, description="Part of the name, in any case.")
    minutes: int = Field(default=1440, ge=1, le=525_600, description="How far back, when there is no start.")
    limit: int = Field(default=1000, ge=1, le=10_000)


class MetricFilter(TimeRange):
    """Which points of which metric."""

    name: str = Field(min_length=1, max_length=NAME_MAX)
    service: str | None = Field(default=None, max_length=NAME_MAX)
    label: list[str] = Field(default=[], max_length=ATTRIBUTES_MAX, description="key=value; several times.")
    minutes: int = Field(default=60, ge=1, le=525_600)

    def query(self, now: datetime, *, limit: int) -> MetricQuery:
        """The question without its aggregation. Raises BadRequestError."""
        since, until = self.bounds(now)
        if since >= until:
            raise BadRequestError(f"Between {since.isoformat()} and {until.isoformat()} lies no time. End later.")
        return MetricQuery(
            name=self.name,
            start=since,
            end=until,
            service=self.service or None,
            labels=dict(pair_of(text) for text in self.label),
            limit=limit,
        )


class SeriesQuestion(MetricFilter):
    """How points become series."""

    group_by: list[str] | None = Field(
        default=None,
        max_length=_GROUPS_MAX,
        description="Put points together by these labels; empty: all of them; not given: each series for itself.",
    )
    aggregation: MetricAggregation | None = None
    quantile: float = Field(default=0.95, gt=0, lt=1)
    step_s: int | None = Field(
        default=None, ge=1, le=31_536_000, description=f"Seconds; default: about {_STEPS} steps."
    )
    limit: int = Field(default=100, ge=1, le=1000, description="Series.")


class ExemplarQuestion(MetricFilter):
    """How many."""

    limit: int = Field(default=100, ge=1, le=1000)


class MetricAnswer(Model):
    """Series of one metric."""

    name: str
    start: datetime
    end: datetime
    step_s: int
    series: tuple[MetricSeries, ...]


class ExemplarAnswer(Model):
    """One measurement with the trace in which it was made."""

    time: datetime
    value: float | None  # None: it was not finite
    trace_id: str
    span_id: str
    labels: dict[str, str]


@router.get("/metrics-catalog")
async def catalog(here: Here, asked: Annotated[CatalogQuestion, Query()]) -> list[MetricInfo]:
    """Metrics with a point since the start, by name."""
    since, _ = asked.bounds(here.parts.clock.now())
    return await here.metrics().metrics(since, contains=asked.contains, limit=asked.limit)


@router.get("/metrics/query")
async def series(here: Here, asked: Annotated[SeriesQuestion, Query()]) -> MetricAnswer:
    """Series of one metric, one value per step; null where there was nothing."""
    query = asked.query(here.parts.clock.now(), limit=asked.limit)
    start = max(EARLIEST, whole_second(query.start))
    step_s = step_of(start, query.end, asked.step_s, steps=_STEPS)
    groups = asked.group_by
    query = query.model_copy(
        update={
            "start": start,
            "step_s": step_s,
            "group_by": None if groups is None else tuple(name for name in groups if name),
            "aggregation": asked.aggregation,
            "quantile": asked.quantile,
        }
    )
    found = await here.metrics().series(query)
    return MetricAnswer(name=query.name, start=start, end=query.end, step_s=step_s, series=tuple(found))


@router.get("/metrics/exemplars")
async def exemplars(here: Here, asked: Annotated[ExemplarQuestion, Query()]) -> list[ExemplarAnswer]:
    """Measurements that name their trace, newest first."""
    query = asked.query(here.parts.clock.now(), limit=asked.limit)
    return [_answer(found) for found in await here.metrics().exemplars(query)]


def _answer(found: Exemplar) -> ExemplarAnswer:
    return ExemplarAnswer(
        time=found.time,
        value=found.value if isfinite(found.value) else None,
        trace_id=found.trace_id,
        span_id=found.span_id,
        labels=found.labels,
    )
