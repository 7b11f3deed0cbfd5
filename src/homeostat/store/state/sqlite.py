"""The control state in one SQLite file: the embedded ``StateStore``. Opened by ``app``, used through ``core.ports``.

WAL mode with ``synchronous=FULL``: what was acknowledged survives ``kill -9`` and a power cut. One connection writes
(``writer``); reads use connections of their own, in threads, and see every write that was acknowledged before.
"""

import sqlite3
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import anyio
import anyio.to_thread
from sqlalchemy import Connection, Engine, Select, create_engine, event, or_, select
from sqlalchemy.exc import SQLAlchemyError

from homeostat.core.errors import StoreError
from homeostat.core.events import Event, EventType
from homeostat.core.models import (
    FlagChange,
    Incident,
    IncidentStatus,
    Issue,
    IssueStatus,
    Model,
    Run,
    RunStatus,
    TimelineEntry,
)
from homeostat.core.ports import Clock, StateStore
from homeostat.core.records import RecordCounts
from homeostat.store.state import schema, statements
from homeostat.store.state.counting import count_records
from homeostat.store.state.failures import translate
from homeostat.store.state.migrate import bring_up_to_date
from homeostat.store.state.statements import micros
from homeostat.store.state.writer import GroupCommitWriter, Write

READERS = 2
"""Connections, and threads, that read at the same time."""

BUSY_TIMEOUT_S = 5.0
"""How long a statement waits for another process (a backup, a shell) that holds the file."""

T = TypeVar("T")
M = TypeVar("M", bound=Model)


def open_state(path: Path, clock: Clock, *, max_mib: int | None = None) -> StateStore:
    """The control state kept in the file ``path``; nothing is touched before its ``opened()`` is entered.

    ``max_mib`` bounds the size of the file; beyond it writes raise StoreFullError, as on a full disk.
    """
    return SqliteStateStore(path, clock, max_mib=max_mib)


