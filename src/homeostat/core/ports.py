"""What the stages need from the world and from each other, as Protocols. ``app`` supplies the real ones."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol, runtime_checkable

from homeostat.core.dependents import Act, Dependent
from homeostat.core.events import Event, EventType
from homeostat.core.logs import LogCount, LogPage, LogQuery, LogTable
from homeostat.core.metrics import Exemplar, MetricInfo, MetricQuery, MetricSeries
from homeostat.core.models import (
    ActionSpec,
    BusMessage,
    FlagChange,
    Incident,
    Issue,
    IssueStatus,
    Run,
    Scalar,
    SensorEvent,
    Signal,
    Span,
    Target,
    TimelineEntry,
    Trace,
    TracePage,
    TraceQuery,
)
from homeostat.core.records import RecordCounts
from homeostat.core.red import Edge, RedMinutes, RedPoint, RedReach
from homeostat.core.trace_columns import TraceColumns

# -- time, chance, identity ---------------------------------------------------------------------------------


class Clock(Protocol):
    """The time. Waiting goes through the event loop (``anyio.sleep``), which a simulation replaces as a whole."""

    def now(self) -> datetime:
        """Wall-clock time, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...


class Random(Protocol):
    """Chance, from a seed where one was given."""

    def random(self) -> float: ...
    def uniform(self, a: float, b: float, /) -> float: ...
    def randrange(self, stop: int, /) -> int: ...


class Ids(Protocol):
    """New identities."""

    def new(self, prefix: str) -> str:
        """``<prefix>-<unique>``; sorts by time of making."""
        ...


# -- observe ------------------------------------------------------------------------------------------------


class RedReader(Protocol):
    """RED metrics and topology of every span received, whatever is sampled or stored. Cheap; in memory."""

    def services(self) -> list[str]:
        """Every service seen within the retention of the rollups, sorted."""
        ...

    def latest_s(self) -> int | None:
        """The newest Unix second for which spans have been folded; None before the first."""
        ...

    def window(self, start_s: int, end_s: int) -> list[RedPoint]:
        """One point per service over ``[start_s, end_s)``; services without spans in it are left out."""
        ...

    def operations(self, start_s: int, end_s: int) -> list[RedPoint]:
        """One point per (service, operation) over ``[start_s, end_s)``."""
        ...

    def series(self, service: str, start_s: int, end_s: int, step_s: int) -> list[RedPoint]:
        """Points of one service, one per step; a step without spans has ``requests == 0``."""
        ...

    def edges(self, start_s: int, end_s: int) -> list[Edge]:
        """Who called whom over ``[start_s, end_s)``."""
        ...


class RedHistory(RedReader, Protocol):
    """RED with a memory: exact, from every span, for as long as telemetry is kept, across restarts."""

    def reach(self) -> RedReach:
        """How far back the rollups are whole, and how finely."""
        ...

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
        """The whole minutes that begin in ``[start_s, end_s)``. 30 days of one service: about ten milliseconds.

        Without ``histograms`` they have no buckets, and a month costs a third. ``within_ms``: also count the requests
        that took at most so long.
        """
        ...


class TelemetryStore(Protocol):
    """Traces, stored. Methods that read may take tens of milliseconds and are safe to call from a thread."""

    async def trace(self, trace_id: str) -> Trace | None:
        """Every stored span of a trace, or None."""
        ...

    async def trace_columns(self, trace_id: str) -> TraceColumns | None:
        """The same as columns, without what is only wanted of one span; or None."""
        ...

    async def span(self, trace_id: str, span_id: str) -> Span | None:
        """One span of a trace (ids in hex) with all that is known of it, or None."""
        ...

    async def spans_with(self, trace_id: str, text: str) -> list[str] | None:
        """Ids of the spans of a trace in which a text occurs, by start; None: there is no such trace."""
        ...

    async def search(self, query: TraceQuery) -> TracePage:
        """Matching traces, newest first. Raises BadRequestError for a cursor that is none."""
        ...

    async def traces(self, trace_ids: Sequence[str]) -> list[Trace]:
        """Those of these traces that are stored; at most 1,000 ids."""
        ...

    async def services(self, since: datetime) -> list[str]:
        """Services with a stored span since then, sorted."""
        ...

    async def operations(self, service: str, since: datetime) -> list[tuple[str, str]]:
        """``(name, kind)`` of the stored spans of a service since then, sorted."""
        ...

    async def example_traces(
        self, service: str, since: datetime, *, errors: bool, operation: str | None = None, limit: int = 3
    ) -> list[str]:
        """Ids of recent traces in which ``service`` failed (or, with ``errors=False``, was slowest)."""
        ...


class MetricStore(Protocol):
    """Metrics, stored."""

    async def metrics(self, since: datetime, *, contains: str = "", limit: int = 1_000) -> list[MetricInfo]:
        """Metrics with a point since then, by name."""
        ...

    async def series(self, query: MetricQuery) -> list[MetricSeries]:
        """What the query asks for. Raises BadRequestError for an aggregation that the metric's type has not."""
        ...

    async def exemplars(self, query: MetricQuery) -> list[Exemplar]:
        """Exemplars within the query's time and labels, newest first."""
        ...


