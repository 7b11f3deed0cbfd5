"""What the stages of the loop hand to each other. Frozen; times are aware UTC datetimes."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

Scalar = str | int | float | bool | None
"""A value small enough to stand in an audit line, a metric or an event property."""


class Model(BaseModel):
    """Base of every boundary model: frozen, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# -- observe ------------------------------------------------------------------------------------------------


class Signal(Model):
    """One measured value. ``value`` is None when there was nothing to measure: unknown, not zero."""

    resource: str
    name: str  # error_rate | latency_p95_ms | up | ...
    value: float | None
    unit: str  # ratio | ms | bool | ...
    time: datetime
    sample_size: int = 0
    operation: str | None = None


class ServiceStatus(StrEnum):
    """Health of a service. UNKNOWN is what no data means."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"


# -- detect -------------------------------------------------------------------------------------------------


class Severity(StrEnum):
    """How bad, in the words of the original contract."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class IssueType(StrEnum):
    """What a detector can find."""

    HIGH_ERROR_RATE = "high_error_rate"
    PROCESS_CRASH = "process_crash"
    HIGH_LATENCY = "high_latency"
    HOST_STARVED = "host_starved"  # too little processor time on the machine of services that are slow


class Evidence(Model):
    """The numbers behind a finding, so that a reader can check it."""

    signal: str  # the Signal.name that was measured
    observed: float | None
    threshold: float
    unit: str
    sample_size: int = 0
    window_s: float = 0.0
    lower_bound: float | None = None  # of the observed value, at the detector's confidence
    baseline: float | None = None
    operation: str | None = None
    example_trace_ids: tuple[str, ...] = ()  # lower-case hex, newest first
    detail: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)  # what a sensor measured beside it, e.g. exit_code


class Finding(Model):
    """One detector's word on one resource at one moment. ``bad`` None means: not enough data to say."""

    detector: str
    type: IssueType
    resource: str
    bad: bool | None
    severity: Severity
    evidence: Evidence
    time: datetime
    first_bad_at: datetime | None = None


class IssueStatus(StrEnum):
    """An issue opens once and closes once."""

    OPEN = "open"
    CLOSED = "closed"


class Issue(Model):
    """One detector's finding on one resource, from its opening to its close."""

    id: str
    type: IssueType
    severity: Severity
    resource: str
    fingerprint: str  # "<type>|<resource>": at most one open issue has it
    title: str
    description: str
    evidence: Evidence
    status: IssueStatus = IssueStatus.OPEN
    first_bad_at: datetime
    opened_at: datetime
    updated_at: datetime
    closed_at: datetime | None = None
    incident_id: str | None = None


class RootCause(Model):
    """Where an incident comes from, and how one knows."""

    resource: str
    confidence: float = Field(ge=0.0, le=1.0)
    reason: str  # one sentence for a person
    evidence: tuple[str, ...] = ()
    self_error_share: float | None = None  # share of the errors that began here, 0..1
    self_time_share: float | None = None  # share of the time that was spent here, 0..1
    example_trace_ids: tuple[str, ...] = ()


class IncidentStatus(StrEnum):
    """OPEN until every issue has closed; ESCALATED when only a person can help."""

    OPEN = "open"
    ESCALATED = "escalated"
    CLOSED = "closed"


class Incident(Model):
    """Issues that belong together, their cause, and what became of them."""

    id: str
    title: str
    status: IncidentStatus
    severity: Severity
    issue_ids: tuple[str, ...]
    affected_services: tuple[str, ...]
    root_cause: RootCause | None
    first_bad_at: datetime
    opened_at: datetime
    updated_at: datetime
    closed_at: datetime | None = None
    healed: bool | None = None  # True: closed after a verified action. False: closed by itself. None: open.
    expired: bool = False  # of some issue nothing was heard for a day: a close that says nothing of being well


class TimelineKind(StrEnum):
    """What can happen in the life of an incident."""

    FAULT = "fault"
    DETECTED = "detected"
    UPDATED = "updated"
    CHANGED = "changed"  # a deployment or flag change, shown for correlation
    PLANNED = "planned"
    APPROVAL = "approval"
    ACTED = "acted"
    VERIFIED = "verified"
    NOT_HELPED = "not_helped"
    UNDONE = "undone"
    ESCALATED = "escalated"
    CLOSED = "closed"
    RECOVERED = "recovered"  # what the healing had changed was put back (the system is re-armed)


