"""What ``correlator`` finds true at one moment: the three tracing alerts and the contract's correlation rule. Pure.

A condition that is not known (nobody was counting, or nothing was sent) is neither begun nor ended.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from homeostat.core.config import AnomalyConfig, TracingAlertsConfig
from homeostat.core.events import EventSeverity, EventType
from homeostat.core.metrics import MetricSeries
from homeostat.core.models import Scalar, TraceSummary
from homeostat.core.red import HISTOGRAM_BUCKETS, RedPoint, bucket_upper_ms

TRACING: Final = "tracing|"
ANOMALY: Final = "anomaly|"
EXAMPLES_MAX: Final = 5
LABELS_TEXT_MAX: Final = 500

STEPS: Final = 5
"""The time that a tracing alert must hold is looked at in so many steps: each of them must be bad."""

P95: Final = 0.95

Steps = Sequence[Mapping[str, RedPoint]]
"""RED of each service, by step, oldest first."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that holds now; ``correlator`` makes an event of it."""

    fingerprint: str
    type: EventType
    severity: EventSeverity
    title: str
    description: str
    services: tuple[str, ...]
    since_s: float  # Unix time at which it began, as far as one can see
    traces: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    data: dict[str, Scalar] = field(default_factory=dict[str, Scalar])


def tracing_alerts(
    steps: Steps, config: TracingAlertsConfig, start_s: int, step_s: int, firing: Collection[str]
) -> list[Condition]:
    """Errors per second and P95 of each service, over ``len(steps)`` steps from ``start_s``.

    An alert begins when every step is bad, and lasts until a step with requests is not. ``firing``: the fingerprints
    of those that last.
    """
    found: list[Condition] = []
    for service in sorted({name for step in steps for name in step}):
        points = [step.get(service) for step in steps]
        for rule in (_errors, _latency):
            condition = rule(service, points, config, start_s, step_s)
            bad = condition.judged(again=condition.fingerprint in firing)
            if bad:
                found.append(condition.condition())
    return found


@dataclass(frozen=True, slots=True)
class _Judged:
    """One rule on one service, step by step. A value of None: no requests in that step."""

    fingerprint: str
    service: str
    name: str
    title: str
    metric: str
    severity: EventSeverity
    values: tuple[float | None, ...]
    threshold: float
    unit: str
    start_s: float
    length_s: float

    def judged(self, *, again: bool) -> bool:
        known = [value for value in self.values if value is not None]
        if again:  # silence after trouble is no proof of health, but a whole time of silence is another alert
            return bool(known) and known[-1] > self.threshold
        enough = self.values[-1] is not None and 2 * len(known) > len(self.values)
        return enough and all(value > self.threshold for value in known)

    def condition(self) -> Condition:
        worst = max(value for value in self.values if value is not None)
        return Condition(
            fingerprint=self.fingerprint,
            type=EventType.ALERT,
            severity=self.severity,
            title=self.title,
            description=(
                f"{self.metric} of {self.service} was above {self.threshold:g} {self.unit} for "
                f"{self.length_s:.0f} s, at worst {worst:.1f} {self.unit}."
            ),
            services=(self.service,),
            since_s=self.start_s,
            metrics=(self.metric,),
            data={"alertname": self.name, "threshold": self.threshold, "unit": self.unit},
        )


def _errors(
    service: str, points: Sequence[RedPoint | None], config: TracingAlertsConfig, start_s: int, step_s: int
) -> _Judged:
    values = tuple(point.errors / step_s if point is not None and point.requests else None for point in points)
    return _Judged(
        fingerprint=f"{TRACING}errors|{service}",
        service=service,
        name="HighTraceErrorRate",
        title=f"{service} fails more than {config.errors_per_s:g} requests a second",
        metric="errors_per_s",
        severity=EventSeverity.CRITICAL,
        values=values,
        threshold=config.errors_per_s,
        unit="per second",
        start_s=start_s,
        length_s=step_s * len(points),
    )


def _latency(
    service: str, points: Sequence[RedPoint | None], config: TracingAlertsConfig, start_s: int, step_s: int
) -> _Judged:
    return _Judged(
        fingerprint=f"{TRACING}latency|{service}",
        service=service,
        name="HighTraceLatency",
        title=f"{service} answers slower than {config.p95_ms:g} ms (P95)",
        metric="latency_p95_ms",
        severity=EventSeverity.WARNING,
        values=tuple(point.quantile_ms(P95) if point is not None else None for point in points),
        threshold=config.p95_ms,
        unit="ms",
        start_s=start_s,
        length_s=step_s * len(points),
    )


def silence(latest_s: int | None, listening_s: float, now_s: float, config: TracingAlertsConfig) -> Condition | None:
    """No traces at all for as long, once there had been some, and while somebody listened."""
    quiet_s = config.hold.total_seconds()
    if latest_s is None or now_s - max(float(latest_s), listening_s) < quiet_s:
        return None
    return Condition(
        fingerprint=f"{TRACING}silence",
        type=EventType.ALERT,
        severity=EventSeverity.CRITICAL,
        title="No traces arrive",
        description=f"No span has ended within the last {quiet_s:.0f} s. Senders or their way to Homeostat are down.",
        services=(),
        since_s=max(float(latest_s), listening_s),
        data={"alertname": "NoTraces"},
    )


# -- the correlation rule -----------------------------------------------------------------------------------


def has_slow(point: RedPoint, slow_ms: float) -> bool:
    """Was a request of this service slower? By its histogram: an edge of a bucket near the limit counts as slower."""
    return any(
        point.histogram[index]
        for index in range(HISTOGRAM_BUCKETS - 1, -1, -1)
        if bucket_upper_ms(index) > slow_ms and index < len(point.histogram)
    )


