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


class Comparison(StrEnum):
    """OpenSLO's operators."""

    LT = "lt"
    LTE = "lte"
    GT = "gt"
    GTE = "gte"


class Selector(Model):
    """Series of one metric: those whose labels are all equal to these, added up."""

    metric: str = Field(min_length=1, max_length=255)
    service: str | None = None  # None: of any service
    labels: dict[str, str] = Field(default_factory=dict)


class Sli(Model):
    """A service level indicator. Which fields are needed follows from ``kind``; ``observe.slo.checks`` says which."""

    kind: SliKind
    service: str | None = None  # of RED; None: the objective's service
    operation: str | None = None  # of RED; None: all of the service
    threshold_ms: float | None = Field(default=None, gt=0, le=3_600_000)
    good: Selector | None = None  # of a ratio: this or ``bad``
    bad: Selector | None = None
    total: Selector | None = None
    metric: Selector | None = None  # of a threshold
    comparison: Comparison | None = None
    threshold: float | None = Field(default=None, allow_inf_nan=False)


class BurnRule(Model):
    """One multi-window multi-burn-rate rule: fires while both windows burn faster than ``factor``."""

    severity: Severity
    long_window_s: int = Field(gt=0)
    short_window_s: int = Field(gt=0)
    factor: float = Field(gt=0, allow_inf_nan=False)
    hold_s: int = Field(default=0, ge=0)  # it must have held for so long before it fires
    name: str = ""


class SloSource(StrEnum):
    """Where a definition comes from."""

    DEFAULT = "default"  # built in
    FILE = "file"  # an OpenSLO file of ``slo.files``: changed there
    API = "api"  # made by a person or a client


class Slo(Model):
    """An objective."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    name: str = Field(min_length=1, max_length=200)
    service: str = Field(min_length=1, max_length=200)
    description: str = Field(default="", max_length=1050)
    target: float = Field(gt=0, lt=1)  # share of good events, 0..1
    window: timedelta = timedelta(days=30)
    sli: Sli
    slice_target: float | None = Field(default=None, gt=0, le=1)  # OpenSLO's Timeslices; None: Occurrences
    slice_s: int = 60  # length of a slice
    rules: tuple[BurnRule, ...] = Field(default=(), max_length=20)  # empty: the standard table
    metric: str = ""  # the compatible interface's word for the indicator: availability | latency | error_rate | ...
    threshold: float | None = Field(default=None, allow_inf_nan=False)  # its threshold, as it was given
    labels: dict[str, str] = Field(default_factory=dict)
    source: SloSource = SloSource.API
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

    window_s: int
    rate: float | None  # None: no events
    good: float
    total: float


class BurnAlert(Model):
    """A rule at one moment."""

    rule: BurnRule
    long_rate: float | None
    short_rate: float | None
    firing: bool | None  # None: no data
    since: datetime | None = None  # when it began to fire


class SloStatus(Model):
    """An objective evaluated at one moment."""

    slo: Slo
    time: datetime
    state: SloState
    current: float | None  # share of good events over the window; None: no events
    good: float  # events (of Timeslices: slices)
    total: float
    error_budget_remaining: float | None  # the compatible field, percent: counts only the shortfall beyond the target
    error_budget_true_remaining: float | None  # 1 - bad / allowed bad; below 0: overspent
    burn_rates: tuple[BurnRate, ...]
    alerts: tuple[BurnAlert, ...]
    exhausted_in_s: float | None  # at the present rate; 0: it is spent; None: it will not be, or nothing is known
    rate_window_s: int  # what "the present rate" is measured over
    covered_s: float  # how much of the window there was anybody counting
    problem: str = ""  # why it could not be evaluated

    @property
    def firing(self) -> tuple[BurnAlert, ...]:
        """The rules that fire now."""
        return tuple(alert for alert in self.alerts if alert.firing)


class SloPoint(Model):
    """One step of an objective's history."""

    time: datetime  # in which the step begins
    good: float | None  # None: nobody was counting
    total: float | None
    burn_rate: float | None  # over the step
    budget_remaining: float | None  # at the step's end: 1 at the start of the window, then less the spent share of it