class SqliteStateStore:
    """``StateStore`` over one SQLite file. Every method but ``opened`` needs the store to be open."""

    def __init__(self, path: Path, clock: Clock, *, max_mib: int | None = None) -> None:
        self._path = path
        self._clock = clock
        self._max_mib = max_mib
        self._engine: Engine | None = None
        self._writer: GroupCommitWriter | None = None
        self._readers = anyio.CapacityLimiter(READERS)

    def opened(self) -> AbstractAsyncContextManager[StateStore]:
        """Open and migrate for the length of an ``async with``; leaving it commits what still waits.

        Raises StoreCorruptError for a file that is not ours or not readable, StoreError where it cannot be opened
        or was written by a newer version.
        """
        return self._opened()

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator[StateStore, None]:
        engine = await anyio.to_thread.run_sync(self._open)
        writer = GroupCommitWriter(engine, self._path)
        writer.start()
        self._engine, self._writer = engine, writer
        try:
            yield self
        finally:
            self._writer = None
            await writer.stop()
            self._engine = None
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(engine.dispose)

    # -- issues -----------------------------------------------------------------------------------------------

    async def save_issue(self, issue: Issue) -> None:
        """Store the issue as it is now."""
        await self._write(Write(((statements.SAVE_ISSUE, statements.issue_row(issue)),)))

    async def issue(self, issue_id: str) -> Issue | None:
        """One issue, or None."""
        return await self._one(Issue, select(schema.issues.c.body).where(schema.issues.c.id == issue_id))

    async def issues(
        self, *, status: IssueStatus | None = None, limit: int = 50, since: datetime | None = None
    ) -> list[Issue]:
        """The last ``limit`` issues opened at or after ``since``, newest first."""
        table = schema.issues.c
        query = select(table.body).order_by(table.opened_at.desc(), table.id.desc()).limit(limit)
        if status is not None:
            query = query.where(table.status == status.value)
        if since is not None:
            query = query.where(table.opened_at >= micros(since))
        return await self._many(Issue, query)

    # -- incidents --------------------------------------------------------------------------------------------

    async def save_incident(self, incident: Incident) -> None:
        """Store the incident as it is now. A closed one stays as it is: only ``healed`` may still become true."""
        await self._write(Write(((statements.SAVE_INCIDENT, statements.incident_row(incident)),)))

    async def incident(self, incident_id: str) -> Incident | None:
        """One incident, or None."""
        table = schema.incidents.c
        return await self._one(Incident, select(table.body).where(table.id == incident_id))

    async def incidents(
        self, *, open_only: bool = False, limit: int = 50, since: datetime | None = None
    ) -> list[Incident]:
        """The last ``limit`` incidents opened at or after ``since``, newest first.

        ``open_only`` leaves out the closed ones; an escalated incident is still open.
        """
        table = schema.incidents.c
        query = select(table.body).order_by(table.opened_at.desc(), table.id.desc()).limit(limit)
        if open_only:
            query = query.where(table.status != IncidentStatus.CLOSED.value)
        if since is not None:
            query = query.where(table.opened_at >= micros(since))
        return await self._many(Incident, query)

    async def add_timeline(self, entry: TimelineEntry) -> None:
        """Add a line to the story; adding the same one again changes nothing."""
        await self._write(Write(((statements.ADD_TIMELINE, statements.timeline_row(entry)),)))

    async def timeline(
        self, incident_id: str | None = None, *, limit: int = 500, since: datetime | None = None
    ) -> list[TimelineEntry]:
        """The last ``limit`` entries at or after ``since``, oldest first."""
        table = schema.timeline.c
        query = select(table.body).order_by(table.time.desc(), table.seq.desc()).limit(limit)
        if incident_id is not None:
            query = query.where(table.incident_id == incident_id)
        if since is not None:
            query = query.where(table.time >= micros(since))
        return (await self._many(TimelineEntry, query))[::-1]

    async def record(
        self,
        *,
        issues: Sequence[Issue] = (),
        incidents: Sequence[Incident] = (),
        entries: Sequence[TimelineEntry] = (),
    ) -> None:
        """Store findings and their story in one transaction: a kill leaves no issue without its incident."""
        rows = [
            *((statements.SAVE_ISSUE, statements.issue_row(issue)) for issue in issues),
            *((statements.SAVE_INCIDENT, statements.incident_row(incident)) for incident in incidents),
            *((statements.ADD_TIMELINE, statements.timeline_row(entry)) for entry in entries),
        ]
        if rows:
            await self._write(Write(tuple(rows)))

    # -- the journal ------------------------------------------------------------------------------------------

    async def append(self, run: Run) -> None:
        """Record the run as it is now; it is on disk when this returns.

        The event is always kept. The run's latest state only changes where that does not take back a terminal one.
        """
        body = run.model_dump_json()
        await self._write(
            Write(
                (
                    (statements.APPEND_RUN_EVENT, statements.run_event_row(run, body, self._clock.now())),
                    (statements.SAVE_RUN, statements.run_row(run, body)),
                )
            )
        )

    async def run(self, run_id: str) -> Run | None:
        """The latest state of one run, or None."""
        return await self._one(Run, select(schema.runs.c.body).where(schema.runs.c.id == run_id))

    async def runs(
        self, *, incident_id: str | None = None, limit: int = 50, since: datetime | None = None
    ) -> list[Run]:
        """The latest state of the last ``limit`` runs created at or after ``since``, newest first."""
        table = schema.runs.c
        query = select(table.body).order_by(table.created_at.desc(), table.id.desc()).limit(limit)
        if incident_id is not None:
            query = query.where(table.incident_id == incident_id)
        if since is not None:
            query = query.where(table.created_at >= micros(since))
        return await self._many(Run, query)

    async def unfinished(self) -> list[Run]:
        """Runs in no terminal state, oldest first."""
        table = schema.runs.c
        query = select(table.body).where(table.terminal.is_(False)).order_by(table.created_at, table.id)
        return await self._many(Run, query)

    async def to_rearm(self) -> list[Run]:
        """Verified runs whose change has not been put back, oldest first."""
        table = schema.runs.c
        query = (
            select(table.body)
            .where(table.status == RunStatus.VERIFIED.value, table.rearmed_at.is_(None))
            .order_by(table.created_at, table.id)
        )
        return await self._many(Run, query)

    # -- flags and settings -----------------------------------------------------------------------------------

    async def flag_values(self) -> dict[str, bool]:
        """Value of every flag that was ever changed."""
        return await self._flags("value")

    async def flag_armed(self) -> dict[str, bool]:
        """The last value that anybody but healing gave to each flag that was ever changed."""
        return await self._flags("armed")

    async def record_flag_change(self, change: FlagChange) -> None:
        """Store value and audit line in one transaction; a change that is known only has its line replaced."""
        await self._write(Write(call=partial(_record_flag_change, change)))

    async def flag_change(self, change_id: str) -> FlagChange | None:
        """One change, or None."""
        table = schema.flag_changes.c
        return await self._one(FlagChange, select(table.body).where(table.id == change_id))

    async def flag_changes(self, *, limit: int = 100, since: datetime | None = None) -> list[FlagChange]:
        """The last ``limit`` changes at or after ``since``, newest first."""
        table = schema.flag_changes.c
        query = select(table.body).order_by(table.seq.desc()).limit(limit)
        if since is not None:
            query = query.where(table.time >= micros(since))
        return await self._many(FlagChange, query)

    async def get_setting(self, key: str) -> str | None:
        """The JSON text stored under ``key``, or None."""
        query = select(schema.settings.c.value).where(schema.settings.c.key == key)
        texts = await self._read(lambda connection: connection.scalars(query).all())
        return texts[0] if texts else None

    async def put_setting(self, key: str, value: str) -> None:
        """Store a JSON text under ``key``."""
        await self._write(Write(((statements.PUT_SETTING, {"key": key, "value": value}),)))

    # -- documents and events ---------------------------------------------------------------------------------

    async def put_document(self, kind: str, document_id: str, body: str) -> None:
        """Store a JSON text under kind and id; one that is there is replaced and keeps its place."""
        await self._write(Write(((statements.PUT_DOCUMENT, {"kind": kind, "id": document_id, "body": body}),)))

    async def documents(self, kind: str) -> dict[str, str]:
        """Every document of a kind, by id, oldest first."""
        table = schema.documents.c
        query = select(table.id, table.body).where(table.kind == kind).order_by(table.seq)
        return await self._read(lambda connection: {str(key): str(body) for key, body in connection.execute(query)})

    async def delete_document(self, kind: str, document_id: str) -> bool:
        """False: there was none."""
        deleted: list[int] = []
        await self._write(Write(call=partial(_delete_document, kind, document_id, deleted)))
        return any(deleted)

    async def save_event(self, event: Event) -> None:
        """Store the event as it is now; one with the same id is replaced."""
        await self._write(Write(((statements.SAVE_EVENT, statements.event_row(event)),)))

    async def event(self, event_id: str) -> Event | None:
        """One event, or None."""
        table = schema.events.c
        return await self._one(Event, select(table.body).where(table.id == event_id))

    async def events(
        self,
        *,
        since: datetime,
        until: datetime | None = None,
        type: EventType | None = None,
        limit: int = 1_000,
    ) -> list[Event]:
        """Events that began at or before ``until`` and were not over before ``since``, newest first."""
        table = schema.events.c
        lasted = or_(table.last_at.is_(None), table.last_at >= micros(since))
        query = select(table.body).where(lasted).order_by(table.time.desc(), table.id.desc()).limit(limit)
        if until is not None:
            query = query.where(table.time <= micros(until))
        if type is not None:
            query = query.where(table.type == type.value)
        return await self._many(Event, query)

    # -- all of it --------------------------------------------------------------------------------------------

    async def forget(self, before: datetime) -> int:
        """Delete what began before and is over, a little at a time; returns how many records went.

        The file does not shrink: the room is used again.
        """
        forgotten = 0
        while True:
            some: list[int] = []
            await self._write(Write(call=partial(_forget_some, before, some)))
            forgotten += sum(some)
            if not any(some):
                return forgotten

    async def counts(self) -> RecordCounts:
        """How much is on record."""
        return await self._read(count_records)

    # -- underneath -------------------------------------------------------------------------------------------

    async def _write(self, write: Write) -> None:
        if self._writer is None:
            raise StoreError(f"The control state at {self._path} is not open.")
        await self._writer.write(write)

    async def _read(self, question: Callable[[Connection], T]) -> T:
        if self._engine is None:
            raise StoreError(f"The control state at {self._path} is not open.")
        return await anyio.to_thread.run_sync(self._ask, self._engine, question, limiter=self._readers)

    def _ask(self, engine: Engine, question: Callable[[Connection], T]) -> T:
        try:
            with engine.connect() as connection:
                return question(connection)
        except SQLAlchemyError as error:
            raise translate(error, self._path) from error

    async def _many(self, model: type[M], query: Select[Any]) -> list[M]:
        def ask(connection: Connection) -> list[M]:
            return [model.model_validate_json(body) for body in connection.scalars(query)]

        return await self._read(ask)

    async def _one(self, model: type[M], query: Select[Any]) -> M | None:
        found = await self._many(model, query)
        return found[0] if found else None

    async def _flags(self, column: str) -> dict[str, bool]:
        def ask(connection: Connection) -> dict[str, bool]:
            rows = connection.execute(select(schema.flag_values)).mappings()
            return {str(row["flag"]): bool(row[column]) for row in rows}

        return await self._read(ask)

    def _open(self) -> Engine:
        """In a thread: connect, check that the file is ours, migrate."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"The folder {self._path.parent} for the control state cannot be made ({error.strerror}). "
                "Set storage.path to a folder that the user who runs Homeostat may write to."
            ) from error
        engine = create_engine(
            f"sqlite:///{self._path}",
            connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
            pool_size=READERS + 1,
            max_overflow=0,
        )
        event.listen(engine, "connect", partial(_prepare, self._max_mib))
        try:
            with engine.begin() as connection:
                bring_up_to_date(connection, self._path)
        except (SQLAlchemyError, sqlite3.Error) as error:
            engine.dispose()
            raise translate(error, self._path) from error
        except StoreError:
            engine.dispose()
            raise
        return engine


def _prepare(max_mib: int | None, raw: Any, _record: object) -> None:  # SQLAlchemy's event types it so
    """Settings of each new connection."""
    connection = cast("sqlite3.Connection", raw)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    if max_mib is not None:
        page_size = int(connection.execute("PRAGMA page_size").fetchone()[0])
        connection.execute(f"PRAGMA max_page_count={max_mib * 1024 * 1024 // page_size}")


def _forget_some(before: datetime, count: list[int], connection: Connection) -> None:
    count[:] = [statements.forget_some(connection, before)]


def _delete_document(kind: str, document_id: str, count: list[int], connection: Connection) -> None:
    deleted = connection.execute(statements.DELETE_DOCUMENT, {"of_kind": kind, "with_id": document_id})
    count[:] = [deleted.rowcount]


def _record_flag_change(change: FlagChange, connection: Connection) -> None:
    statements.record_flag_change(connection, change)
