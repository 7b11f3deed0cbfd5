"""What the API needs from the rest of Homeostat, named as Protocols. Whoever serves the API fills an ``ApiParts``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fastapi import APIRouter

from homeostat.api.event_parts import EventParts
from homeostat.background import Background
from homeostat.core.log_patterns import LogMask
from homeostat.core.models import ActionSpec, IngestCounters, PolicyMode, Run, StorageStatus
from homeostat.core.ports import Bus, Clock, LogStore, MetricStore, RedHistory, StateStore, TelemetryStore
from homeostat.core.totals import SpanTotals
from homeostat.detect.health import HealthReader
from homeostat.heartbeat import Heartbeat
from homeostat.observe.receivers.prometheus_scrape import TargetState
from homeostat.observe.slo import SloService


class HealerControl(Protocol):
    """What a person may tell the healer.

    Methods that name a run or an issue raise NotFoundError for an unknown id, and ConflictError (or ActionError)
    when it cannot be done now, with the reason.
    """

    async def approve(self, run_id: str, who: str, digest: str) -> Run: ...
    async def reject(self, run_id: str, who: str, reason: str) -> Run: ...
    async def undo(self, run_id: str, who: str) -> Run: ...
    async def manual(self, issue_id: str, who: str) -> Run:
        """Start healing an issue now, because a person says so."""
        ...

    async def set_auto(self, enabled: bool, who: str) -> None:
        """Allow or forbid acting without asking, until it is set again."""
        ...

    def mode(self) -> PolicyMode:
        """The mode in force for what no rule names."""
        ...

    async def policy_view(self) -> object:
        """Something with the fields of ``api.models.Policy``."""
        ...

    def action_specs(self) -> Sequence[ActionSpec]:
        """What could be done here."""
        ...


@dataclass(frozen=True)
class ApiParts:
    """Everything that the API is made of."""

    clock: Clock
    red: RedHistory
    telemetry: TelemetryStore
    state: StateStore
    bus: Bus
    health: HealthReader
    healer: HealerControl
    storage: Callable[[], StorageStatus]
    ingest: Callable[[], IngestCounters]
    heartbeat: Heartbeat  # of the loop
    background: Background | None = None  # what app keeps running; None: the API keeps its own tasks alone
    span_totals: Callable[[], SpanTotals] | None = None  # what /metrics shows of spans; None: nothing
    scrapes: Callable[[], Sequence[TargetState]] = tuple  # the targets whose metrics are fetched
    lane_bytes: Callable[[], Mapping[str, int]] = dict  # on disk: traces, metrics, logs
    events: EventParts | None = None  # None: no timeline of events is kept here
    metrics: MetricStore | None = None  # None: metrics are not kept here
    logs: LogStore | None = None  # None: log records are not kept here
    log_masks: Sequence[LogMask] = ()
    slos: SloService | None = None  # None: objectives are not evaluated here
    otlp_http_url: str | None = None  # where OTLP is received, for pages that say where to send; None: nowhere
    otlp_grpc_url: str | None = None
    world_url: str | None = None  # of the demo world, whose API is passed on under /api/journey-simulation
    extra_routers: Sequence[APIRouter] = ()
    static_dir: Path | None = None  # the built dashboard; None: a page says how to build it
    host: str = "127.0.0.1"  # the address that is listened on: decides which Host headers are ours
    allowed_hosts: tuple[str, ...] = ()  # further names under which people reach this server (a reverse proxy's)
