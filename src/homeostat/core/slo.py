"""Service level objectives: what is promised and how it stands. Definitions follow OpenSLO v1 where it speaks."""

from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import Field

from homeostat.core.models import Model, Severity


class SliKind(StrEnum):
    """What good and total events are counted from."""

    AVAILABILITY = "availability"  # requests without error / requests, of RED
    LATENCY = "latency"  # requests not slower than the threshold / requests, of RED
    METRIC_RATIO = "metric_ratio"  # one metric's increase / another's
    METRIC_THRESHOLD = "metric_threshold"  # minutes in which a metric holds a comparison / minutes with data
    HEALING = "healing"  # verified runs / judged runs


class Sli(Model):
    """A service level indicator. Which fields are needed follows from ``kind``; ``observe.slo`` checks."""

    kind: SliKind
    service: str | None = None
    operation: str | None = None
    threshold_ms: float | None = Field(default=None, gt=0)
    good_metric: str | None = None
    bad_metric: str | None = None
    total_metric: str | None = None
    metric: str | None = None
    comparison: str | None = None  # lt | lte | gt | gte
    threshold: float | None = None
    labels: dict[str, str] = Field(default_factory=dict)


class Slo(Model):
    """An objective."""

    id: str
    name: str
    service: str
    description: str = ""
    target: float = Field(gt=0, lt=1)  # share of good events, 0..1
    window: timedelta = timedelta(days=30)
    sli: Sli
    metric: str = ""  # the compatible interface's word for the indicator: availability | latency | error_rate | ...
    threshold: float | None = None  # the compatible interface's threshold, as it was given
    labels: dict[str, str] = Field(default_factory=dict)
    created_at: datetime


class SloState(StrEnum):
    """How it stands, in the compatible interface's words; UNKNOWN is what no data means."""

    HEALTHY = "healthy"
    WARNING = "warning"
    CRITICAL = "critical"
    BREACHED = "breached"
    UNKNOWN = "unknown"


class BurnRate(Model):
    """How fast the budget is spent over one window: 1 spends exactly all of it within the SLO's window."""

    window_s: float
    rate: float | None  # None: no events
    good: float
    total: float


class BurnAlert(Model):
    """One multi-window multi-burn-rate rule: fires while both windows burn faster than ``factor``."""

    severity: Severity
    long_window_s: float
    short_window_s: float
    factor: float
    firing: bool | None  # None: no data
    since: datetime | None = None


class SloStatus(Model):
    """An objective evaluated at one moment."""

    slo: Slo
    time: datetime
    state: SloState
    current: float | None  # share of good events over the window; None: no events
    good: float
    total: float
    error_budget_remaining: float | None  # the compatible field, percent: counts only the shortfall beyond the target
    error_budget_true_remaining: float | None  # 1 - bad / allowed bad, may be negative
    burn_rates: tuple[BurnRate, ...]
    alerts: tuple[BurnAlert, ...]
    exhausted_in_s: float | None  # at the present burn rate; None: it is not being spent, or nothing is known
    covered_s: float  # how much of the window there was anybody counting