class TimelineEntry(Model):
    """One line of the story. ``incident_id`` is None for what concerns the whole system."""

    id: str
    time: datetime
    kind: TimelineKind
    title: str
    detail: str = ""
    incident_id: str | None = None
    resource: str | None = None
    data: dict[str, Scalar] = Field(default_factory=dict)


# -- heal ---------------------------------------------------------------------------------------------------


class Risk(StrEnum):
    """What an action can break."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class EffectClass(StrEnum):
    """What may be done with a step that a crash interrupted."""

    IDEMPOTENT = "idempotent"  # do it again
    PROBEABLE = "probeable"  # look whether it happened, then do it or not
    OPAQUE = "opaque"  # stop and ask a person


class ActionSpec(Model):
    """A catalogue entry of a driver."""

    name: str
    title: str
    driver: str
    resource_kinds: tuple[str, ...]
    answers: tuple[IssueType, ...]
    risk: Risk
    effect: EffectClass
    undo: str | None  # how it is taken back, in words; None: it can't be
    expected_duration_s: float
    settle_s: float = 1.0  # telemetry younger than this after the act still shows the time before it
    verify_within_s: float = 30.0  # not better by then means: it did not help
    tries: int = Field(default=1, ge=1)  # how often within one incident, where it could not be done or did not hold


class PolicyMode(StrEnum):
    """The ladder of trust."""

    OBSERVE = "observe"  # detect and tell
    SUGGEST = "suggest"  # also show what would be done
    APPROVE = "approve"  # do it when a person says so
    AUTO = "auto"  # do it


class PlanStep(Model):
    """One candidate: what would be done to what, and why."""

    action: str
    resource: str
    parameters: dict[str, Scalar] = Field(default_factory=dict)
    why: str
    confidence: float = Field(ge=0.0, le=1.0)
    issue_id: str | None = None  # the issue that it answers, whose signal will judge it


class Plan(Model):
    """The ordered candidates for one incident. ``digest`` is the SHA-256 of the steps: approvals bind to it."""

    id: str
    incident_id: str
    created_at: datetime
    steps: tuple[PlanStep, ...]
    digest: str


class RunStatus(StrEnum):
    """Where a run is. The terminal states are VERIFIED, UNDONE, FAILED, REJECTED and IN_DOUBT."""

    AWAITING_APPROVAL = "awaiting_approval"
    INTENT = "intent"  # journalled, perhaps done
    ACTED = "acted"  # done, not yet judged
    VERIFIED = "verified"  # the signal is good again
    NOT_HELPED = "not_helped"  # judged; the undo is still to come
    UNDONE = "undone"
    FAILED = "failed"
    REJECTED = "rejected"
    IN_DOUBT = "in_doubt"  # a person has to look


TERMINAL_RUN_STATUSES = frozenset(
    {RunStatus.VERIFIED, RunStatus.UNDONE, RunStatus.FAILED, RunStatus.REJECTED, RunStatus.IN_DOUBT}
)


class Verdict(Model):
    """What the signal says after an act."""

    helped: bool | None  # None: there was no data to judge by
    signal: str
    before: float | None
    after: float | None
    unit: str
    sample_size: int
    reason: str
    judged_at: datetime
    harmed: tuple[str, ...] = ()  # services that depend on what was acted upon, and became worse through it


class Run(Model):
    """One durable execution of one step of a plan."""

    id: str
    incident_id: str
    issue_id: str
    plan_id: str
    plan_digest: str
    step: PlanStep
    effect: EffectClass
    status: RunStatus
    attempt: int = 1  # which candidate of the incident this is, from 1
    triggered_by: str = "homeostat"
    approved_by: str | None = None  # who said yes, where the policy asks for a person
    dry_run: bool = False
    created_at: datetime
    intent_at: datetime | None = None
    acted_at: datetime | None = None
    finished_at: datetime | None = None
    before: dict[str, Scalar] = Field(default_factory=dict)  # what probe and undo need to know
    result: dict[str, Scalar] = Field(default_factory=dict)
    verdict: Verdict | None = None
    error: str | None = None
    rearmed_at: datetime | None = None  # when recovery put back what this run had changed


# -- flags --------------------------------------------------------------------------------------------------

AUTOMATIC = "homeostat"
"""``triggered_by`` of what healing and recovery do by themselves: a flag changed so is changed for now only."""


class DeploymentEvent(Model):
    """A change told as Dynatrace's ``CUSTOM_DEPLOYMENT``, under the names of its events interface."""

    eventType: str = "CUSTOM_DEPLOYMENT"  # noqa: N815 - the interface's names
    title: str
    timeout: int  # minutes for which problems are related to the event
    entitySelector: str  # noqa: N815
    properties: dict[str, str]


