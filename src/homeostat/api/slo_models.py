"""What the SLO endpoints answer and take. ``docs/api.md`` tells the same; ``api.slos`` serves it."""

from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field

from homeostat.api.models import Answer
from homeostat.core.models import Severity
from homeostat.core.slo import BurnRate, BurnRule, Sli, SliKind, Slo, SloPoint, SloSource, SloState, SloStatus
from homeostat.observe.slo import forecast_text
from homeostat.observe.slo.definitions import built, indicator_text, metric_word, percentage, ratio
from homeostat.observe.slo.windows import DAY_S, duration_text

NOT_EVALUATED = "It has not been evaluated yet."


class Budget(Answer):
    """The error budget in events. ``remaining`` is a share: 1 untouched, 0 spent, below 0 overspent."""

    remaining: float | None
    allowed: float | None
    spent: float | None
    left: float | None
    compatible_percentage: float | None


class SloAlert(Answer):
    """One burn rule now."""

    name: str
    severity: Severity
    factor: float
    long_window_s: int
    short_window_s: int
    hold_s: int
    long_rate: float | None
    short_rate: float | None
    firing: bool | None
    since: datetime | None


class Forecast(Answer):
    """When the budget will be spent."""

    exhausted_in_s: float | None
    text: str
    rate_window_s: int | None


class SloAnswer(Answer):
    """An objective and how it stands."""

    id: str
    name: str
    service: str
    description: str
    labels: dict[str, str]
    source: SloSource
    indicator: SliKind
    indicator_text: str
    target_percentage: float
    window_s: float
    window_days: float
    time: datetime | None
    state: SloState
    current_percentage: float | None
    good: float | None
    bad: float | None
    total: float | None
    budget: Budget
    burn_rates: list[BurnRate]
    alerts: list[SloAlert]
    forecast: Forecast
    covered_s: float | None
    problem: str


class SloHistory(Answer):
    """The window in steps."""

    step_s: int
    points: list[SloPoint]


class SloDetail(Answer):
    """One objective with its history and its definition."""

    slo: SloAnswer
    definition: Slo
    history: SloHistory
    openslo: str


class SloImport(Answer):
    """What an OpenSLO text brought."""

    slos: list[SloAnswer]
    created: list[str]
    updated: list[str]
    notes: list[str]  # what the text says and has no effect here, with line and key


class SloDeleted(Answer):
    """What was deleted."""

    deleted: str