class LogStore(Protocol):
    """Log records, stored."""

    async def logs(self, query: LogQuery) -> LogPage:
        """Matching records, newest first. Raises BadRequestError for a cursor that is none."""
        ...

    async def log_counts(self, query: LogQuery, step_s: int) -> list[LogCount]:
        """How many match in each step of the query's time, oldest first, steps without any included."""
        ...

    def export(self, query: LogQuery) -> AsyncIterator[LogTable]:
        """Every matching record, newest first, in parts; the query's limit does not count."""
        ...


class SignalReader(Protocol):
    """Measures one signal of one resource now. Verification uses the same reader as detection."""

    async def read(self, resource: str, name: str, *, since: datetime, operation: str | None = None) -> Signal:
        """The value over ``[since, now]``; ``value`` is None when there was nothing to measure."""
        ...


class Dependents(Protocol):
    """Measures what an act has done to the services that call what it touched."""

    async def look(self, act: Act) -> Sequence[Dependent]:
        """Each dependent that is known, nearest first; all unknown while nothing after the act can be judged yet."""
        ...


# -- heal ---------------------------------------------------------------------------------------------------


class Action(Protocol):
    """One thing that a driver can do. Raises ActionError when it could not, and then nothing was changed."""

    @property
    def spec(self) -> ActionSpec: ...

    async def targets(self, issue: Issue, incident: Incident) -> Sequence[Target]:
        """The resources on which this action could answer the issue, best first; empty when none."""
        ...

    async def prepare(self, resource: str, parameters: dict[str, Scalar]) -> dict[str, Scalar]:
        """What ``probe`` and ``undo`` need to know of the state before; it is journalled with the intent."""
        ...

    async def act(self, run: Run) -> dict[str, Scalar]:
        """Do it. The answer is journalled."""
        ...

    async def probe(self, run: Run) -> bool | None:
        """After a crash: did ``act`` happen? None: it cannot be told."""
        ...

    async def undo(self, run: Run) -> dict[str, Scalar]:
        """Take it back. Safe to call twice."""
        ...

    async def rearm(self, run: Run) -> bool:
        """After the incident has closed: put back what the act had changed. False: there is nothing to put back."""
        ...


class Sensor(Protocol):
    """Watches the resources of one driver."""

    async def watch(self, emit: Callable[[SensorEvent], None]) -> None:
        """Run until cancelled; call ``emit`` for each change."""
        ...

    async def read(self, resource: str, name: str) -> Signal | None:
        """Measure now; None when the resource or the signal is not this sensor's."""
        ...


@runtime_checkable
class Driver(Protocol):
    """One technology."""

    @property
    def name(self) -> str: ...

    def sensors(self) -> Sequence[Sensor]: ...
    def actions(self) -> Sequence[Action]: ...


class FlagControl(Protocol):
    """What the flags driver needs of the flag service."""

    def values(self) -> dict[str, bool]:
        """Present value of every flag."""
        ...

    def armed(self) -> dict[str, bool]:
        """The value that each flag is meant to have when all is well."""
        ...

    async def set(
        self, flag: str, value: bool, *, reason: str, triggered_by: str, problem_id: str | None = None
    ) -> FlagChange:
        """Change a flag, audited. Raises NotFoundError for an unknown flag."""
        ...

    async def changes(self, since: datetime) -> list[FlagChange]:
        """Audited changes, oldest first."""
        ...

    def asked_since(self, since: datetime) -> bool:
        """Has any service asked for flags since then? A flag that nobody reads can neither harm nor help."""
        ...


# -- state --------------------------------------------------------------------------------------------------


class IssueStore(Protocol):
    """Issues, durable."""

    async def save_issue(self, issue: Issue) -> None: ...
    async def issue(self, issue_id: str) -> Issue | None: ...
    async def issues(
        self, *, status: IssueStatus | None = None, limit: int = 50, since: datetime | None = None
    ) -> list[Issue]:
        """The last ``limit`` issues, newest first."""
        ...


class IncidentStore(Protocol):
    """Incidents and their story, durable."""

    async def save_incident(self, incident: Incident) -> None:
        """Store the incident as it is now. A closed one stays as it is: only ``healed`` may still become true."""
        ...

    async def incident(self, incident_id: str) -> Incident | None: ...
    async def incidents(
        self, *, open_only: bool = False, limit: int = 50, since: datetime | None = None
    ) -> list[Incident]:
        """The last ``limit`` incidents, newest first."""
        ...

    async def add_timeline(self, entry: TimelineEntry) -> None: ...
    async def timeline(
        self, incident_id: str | None = None, *, limit: int = 500, since: datetime | None = None
    ) -> list[TimelineEntry]:
        """Entries of one incident (or, with None, of everything), oldest first."""
        ...