class FlagChange(Model):
    """One audited change of a feature flag."""

    id: str
    time: datetime
    flag: str
    previous_value: bool
    new_value: bool
    reason: str
    triggered_by: str
    problem_id: str | None = None
    event: DeploymentEvent | None = None  # None: recorded before events were kept
    event_sent: bool = False  # to Dynatrace, which needs credentials
    event_detail: str = ""


# -- questions to the telemetry store -----------------------------------------------------------------------


class TraceQuery(Model):
    """A search. All conditions hold together; a trace matches when one of its spans matches them all."""

    start: datetime
    end: datetime
    service: str | None = None
    operation: str | None = None
    min_duration_ms: float | None = None
    max_duration_ms: float | None = None
    errors_only: bool = False
    attributes: dict[str, str] = Field(default_factory=dict)
    text: str | None = None  # occurs, case-insensitive, in the name, the status message, an attribute or an event
    limit: int = Field(default=20, ge=1, le=1000)
    cursor: str | None = None  # a page's ``next_cursor``


class TraceSummary(Model):
    """One row of a search result."""

    trace_id: str
    root_service: str
    root_operation: str
    start: datetime
    duration_ms: float
    span_count: int
    error_count: int
    services: tuple[str, ...]
    sampling_probability: float = Field(default=1.0, gt=0, le=1)  # each such trace stands for 1 / probability


class TracePage(Model):
    """Part of the answer to a search, newest first. ``next_cursor`` None: there is no more."""

    traces: tuple[TraceSummary, ...]
    next_cursor: str | None


class SpanEvent(Model):
    """Something that happened inside a span."""

    time: datetime
    name: str
    attributes: dict[str, str] = Field(default_factory=dict)


class SpanLink(Model):
    """A pointer from a span to another trace."""

    trace_id: str
    span_id: str
    attributes: dict[str, str] = Field(default_factory=dict)


class Span(Model):
    """One span, ids in lower-case hex."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    kind: str  # internal | server | client | producer | consumer | unspecified
    service: str
    start: datetime
    start_unix_nano: int
    duration_ms: float
    status: str  # unset | ok | error
    status_message: str = ""
    attributes: dict[str, str] = Field(default_factory=dict)
    resource: dict[str, str] = Field(default_factory=dict)
    scope: str = ""
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()
    dropped_attributes: int | None = None  # cut off by the sender or at intake; None: the store does not know


class Trace(Model):
    """All spans of a trace that are stored, by start time."""

    trace_id: str
    spans: tuple[Span, ...]
    sampling_probability: float = Field(default=1.0, gt=0, le=1)
    sampling_reason: str = ""  # the policy that kept it; empty: no sampling was on


class StorageStatus(Model):
    """How the telemetry store is. ``full``: nothing is acknowledged until there is room again.

    ``failing``: the last write failed for another reason, which ``detail`` names.
    """

    state: str  # ok | full | failing | unknown
    detail: str
    used_bytes: int | None
    free_bytes: int | None


class IngestCounters(Model):
    """What has come in since the start."""

    requests: int = 0  # acknowledged
    spans_received: int = 0  # acknowledged, of these requests
    spans_stored: int = 0  # in segments
    spans_sampled_out: int = 0  # decided not to be kept; they are in RED, topology and SLOs all the same
    traces_kept_undecided: int = 0  # because the policies of sampling failed
    metric_points_received: int = 0
    log_records_received: int = 0
    request_duplicates: dict[str, int] = Field(default_factory=dict)  # by signal: came again, were not stored again
    spans_per_s: float | None = None  # acknowledged, over the last ten seconds; None before the first have passed
    refused: dict[str, int] = Field(default_factory=dict)  # requests (or spans: zero_id, id_length) by reason
    services: int = 0


# -- drivers ------------------------------------------------------------------------------------------------


class Target(Model):
    """A candidate that an action offers to the planner."""

    resource: str
    parameters: dict[str, Scalar] = Field(default_factory=dict)
    why: str
    confidence: float = Field(ge=0.0, le=1.0)


class SensorEvent(Model):
    """Something a sensor saw happen, at once (not polled from telemetry)."""

    resource: str
    type: IssueType
    bad: bool
    time: datetime
    detail: str
    metrics: dict[str, float] = Field(default_factory=dict)


# -- live ---------------------------------------------------------------------------------------------------


class BusMessage(Model):
    """One message on the bus. ``topic == "gap"``: messages were lost and state must be read anew."""

    seq: int
    topic: str
    data: dict[str, object]