class SloDefinition(BaseModel):
    """An objective as a person makes it."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    service: str = Field(min_length=1, max_length=200)
    description: str = Field(default="", max_length=1050)
    target_percentage: float = Field(ge=1e-6, lt=100)
    window_days: float = Field(default=30, gt=0, le=90)
    sli: Sli
    slice_target: float | None = Field(default=None, gt=0, le=1)
    slice_s: int = Field(default=60, ge=60, le=DAY_S)
    rules: tuple[BurnRule, ...] = Field(default=(), max_length=20)
    labels: dict[str, str] = Field(default_factory=dict)

    def slo(self, slo_id: str, created_at: datetime) -> Slo:
        """The objective that it means. Raises BadRequestError."""
        return built(
            id=slo_id,
            name=self.name,
            service=self.service,
            description=self.description,
            target=ratio(self.target_percentage),
            window=timedelta(days=self.window_days),
            sli=self.sli,
            slice_target=self.slice_target,
            slice_s=self.slice_s,
            rules=self.rules,
            labels=self.labels,
            created_at=created_at,
        )


class CompatibleSlo(Answer):
    """The objective of IAC Dharma 3.0, to the field name, and behind ``last_updated`` what it had no fields for."""

    id: str
    name: str
    service: str
    description: str
    target_percentage: float
    window_days: float
    metric: str
    threshold: float | None
    current_percentage: float | None
    status: SloState
    error_budget_remaining: float | None
    last_updated: datetime | None
    error_budget_true_remaining: float | None
    burn_rate: float | None
    burn_rates: dict[str, float | None]
    alerts: list[str]
    exhausted_in_s: float | None
    covered_s: float | None


class CompatibleBody(BaseModel):
    """The arguments of ``POST slo``, as a body."""

    name: str | None = None
    service: str | None = None
    description: str | None = None
    target_percentage: float | None = None
    metric: str | None = None
    threshold: float | None = None
    window_days: int | None = None


class CompatibleDeleted(Answer):
    """The answer of ``DELETE slo/{id}``."""

    status: str
    id: str


def slo_answer(slo: Slo, status: SloStatus | None) -> SloAnswer:
    """An objective as the API shows it; without a status it has not been evaluated."""
    counted = status is not None and status.total > 0
    return SloAnswer(
        id=slo.id,
        name=slo.name,
        service=slo.service,
        description=slo.description,
        labels=slo.labels,
        source=slo.source,
        indicator=slo.sli.kind,
        indicator_text=indicator_text(slo),
        target_percentage=percentage(slo.target),
        window_s=slo.window.total_seconds(),
        window_days=slo.window / timedelta(days=1),
        time=status.time if status else None,
        state=status.state if status else SloState.UNKNOWN,
        current_percentage=_percent(status.current) if status else None,
        good=status.good if status and counted else None,
        bad=status.total - status.good if status and counted else None,
        total=status.total if status and counted else None,
        budget=_budget(status),
        burn_rates=list(status.burn_rates) if status else [],
        alerts=_alerts(status) if status else [],
        forecast=Forecast(
            exhausted_in_s=status.exhausted_in_s if status else None,
            text=forecast_text(status) if status else "unknown: not evaluated yet",
            rate_window_s=status.rate_window_s if status else None,
        ),
        covered_s=status.covered_s if status else None,
        problem=status.problem if status else NOT_EVALUATED,
    )


def compatible_slo_answer(slo: Slo, status: SloStatus | None) -> CompatibleSlo:
    """An objective in the compatible interface's words."""
    metric, threshold = metric_word(slo)
    rates = {duration_text(rate.window_s): rate.rate for rate in status.burn_rates} if status else {}
    return CompatibleSlo(
        id=slo.id,
        name=slo.name,
        service=slo.service,
        description=slo.description,
        target_percentage=percentage(slo.target),
        window_days=slo.window / timedelta(days=1),
        metric=metric,
        threshold=threshold,
        current_percentage=_percent(status.current) if status else None,
        status=status.state if status else SloState.UNKNOWN,
        error_budget_remaining=status.error_budget_remaining if status else None,
        last_updated=status.time if status else None,
        error_budget_true_remaining=_percent(status.error_budget_true_remaining) if status else None,
        burn_rate=rates.get("1h"),
        burn_rates=rates,
        alerts=[alert.rule.name for alert in status.firing] if status else [],
        exhausted_in_s=status.exhausted_in_s if status else None,
        covered_s=status.covered_s if status else None,
    )


def _budget(status: SloStatus | None) -> Budget:
    if status is None or not status.total:
        return Budget(remaining=None, allowed=None, spent=None, left=None, compatible_percentage=None)
    allowed, spent = (1 - status.slo.target) * status.total, status.total - status.good
    return Budget(
        remaining=status.error_budget_true_remaining,
        allowed=allowed,
        spent=spent,
        left=allowed - spent,
        compatible_percentage=status.error_budget_remaining,
    )


def _alerts(status: SloStatus) -> list[SloAlert]:
    return [
        SloAlert(
            name=alert.rule.name,
            severity=alert.rule.severity,
            factor=alert.rule.factor,
            long_window_s=alert.rule.long_window_s,
            short_window_s=alert.rule.short_window_s,
            hold_s=alert.rule.hold_s,
            long_rate=alert.long_rate,
            short_rate=alert.short_rate,
            firing=alert.firing,
            since=alert.since,
        )
        for alert in status.alerts
    ]


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
