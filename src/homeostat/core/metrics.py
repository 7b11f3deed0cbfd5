"""Metrics as Homeostat keeps and answers them: made by ``observe``, kept by ``store.telemetry``, asked by SLOs."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from homeostat.core.models import Model


class MetricType(StrEnum):
    """OpenTelemetry's kinds of metric."""

    GAUGE = "gauge"
    SUM = "sum"
    HISTOGRAM = "histogram"
    EXPONENTIAL_HISTOGRAM = "exponential_histogram"
    SUMMARY = "summary"


class MetricInfo(Model):
    """One metric that is known, whatever its labels."""

    name: str
    type: MetricType
    unit: str
    description: str
    monotonic: bool  # of a sum: it only grows, but for restarts
    services: tuple[str, ...]
    more_services: bool = False  # it has more of them than are named here


class MetricAggregation(StrEnum):
    """What one number is made of all points of a series within a step."""

    LAST = "last"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    SUM = "sum"
    COUNT = "count"
    RATE = "rate"  # per second; resets of a cumulative sum are seen and not counted as a fall
    INCREASE = "increase"
    QUANTILE = "quantile"  # of a histogram: interpolated within its bucket, as Prometheus does


def usual_aggregation(kind: MetricType, *, monotonic: bool) -> MetricAggregation:
    """What a query that names no aggregation gets of a metric of this type."""
    match kind:
        case MetricType.SUM if monotonic:
            return MetricAggregation.RATE
        case MetricType.HISTOGRAM | MetricType.EXPONENTIAL_HISTOGRAM:
            return MetricAggregation.QUANTILE
        case MetricType.SUMMARY:
            return MetricAggregation.AVG
        case _:
            return MetricAggregation.LAST


class MetricQuery(Model):
    """Series of one metric, one value per step. Labels match a point's attributes or its resource's."""

    name: str
    start: datetime
    end: datetime
    step_s: int = Field(default=60, ge=1)
    service: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)  # all must be equal
    group_by: tuple[str, ...] | None = None  # label names; None: every series for itself; (): all in one
    aggregation: MetricAggregation | None = None  # None: the usual one
    quantile: float = Field(default=0.95, gt=0, lt=1)
    limit: int = Field(default=100, ge=1, le=10_000)  # series


class MetricSeries(Model):
    """One line of a chart. ``values`` has one entry per step, None where there was nothing."""

    name: str
    labels: dict[str, str]
    start_s: int  # Unix second of the first step
    step_s: int
    values: tuple[float | None, ...]


class Exemplar(Model):
    """One measurement with the trace in which it was made."""

    time: datetime
    value: float
    trace_id: str
    span_id: str
    labels: dict[str, str] = Field(default_factory=dict)
