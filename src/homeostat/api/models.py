"""The answers of the HTTP API that are not models of ``core`` already. A number that is not known is null."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from homeostat.core.config import LimitConfig, PolicyRule
from homeostat.core.models import (
    Incident,
    Issue,
    Plan,
    PolicyMode,
    Run,
    ServiceStatus,
    StorageStatus,
    TimelineEntry,
)
from homeostat.detect.health import OverallHealth, ServiceHealth


class Answer(BaseModel):
    """Base of every answer. Built from anything that has the fields, so that stages keep their own types."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class ErrorAnswer(Answer):
    """What every refused or failed call answers: what is wrong and what to do."""

    detail: str


class ObserveCounts(Answer):
    """Telemetry in, since the process started."""

    spans_total: int
    spans_per_s: float | None
    services: int


class DetectCounts(Answer):
    """Issues on record."""

    issues_total: int
    issues_open: int


class DecideCounts(Answer):
    """Plans on record, and runs that wait for a person."""

    plans_total: int
    awaiting_approval: int


class ActCounts(Answer):
    """Runs on record that acted or began to."""

    runs_total: int
    in_progress: int


class VerifyCounts(Answer):
    """What measuring said."""

    verified: int
    not_helped: int


class RecoverCounts(Answer):
    """What was put back, and what only a person could help."""

    rearmed: int
    escalated: int


class LoopCounts(Answer):
    """The stages of the loop, counted."""

    observe: ObserveCounts
    detect: DetectCounts
    decide: DecideCounts
    act: ActCounts
    verify: VerifyCounts
    recover: RecoverCounts


class OtlpAddresses(Answer):
    """Where OpenTelemetry data is received; None: not over this protocol."""

    http: str | None
    grpc: str | None


class Overview(Answer):
    """The first page, in one answer."""

    health: OverallHealth
    services: list[ServiceHealth]
    loop: LoopCounts
    storage: StorageStatus
    mode: PolicyMode
    otlp: OtlpAddresses
    generated_at: datetime


class ProcessHealth(Answer):
    """Homeostat's own health."""

    status: str  # ok | degraded
    version: str
    detail: str


class RedAnswerPoint(Answer):
    """One step of a RED series; ``time`` is its beginning. All null: what happened then is not known."""

    time: datetime
    requests: int | None
    errors: int | None
    request_rate: float | None
    error_rate: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class RedSeries(Answer):
    """Rate, errors and duration over time; ``service`` is null for the whole system.

    ``step_s`` is that of the points: at least a minute where older than half an hour, whatever was asked for.
    """

    service: str | None
    step_s: int
    points: list[RedAnswerPoint]


class TopologyNode(Answer):
    """A service in the window."""

    service: str
    status: ServiceStatus
    requests: int
    error_rate: float | None


class TopologyEdge(Answer):
    """Calls from one service to another in the window."""

    caller: str
    callee: str
    requests: int
    errors: int
    mean_ms: float | None


class Topology(Answer):
    """Who calls whom."""

    nodes: list[TopologyNode]
    edges: list[TopologyEdge]


class IncidentDetail(Answer):
    """One incident with all that belongs to it."""

    incident: Incident
    issues: list[Issue]
    runs: list[Run]
    plan: Plan | None
    timeline: list[TimelineEntry]


class Breaker(Answer):
    """Healing stops itself when too much of it fails."""

    open: bool
    reason: str | None = None


class Used(Answer):
    """How much of the limits is used up."""

    last_hour: int


class Policy(Answer):
    """Who and what may act."""

    mode: PolicyMode
    rules: list[PolicyRule]
    limits: LimitConfig
    breaker: Breaker
    used: Used


class ApproveBody(BaseModel):
    """A person says yes to exactly the plan that they saw."""

    who: str = Field(min_length=1, max_length=200)
    plan_digest: str = Field(min_length=1, max_length=200)


class RejectBody(BaseModel):
    """A person says no."""

    who: str = Field(min_length=1, max_length=200)
    reason: str = Field(default="", max_length=2000)


class WhoBody(BaseModel):
    """A person."""

    who: str = Field(min_length=1, max_length=200)