def slow_traces(summaries: Sequence[TraceSummary], config: AnomalyConfig) -> list[Condition]:
    """Traces slower than the limit, one anomaly for each service at which they entered."""
    by_entry: dict[str, list[TraceSummary]] = {}
    for summary in summaries:
        if summary.duration_ms > config.slow_trace_ms:
            by_entry.setdefault(summary.root_service, []).append(summary)
    return [_slow(entry, sorted(traces, key=lambda one: one.start), config) for entry, traces in by_entry.items()]


def _slow(entry: str, traces: Sequence[TraceSummary], config: AnomalyConfig) -> Condition:
    slowest = max(traces, key=lambda one: one.duration_ms)
    services = dict.fromkeys((entry, *(service for trace in traces for service in trace.services)))
    return Condition(
        fingerprint=f"{ANOMALY}latency|{entry}",
        type=EventType.ANOMALY,
        severity=EventSeverity.WARNING,
        title="High Latency Detected",
        description=(
            f"{len(traces)} trace{'s' if len(traces) != 1 else ''} through {entry} took longer than "
            f"{config.slow_trace_ms:g} ms; the slowest {slowest.duration_ms:.0f} ms in {slowest.root_operation}."
        ),
        services=tuple(services),
        since_s=traces[0].start.timestamp(),
        traces=tuple(trace.trace_id for trace in traces[:EXAMPLES_MAX]),
        metrics=("latency_p95_ms",),
        data={"alertname": "HighLatencyDetected", "entry": entry, "threshold_ms": config.slow_trace_ms},
    )


def elevated_errors(points: Sequence[RedPoint], config: AnomalyConfig) -> list[Condition]:
    """Services of which too many requests fail, with as many requests as it takes to say so."""
    return [
        _elevated(point, rate * 100, config)
        for point in points
        if (rate := point.error_rate) is not None
        and point.requests >= config.min_requests
        and rate * 100 > config.error_rate_percent
    ]


def _elevated(point: RedPoint, percent: float, config: AnomalyConfig) -> Condition:
    return Condition(
        fingerprint=f"{ANOMALY}errors|{point.service}",
        type=EventType.ALERT,
        severity=EventSeverity.CRITICAL,
        title="Elevated Error Rate",
        description=(
            f"{percent:.1f} % of {point.requests} requests to {point.service} failed; "
            f"more than {config.error_rate_percent:g} % is too much."
        ),
        services=(point.service,),
        since_s=point.start_s,
        metrics=("error_rate",),
        data={"alertname": "ElevatedErrorRate", "threshold_percent": config.error_rate_percent},
    )


def elevated_metric(series: Sequence[MetricSeries], config: AnomalyConfig, since_s: float) -> list[Condition]:
    """Series of a metric ``error_rate``, in percent, whose newest value is too high: others may measure it too."""
    newest = ((one, next((value for value in reversed(one.values) if value is not None), None)) for one in series)
    return [
        _measured(one, value, config, since_s)
        for one, value in newest
        if value is not None and value > config.error_rate_percent
    ]


def metric_fingerprint(series: MetricSeries) -> str:
    """Under which a series of ``error_rate`` is told."""
    where = ", ".join(f"{key}={text}" for key, text in sorted(series.labels.items()))
    return f"{ANOMALY}errors|metric|{where}"[:LABELS_TEXT_MAX]


def _measured(series: MetricSeries, value: float, config: AnomalyConfig, since_s: float) -> Condition:
    service = next((series.labels[key] for key in ("service", "service.name") if series.labels.get(key)), "")
    where = ", ".join(f"{key}={text}" for key, text in sorted(series.labels.items()))
    return Condition(
        fingerprint=metric_fingerprint(series),
        type=EventType.ALERT,
        severity=EventSeverity.CRITICAL,
        title="Elevated Error Rate",
        description=f"{series.name} ({where}) is {value:g}; more than {config.error_rate_percent:g} is too much.",
        services=(service,) if service and service != "unknown_service" else (),
        since_s=since_s,
        metrics=(series.name,),
        data={"alertname": "ElevatedErrorRate", "threshold_percent": config.error_rate_percent},
    )


def together(found: Sequence[Condition]) -> list[Condition]:
    """Slow traces and failing requests that share a service are an incident."""
    slow = [one for one in found if one.fingerprint.startswith(f"{ANOMALY}latency|")]
    failing = [one for one in found if one.fingerprint.startswith(f"{ANOMALY}errors|")]
    return [_incident(one, errors) for one in slow if (errors := [two for two in failing if _share(one, two)])]


def _share(one: Condition, other: Condition) -> bool:
    return bool(set(one.services) & set(other.services))


def _incident(slow: Condition, failing: Sequence[Condition]) -> Condition:
    entry = str(slow.data["entry"])
    names = ", ".join(sorted({service for one in failing for service in one.services}))
    return Condition(
        fingerprint=f"{ANOMALY}both|{entry}",
        type=EventType.INCIDENT,
        severity=EventSeverity.CRITICAL,
        title=f"Slow and failing: {entry}",
        description=f"Slow traces through {entry} come together with failing requests to {names}.",
        services=tuple(dict.fromkeys((*slow.services, *(service for one in failing for service in one.services)))),
        since_s=min(slow.since_s, *(one.since_s for one in failing)),
        traces=slow.traces,
        metrics=("latency_p95_ms", "error_rate"),
        data={"alertname": "SlowAndFailing", "entry": entry},
    )