class Journal(Protocol):
    """The durable record of runs. ``append`` returns once the record is on disk (group commit)."""

    async def append(self, run: Run) -> None:
        """Record the run as it is now. The first record of an id is its creation."""
        ...

    async def run(self, run_id: str) -> Run | None: ...
    async def runs(
        self, *, incident_id: str | None = None, limit: int = 50, since: datetime | None = None
    ) -> list[Run]:
        """The latest state of each run, newest first."""
        ...

    async def unfinished(self) -> list[Run]:
        """Runs that are in no terminal state: what a restart has to deal with. Oldest first."""
        ...

    async def to_rearm(self) -> list[Run]:
        """Verified runs whose change has not been put back yet (``rearmed_at`` is None). Oldest first."""
        ...


class FlagStore(Protocol):
    """Flag values and the audit of their changes, durable."""

    async def flag_values(self) -> dict[str, bool]:
        """Value of every flag that was ever changed."""
        ...

    async def flag_armed(self) -> dict[str, bool]:
        """The last value that anybody but healing (``AUTOMATIC``) gave to each flag that was ever changed.

        Where only healing has, the value it found.
        """
        ...

    async def record_flag_change(self, change: FlagChange) -> None:
        """Store the new value and its audit line in one transaction.

        A change whose id is known already only has its audit line replaced (``event_sent`` comes later).
        """
        ...

    async def flag_change(self, change_id: str) -> FlagChange | None: ...
    async def flag_changes(self, *, limit: int = 100, since: datetime | None = None) -> list[FlagChange]:
        """Newest first."""
        ...


class SettingStore(Protocol):
    """Small pieces of control state: a JSON text by key."""

    async def get_setting(self, key: str) -> str | None: ...
    async def put_setting(self, key: str, value: str) -> None: ...


class DocumentStore(Protocol):
    """Definitions that people make and change (SLOs, maintenance windows): a JSON text by kind and id."""

    async def put_document(self, kind: str, document_id: str, body: str) -> None: ...
    async def documents(self, kind: str) -> dict[str, str]:
        """Every document of a kind, by id, oldest first."""
        ...

    async def delete_document(self, kind: str, document_id: str) -> bool:
        """False: there was none."""
        ...


class EventStore(Protocol):
    """Events around the system, durable."""

    async def save_event(self, event: Event) -> None:
        """Store the event as it is now; one with the same id is replaced."""
        ...

    async def event(self, event_id: str) -> Event | None: ...
    async def events(
        self,
        *,
        since: datetime,
        until: datetime | None = None,
        type: EventType | None = None,
        limit: int = 1_000,
    ) -> list[Event]:
        """Events that began or lasted in that time, both ends included, newest first. A deployment is a moment;
        anything else without an end lasts.
        """
        ...


class StateStore(IssueStore, IncidentStore, Journal, FlagStore, SettingStore, DocumentStore, EventStore, Protocol):
    """All control state in one database."""

    async def record(
        self,
        *,
        issues: Sequence[Issue] = (),
        incidents: Sequence[Incident] = (),
        entries: Sequence[TimelineEntry] = (),
    ) -> None:
        """Store what belongs together in one transaction: all of it is on disk, or nothing. Safe to repeat."""
        ...

    async def counts(self) -> RecordCounts:
        """How much is on record. Takes milliseconds, and longer the more there is."""
        ...

    async def forget(self, before: datetime) -> int:
        """Delete what began and ended before: issues, incidents with their plans, runs, timeline entries, flag
        changes and events; returns how many. Documents stay: they are people's.

        What is not over stays: open issues and incidents, runs without an end or in doubt, runs that wait to be
        re-armed while their incident is open or younger. So does the newest change of each flag.
        """
        ...

    def opened(self) -> AbstractAsyncContextManager["StateStore"]:
        """Open (and migrate) for the length of an ``async with``."""
        ...


# -- notify -------------------------------------------------------------------------------------------------


class AlertSink(Protocol):
    """Takes alerts, to put them on the timeline and to send them on."""

    async def alert(self, event: Event) -> None:
        """An alert began, or (the same id, with ``ended_at``) it ended. Must not wait for the network."""
        ...


# -- live ---------------------------------------------------------------------------------------------------


class Subscription(Protocol):
    """One watcher's messages, an endless async iterator."""

    @property
    def seq(self) -> int:
        """The bus's newest sequence number when the subscription was made."""
        ...

    @property
    def resumed(self) -> bool:
        """Whether everything behind ``after`` was still buffered (and is sent); False without ``after``."""
        ...

    def watch(self, topics: Sequence[str]) -> None:
        """Change the topics from now on."""
        ...

    def __aiter__(self) -> AsyncIterator[BusMessage]: ...
    async def __anext__(self) -> BusMessage: ...


class Bus(Protocol):
    """What just happened, for those who watch. Never blocks; a slow watcher loses, and is told so."""

    def publish(self, topic: str, data: dict[str, object]) -> int:
        """Send to every subscriber of the topic; returns the sequence number."""
        ...

    def subscribe(
        self, topics: Sequence[str], *, after: int | None = None
    ) -> AbstractAsyncContextManager[Subscription]:
        """Messages of the topics; ``after`` resumes behind a sequence number where still buffered."""
        ...
