"""What can be read out of traces: where the time went, and what sets one group of traces apart from another.

Computed by ``observe.analysis`` from stored traces, answered by the API as it is. Durations are in milliseconds.
"""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from homeostat.core.models import Model


class SpanTime(Model):
    """One span of an analysed trace, in the order of the trace's spans."""

    span_id: str
    parent_span_id: str | None  # under which it is shown; None: a root, or its parent is missing or its own child
    depth: int  # 0 for a root
    start_ms: float  # from the start of the trace, after the shift
    duration_ms: float
    self_ms: float  # its duration less the time in which a child of it ran
    critical_ms: float  # how long it was what the trace waited for
    shift_ms: float = 0.0  # added to the span's clock for display: it said that the span began before its parent


class CriticalSegment(Model):
    """A piece of the critical path: from ``start_ms`` on the trace waited for this span itself."""

    span_id: str
    service: str
    operation: str
    start_ms: float  # from the start of the trace
    duration_ms: float


class OperationTime(Model):
    """The spans of one operation of a trace, added up."""

    service: str
    operation: str
    spans: int
    errors: int
    total_ms: float  # their durations, added up
    self_ms: float
    self_share: float  # of the self time of all spans, 0..1
    critical_ms: float


class TraceAnalysis(Model):
    """Where the time of a trace went."""

    trace_id: str
    start: datetime
    duration_ms: float
    spans: tuple[SpanTime, ...]
    critical_path: tuple[CriticalSegment, ...]  # in order of time; without gaps from the root's start to its end
    operations: tuple[OperationTime, ...]  # the most self time first
    notes: tuple[str, ...] = ()  # what a reader should know of the trace: missing parents, shifted clocks


class SpanChange(StrEnum):
    """What became of a span from the left trace to the right."""

    SAME = "same"
    SLOWER = "slower"
    FASTER = "faster"
    ADDED = "added"
    MISSING = "missing"


class SpanDifference(Model):
    """A span of one trace and the one at its place in the other. Parents come before their children."""

    depth: int
    service: str
    operation: str
    change: SpanChange
    left_span_id: str | None
    right_span_id: str | None
    left_ms: float | None
    right_ms: float | None
    delta_ms: float | None  # right less left
    left_self_ms: float | None
    right_self_ms: float | None
    left_error: bool | None
    right_error: bool | None


class OperationDifference(Model):
    """An operation in two traces, or in two groups of traces: per trace, then."""

    service: str
    operation: str
    left_calls: float
    right_calls: float
    left_self_ms: float
    right_self_ms: float
    delta_self_ms: float  # right less left

    @classmethod
    def between(
        cls, service: str, operation: str, left: tuple[float, float], right: tuple[float, float]
    ) -> "OperationDifference":
        """Of the calls and the self time (ms) on both sides."""
        return cls(
            service=service,
            operation=operation,
            left_calls=left[0],
            right_calls=right[0],
            left_self_ms=left[1],
            right_self_ms=right[1],
            delta_self_ms=right[1] - left[1],
        )


class TraceComparison(Model):
    """Two traces side by side."""

    left_trace_id: str
    right_trace_id: str
    left_ms: float
    right_ms: float
    delta_ms: float
    changes: dict[SpanChange, int]  # how many spans of each kind
    spans: tuple[SpanDifference, ...]
    operations: tuple[OperationDifference, ...]  # the largest difference of self time first
    notes: tuple[str, ...] = ()


class Split(StrEnum):
    """What divides the traces into those that are asked about and those they are held against."""

    LATENCY = "latency"  # slow against the rest
    ERRORS = "errors"  # with an error against without
    TIME = "time"  # one time against another


class FeatureKind(StrEnum):
    """What a trace can have."""

    ATTRIBUTE = "attribute"
    RESOURCE = "resource"
    OPERATION = "operation"
    ERROR = "error"  # a span of the operation failed


class Difference(Model):
    """Something that the traces in question have more often (or more rarely) than the others."""

    kind: FeatureKind
    service: str
    key: str  # the attribute, or the operation's name
    relation: str  # "=" or ">=", for numbers; empty where there is no value
    value: str
    affected_share: float  # of the traces in question that have it, 0..1, weighted by 1 / sampling probability
    baseline_share: float
    affected_traces: int  # that have it, as they are stored
    baseline_traces: int
    separation: float  # affected_share - baseline_share, -1..1
    p_value: float
    q_value: float  # after Benjamini and Hochberg (1995): the share of false finds among those up to this one
    significant: bool
    example_trace_ids: tuple[str, ...] = ()


class Group(Model):
    """One side."""

    traces: int  # that were looked at
    weight: float  # of how many they are a sample, by their sampling probabilities
    mean_ms: float | None  # None: no traces


class Differences(Model):
    """What is different about the traces in question. In ``operations``, left is the baseline."""

    split: Split
    threshold_ms: float | None  # where slow begins, for ``Split.LATENCY``
    affected: Group
    baseline: Group
    differences: tuple[Difference, ...]  # the clearest first
    operations: tuple[OperationDifference, ...]  # where the additional time goes: the most of it first
    notes: tuple[str, ...] = ()


class Bottleneck(Model):
    """An operation and the time that is spent in it itself, over many traces, weighted."""

    service: str
    operation: str
    self_ms: float  # over all traces
    self_share: float  # of the self time of all operations, 0..1
    self_ms_per_trace: float  # over the traces that have it
    self_p95_ms: float  # of a span
    critical_ms: float
    critical_share: float  # of the critical paths of all traces, 0..1
    spans: float
    traces: float
    errors: float
    example_trace_ids: tuple[str, ...] = ()  # in which it took longest


class Bottlenecks(Model):
    """Where the time of many traces goes, the most self time first."""

    traces: Group
    bottlenecks: tuple[Bottleneck, ...]
    notes: tuple[str, ...] = ()


class LatencyPoint(Model):
    """One step. All None: what happened then is not known."""

    time: datetime  # its beginning
    requests: int | None
    errors: int | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    counts: tuple[int, ...] | None  # requests by bucket of the heat map


class Bucket(Model):
    """A row of the heat map: durations in ``(lower_ms, upper_ms]``."""

    lower_ms: float
    upper_ms: float | None  # None: and all that is longer


class Latency(Model):
    """Durations of a service or an operation over time, of every request, whatever was sampled."""

    service: str
    operation: str | None
    step_s: int = Field(ge=1)
    buckets: tuple[Bucket, ...]  # from the shortest to the longest that occurred
    points: tuple[LatencyPoint, ...]


class Dependency(Model):
    """Calls from one service to another."""

    caller: str
    callee: str
    requests: int
    errors: int
    error_rate: float | None
    mean_ms: float | None


class RequestFigures(Model):
    """Requests to a service, or to one operation of it, over a range of time. Percentiles are None without any."""

    service: str
    operation: str | None  # None: all of the service
    requests: int
    errors: int
    error_rate: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class Dependencies(Model):
    """Who called whom in ``[start, end)``, of every span, whatever was sampled."""

    start: datetime
    end: datetime
    known_s: float | None  # for how many seconds of it somebody was counting: what a rate divides by; None: never
    services: tuple[RequestFigures, ...]  # by name
    dependencies: tuple[Dependency, ...]


class OperationFigures(Model):
    """The operations of a service in ``[start, end)``, of every request, whatever was sampled."""

    start: datetime
    end: datetime
    operations: tuple[RequestFigures, ...]  # the one that took most time in all first
