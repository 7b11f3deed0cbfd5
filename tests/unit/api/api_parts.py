"""The real app over a real state store and bus; rollups, traces and the healer are tables that a test fills in."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import log2

import httpx2

from homeostat.api.app import create_api
from homeostat.api.parts import ApiParts
from homeostat.bus import LocalBus
from homeostat.core.config import LimitConfig, PolicyRule
from homeostat.core.errors import ConflictError, NotFoundError
from homeostat.core.models import (
    ActionSpec,
    EffectClass,
    Evidence,
    Incident,
    IncidentStatus,
    IngestCounters,
    Issue,
    IssueType,
    PlanStep,
    PolicyMode,
    Risk,
    Run,
    RunStatus,
    Severity,
    Span,
    StorageStatus,
    Trace,
    TracePage,
    TraceQuery,
    TraceSummary,
)
from homeostat.core.ports import StateStore
from homeostat.core.red import HISTOGRAM_BUCKETS, Edge, RedMinutes, RedPoint, RedReach
from homeostat.core.trace_columns import TraceColumns
from homeostat.detect.health import HealthReader
from homeostat.heartbeat import Heartbeat
from homeostat.observe.analysis.latency import columns_of

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
BASE_URL = "http://127.0.0.1:4000"


@dataclass
class TestClock:
    """A clock that a test moves."""

    __test__ = False
    time: datetime = NOW
    mono: float = 1000.0

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.mono

    def forward(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
        self.mono += seconds


@dataclass
class RedTable:
    """Rollups of seconds that a test adds; implements RedReader by adding them up."""

    seconds: dict[tuple[str, str, int], RedPoint] = field(default_factory=dict)
    calls: list[tuple[int, Edge]] = field(default_factory=list)
    known_from_s: int | None = None  # None: from the first second that was added
    seconds_from_s: int = 0

    def add(
        self,
        service: str,
        second: int,
        *,
        requests: int = 10,
        errors: int = 0,
        ms: float = 8.0,
        operation: str = "GET /",
    ) -> None:
        histogram = [0] * HISTOGRAM_BUCKETS
        histogram[round(8 * log2(ms * 1000))] = requests
        self.seconds[service, operation, second] = RedPoint(
            service=service,
            operation=operation,
            start_s=second,
            end_s=second + 1,
            requests=requests,
            errors=errors,
            duration_sum_ms=requests * ms,
            histogram=tuple(histogram),
        )

    def services(self) -> list[str]:
        return sorted({service for service, _, _ in self.seconds})

    def reach(self) -> RedReach:
        known_from_s = min((second for _, _, second in self.seconds), default=None)
        return RedReach(known_from_s if self.known_from_s is None else self.known_from_s, self.seconds_from_s)

    def latest_s(self) -> int | None:
        return max((second for _, _, second in self.seconds), default=None)

    def _sum(self, service: str, operation: str | None, start_s: int, end_s: int) -> RedPoint:
        points = [
            point
            for (name, op, second), point in self.seconds.items()
            if name == service and operation in {None, op} and start_s <= second < end_s
        ]
        histograms = [point.histogram for point in points]
        return RedPoint(
            service=service,
            operation=operation,
            start_s=start_s,
            end_s=end_s,
            requests=sum(point.requests for point in points),
            errors=sum(point.errors for point in points),
            duration_sum_ms=sum(point.duration_sum_ms for point in points),
            histogram=tuple(map(sum, zip(*histograms, strict=True))),
        )

    def window(self, start_s: int, end_s: int) -> list[RedPoint]:
        points = [self._sum(service, None, start_s, end_s) for service in self.services()]
        return [point for point in points if point.requests]

    def operations(self, start_s: int, end_s: int) -> list[RedPoint]:
        names = sorted({(service, operation) for service, operation, _ in self.seconds})
        points = [self._sum(service, operation, start_s, end_s) for service, operation in names]
        return [point for point in points if point.requests]

    def series(self, service: str, start_s: int, end_s: int, step_s: int) -> list[RedPoint]:
        return [self._sum(service, None, at, at + step_s) for at in range(start_s, end_s, step_s)]

    def minutes(
        self,
        service: str,
        start_s: int,
        end_s: int,
        *,
        operation: str | None = None,
        histograms: bool = True,
        within_ms: float | None = None,
    ) -> RedMinutes:
        minutes = range(-(-start_s // 60) * 60, end_s, 60)
        points = [self._sum(service, operation, at, at + 60) for at in minutes]
        return columns_of([point for point in points if point.requests])

    def edges(self, start_s: int, end_s: int) -> list[Edge]:
        return [edge for second, edge in self.calls if start_s <= second < end_s]


@dataclass
class TraceTable:
    """Traces that a test adds; remembers the last query."""

    stored: dict[str, Trace] = field(default_factory=dict)
    found: list[TraceSummary] = field(default_factory=list)
    asked: TraceQuery | None = None

    async def trace(self, trace_id: str) -> Trace | None:
        return self.stored.get(trace_id)

    async def trace_columns(self, trace_id: str) -> TraceColumns | None:
        return None

    async def span(self, trace_id: str, span_id: str) -> Span | None:
        spans = self.stored[trace_id].spans if trace_id in self.stored else ()
        return next((span for span in spans if span.span_id == span_id), None)

    async def spans_with(self, trace_id: str, text: str) -> list[str] | None:
        return None

    async def search(self, query: TraceQuery) -> TracePage:
        self.asked = query
        return TracePage(traces=tuple(self.found), next_cursor=None)

    async def traces(self, trace_ids: Sequence[str]) -> list[Trace]:
        return [self.stored[one] for one in trace_ids if one in self.stored]

    async def services(self, since: datetime) -> list[str]:
        return sorted({span.service for trace in self.stored.values() for span in trace.spans})

    async def operations(self, service: str, since: datetime) -> list[tuple[str, str]]:
        spans = [span for trace in self.stored.values() for span in trace.spans if span.service == service]
        return sorted({(span.name, span.kind) for span in spans})

    async def example_traces(
        self, service: str, since: datetime, *, errors: bool, operation: str | None = None, limit: int = 3
    ) -> list[str]:
        return []


@dataclass(frozen=True)
class PolicyState:
    """What the healer says of its policy."""

    mode: PolicyMode
    rules: tuple[PolicyRule, ...] = (PolicyRule(action="restart_process", mode=PolicyMode.APPROVE),)
    limits: LimitConfig = field(default_factory=LimitConfig)
    breaker: Mapping[str, object] = field(default_factory=lambda: {"open": False, "reason": None})
    used: Mapping[str, int] = field(default_factory=lambda: {"last_hour": 0})


@dataclass
class HealerTable:
    """Writes down what it is told, in the state store as the real one does."""

    state: StateStore
    auto: bool = True
    told: list[tuple[str, ...]] = field(default_factory=list)

    async def _become(self, run_id: str, status: RunStatus) -> Run:
        run = await self.state.run(run_id)
        if run is None:
            raise NotFoundError(f"There is no run {run_id!r}.")
        changed = run.model_copy(update={"status": status})
        await self.state.append(changed)
        return changed

    async def approve(self, run_id: str, who: str, digest: str) -> Run:
        self.told.append(("approve", run_id, who, digest))
        return await self._become(run_id, RunStatus.INTENT)

    async def reject(self, run_id: str, who: str, reason: str) -> Run:
        self.told.append(("reject", run_id, who, reason))
        return await self._become(run_id, RunStatus.REJECTED)

    async def undo(self, run_id: str, who: str) -> Run:
        run = await self.state.run(run_id)
        if run is not None and run.status is not RunStatus.VERIFIED:
            raise ConflictError(f"Run {run_id} has changed nothing that could be undone.")
        return await self._become(run_id, RunStatus.UNDONE)

    async def manual(self, issue_id: str, who: str) -> Run:
        issue = await self.state.issue(issue_id)
        assert issue is not None
        self.told.append(("manual", issue_id, who))
        if issue.type is not IssueType.PROCESS_CRASH:
            raise ConflictError("No action here answers this issue.")
        run = a_run("run-manual", issue_id=issue_id, status=RunStatus.INTENT)
        await self.state.append(run)
        return run

    async def set_auto(self, enabled: bool, who: str) -> None:
        self.told.append(("set_auto", str(enabled), who))
        self.auto = enabled

    def mode(self) -> PolicyMode:
        return PolicyMode.AUTO if self.auto else PolicyMode.APPROVE

    async def policy_view(self) -> object:
        return PolicyState(self.mode())

    def action_specs(self) -> Sequence[ActionSpec]:
        return [
            ActionSpec(
                name="restart_process",
                title="Restart the process",
                driver="process",
                resource_kinds=("process",),
                answers=(IssueType.PROCESS_CRASH,),
                risk=Risk.LOW,
                effect=EffectClass.PROBEABLE,
                undo=None,
                expected_duration_s=1.0,
            )
        ]


def storage(state: str, detail: str = "") -> StorageStatus:
    """What the store says of itself."""
    return StorageStatus(state=state, detail=detail, used_bytes=1000, free_bytes=2000)


def an_issue(
    issue_id: str, kind: IssueType = IssueType.HIGH_ERROR_RATE, *, opened_at: datetime = NOW, **more: object
) -> Issue:
    """An issue, made short."""
    resource = "process:payment" if kind is IssueType.PROCESS_CRASH else "service:payment"
    fields: dict[str, object] = {
        "id": issue_id,
        "type": kind,
        "severity": Severity.HIGH,
        "resource": resource,
        "fingerprint": f"{kind.value}|{resource}",
        "title": "Something is wrong",
        "description": "30 % of the requests fail",
        "evidence": Evidence(signal="error_rate", observed=0.3, threshold=0.05, unit="ratio", sample_size=100),
        "first_bad_at": opened_at - timedelta(seconds=2),
        "opened_at": opened_at,
        "updated_at": opened_at,
        "incident_id": "incident-1",
    }
    return Issue.model_validate(fields | more)


def an_incident(incident_id: str, **more: object) -> Incident:
    """An incident, made short."""
    fields: dict[str, object] = {
        "id": incident_id,
        "title": "Payments fail",
        "status": IncidentStatus.OPEN,
        "severity": Severity.HIGH,
        "issue_ids": ("issue-1",),
        "affected_services": ("payment",),
        "root_cause": None,
        "first_bad_at": NOW - timedelta(seconds=2),
        "opened_at": NOW,
        "updated_at": NOW,
    }
    return Incident.model_validate(fields | more)


def a_run(run_id: str, *, issue_id: str = "issue-1", status: RunStatus = RunStatus.VERIFIED, **more: object) -> Run:
    """A run, made short."""
    fields: dict[str, object] = {
        "id": run_id,
        "incident_id": "incident-1",
        "issue_id": issue_id,
        "plan_id": "plan-1",
        "plan_digest": "d1",
        "step": PlanStep(action="restart_process", resource="process:payment", why="it has died", confidence=0.9),
        "effect": EffectClass.PROBEABLE,
        "status": status,
        "created_at": NOW,
        "intent_at": NOW,
    }
    return Run.model_validate(fields | more)


@dataclass
class Setup:
    """The parts that a test fills before it asks."""

    state: StateStore
    healer: HealerTable
    bus: LocalBus = field(default_factory=LocalBus)
    clock: TestClock = field(default_factory=TestClock)
    red: RedTable = field(default_factory=RedTable)
    telemetry: TraceTable = field(default_factory=TraceTable)
    open_issues: list[Issue] = field(default_factory=list)
    storage: StorageStatus = field(default_factory=lambda: storage("ok"))
    ingest: IngestCounters = field(
        default_factory=lambda: IngestCounters(
            requests=3, spans_received=42, spans_stored=40, refused={"malformed": 2}, spans_per_s=4.2
        )
    )

    heartbeat: Heartbeat = field(default_factory=Heartbeat)

    def __post_init__(self) -> None:
        self.heartbeat.beat(self.clock.monotonic())

    def parts(self, **more: object) -> ApiParts:
        """The parts as the API takes them."""
        return ApiParts(
            clock=self.clock,
            red=self.red,
            telemetry=self.telemetry,
            state=self.state,
            bus=self.bus,
            health=HealthReader(self.red, self.clock, lambda: self.open_issues),
            healer=self.healer,
            storage=lambda: self.storage,
            ingest=lambda: self.ingest,
            heartbeat=self.heartbeat,
            **more,  # pyright: ignore[reportArgumentType]
        )

    @asynccontextmanager
    async def client(self, **more: object) -> AsyncGenerator[httpx2.AsyncClient, None]:
        """A client of the app made of these parts, its lifespan running."""
        app = create_api(self.parts(**more))
        transport = httpx2.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url=BASE_URL, timeout=10) as client,
        ):
            yield client
