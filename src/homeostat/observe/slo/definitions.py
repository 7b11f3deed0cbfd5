"""Objectives in the compatible interface's few words, and the five that are there from the start."""

import hashlib
from datetime import datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Final

from pydantic import ValidationError

from homeostat.core.errors import BadRequestError
from homeostat.core.slo import Comparison, Selector, Sli, SliKind, Slo, SloSource
from homeostat.observe.slo.windows import duration_text

HEALING_SERVICE: Final = "self-healing-engine"
WINDOW_DAYS: Final = 30
WINDOW_DAYS_MAX: Final = 90
LATENCY_MAX_MS: Final = 3_600_000
METRIC_LENGTH_MAX: Final = 255


def default_slos(created_at: datetime) -> list[Slo]:
    """The five of IAC Dharma 3.0. One whose service sends no telemetry is unknown."""
    rows = (
        (
            "API Gateway Availability",
            "api-gateway",
            "Requests are answered without error",
            99.9,
            "availability",
            99.9,
        ),
        ("API Response Time", "api-gateway", "Requests are answered within half a second", 95.0, "latency", 500.0),
        ("Database Query Performance", "postgres", "Queries are answered within 100 ms", 99.0, "latency", 100.0),
        ("Error Rate SLO", "api-gateway", "At most one request in a hundred fails", 99.0, "error_rate", 1.0),
        ("Self-Healing Success Rate", HEALING_SERVICE, "Remediations help", 85.0, "success_rate", 85.0),
    )
    return [
        compatible_slo(
            stable_id(f"default/{name}"),
            name,
            service,
            description=description,
            target_percentage=target,
            metric=metric,
            threshold=threshold,
            window_days=WINDOW_DAYS,
            created_at=created_at,
        ).model_copy(update={"source": SloSource.DEFAULT})
        for name, service, description, target, metric, threshold in rows
    ]


def compatible_slo(
    slo_id: str,
    name: str,
    service: str,
    *,
    description: str,
    target_percentage: float,
    metric: str,
    threshold: float,
    window_days: int,
    created_at: datetime,
) -> Slo:
    """An objective out of the compatible interface's arguments. Raises BadRequestError for what cannot be one."""
    if not 0 < target_percentage < 100:
        raise BadRequestError(
            f"target_percentage is {target_percentage:g}: it must lie between 0 and 100, both excluded. "
            "100 % would leave no budget: choose 99.9, for example."
        )
    if not 1 <= window_days <= WINDOW_DAYS_MAX:
        raise BadRequestError(f"window_days is {window_days}: choose 1 to {WINDOW_DAYS_MAX}.")
    return built(
        id=slo_id,
        name=name,
        service=service,
        description=description,
        target=ratio(target_percentage),
        window=timedelta(days=window_days),
        sli=_sli(service, metric, threshold),
        metric=metric,
        threshold=threshold,
        created_at=created_at,
    )


def built(**fields: object) -> Slo:
    """An objective out of its fields. Raises BadRequestError naming each that does not fit."""
    try:
        return Slo.model_validate(fields)
    except ValidationError as error:
        raise BadRequestError(_told(error)) from error


def _told(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in error.errors())


def stable_id(text: str) -> str:
    """``slo-<8 hex>``, the same for the same text."""
    return f"slo-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def ratio(percentage: float) -> float:
    """99.9 as 0.999: divided in decimal, because in binary it would not be."""
    return float(Decimal(str(percentage)) / 100)


def percentage(share: float) -> float:
    """0.999 as 99.9."""
    return float(Decimal(str(share)) * 100)


def metric_word(slo: Slo) -> tuple[str, float | None]:
    """What the compatible interface calls an objective's indicator, and its threshold."""
    if slo.metric:
        return slo.metric, slo.threshold
    sli = slo.sli
    match sli.kind:
        case SliKind.LATENCY:
            return "latency", sli.threshold_ms
        case SliKind.HEALING:
            return "success_rate", percentage(slo.target)
        case SliKind.METRIC_THRESHOLD if sli.metric is not None:
            return sli.metric.metric, sli.threshold
        case SliKind.METRIC_RATIO if sli.total is not None:
            return sli.total.metric, None
        case _:
            return "availability", percentage(slo.target)


def indicator_text(slo: Slo) -> str:
    """What is counted, in words."""
    sli = slo.sli
    what = f"requests of {sli.service or slo.service}" + (f" ({sli.operation})" if sli.operation else "")
    match sli.kind:
        case SliKind.AVAILABILITY:
            text = f"{what} without error"
        case SliKind.LATENCY:
            text = f"{what} answered within {sli.threshold_ms or 0:g} ms"
        case SliKind.HEALING:
            text = "remediations that helped"
        case SliKind.METRIC_RATIO:
            part = f"{_named(sli.good)} (good)" if sli.good else f"{_named(sli.bad)} (bad)"
            text = f"{part} of {_named(sli.total)}"
        case SliKind.METRIC_THRESHOLD:
            sign = {"lt": "<", "lte": "≤", "gt": ">", "gte": "≥"}[sli.comparison or "lte"]
            text = f"minutes with {_named(sli.metric)} {sign} {sli.threshold or 0:g}"
    if slo.slice_target is None:
        return text
    return f"slices of {duration_text(slo.slice_s)} in which at least {percentage(slo.slice_target):g} % are {text}"


def _named(selector: Selector | None) -> str:
    if selector is None:
        return "nothing"
    labels = {**({"service": selector.service} if selector.service else {}), **selector.labels}
    inner = ", ".join(f'{name}="{value}"' for name, value in labels.items())
    return f"{selector.metric}{{{inner}}}" if inner else selector.metric


def _sli(service: str, metric: str, threshold: float) -> Sli:
    if metric == "latency":
        if not 0 < threshold <= LATENCY_MAX_MS:
            raise BadRequestError(
                f"threshold is {threshold:g}: a latency in milliseconds is above 0 and at most an hour, e.g. 500."
            )
        return Sli(kind=SliKind.LATENCY, threshold_ms=threshold)
    if metric == "success_rate" and service == HEALING_SERVICE:
        return Sli(kind=SliKind.HEALING)
    if metric in {"availability", "error_rate", "success_rate"}:
        return Sli(kind=SliKind.AVAILABILITY)
    if len(metric) > METRIC_LENGTH_MAX or not isfinite(threshold):
        raise BadRequestError(
            f"metric {metric[:60]!r}: a name has {METRIC_LENGTH_MAX} characters, a threshold is finite."
        )
    return Sli(
        kind=SliKind.METRIC_THRESHOLD,
        metric=Selector(metric=metric, service=service),
        comparison=Comparison.LTE,
        threshold=threshold,
    )
