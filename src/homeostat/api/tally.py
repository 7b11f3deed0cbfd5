"""Counts what is on record: issues, plans, runs, incidents. The state store counts, when the bus tells of a change.

The overview, the metrics and the self-healing statistics ask for these numbers many times a minute; keeping them
here makes those answers independent of how long the history is.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import anyio
from pydantic import ValidationError

from homeostat.core.errors import StoreError
from homeostat.core.models import TERMINAL_RUN_STATUSES, BusMessage, Issue, Run, RunStatus
from homeostat.core.ports import Bus, StateStore
from homeostat.core.records import RecordCounts

log = logging.getLogger(__name__)

RECORDS_MAX = 5_000
"""The newest issues and runs that are remembered, for what happened in the last hour."""

RECOUNT_PAUSE_S = 0.2
"""Between two counts; and a count that takes long is followed by a longer pause, ``RECOUNT_SHARE`` of it."""

RECOUNT_SHARE = 10

PATIENCE_S = 5.0
"""How long an answer waits for the first count."""

TOPICS = ("issues", "incidents", "runs", "timeline")


Line = TypeVar("Line")

IN_PROGRESS = frozenset(RunStatus) - TERMINAL_RUN_STATUSES - {RunStatus.AWAITING_APPROVAL}
"""Runs that have begun and are not finished."""

UNSUCCESSFUL = frozenset({RunStatus.FAILED, RunStatus.UNDONE, RunStatus.IN_DOUBT})
"""Finished runs that did not help, or nobody knows. A person's no is not among them: nothing was tried."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The totals of what is on record."""

    issues_total: int
    issues_open: int
    plans_total: int
    awaiting_approval: int
    runs_total: int  # that began to act
    runs_in_progress: int
    runs_verified: int
    runs_failed: int
    runs_not_helped: int
    rearmed: int
    escalated: int


@dataclass(frozen=True, slots=True)
class RunLine:
    """What is remembered of a run."""

    status: RunStatus
    finished_at: datetime | None


class Tally:
    """The counts. ``follow`` runs for the life of the API; the counts are right once ``ready`` has returned."""

    def __init__(self, state: StateStore, bus: Bus, *, records_max: int = RECORDS_MAX) -> None:
        self._state = state
        self._bus = bus
        self._records_max = records_max
        self._ready = anyio.Event()
        self._issues: dict[str, datetime] = {}  # when they opened
        self._runs: dict[str, RunLine] = {}
        self._records = RecordCounts()
        self._stale = anyio.Event()

    async def ready(self) -> None:
        """Wait until the records that were there at the start have been counted. Raises StoreError after a while."""
        with anyio.move_on_after(PATIENCE_S):
            await self._ready.wait()
            return
        raise StoreError(
            "The records are still being counted, or the state store does not answer. Retry in a moment."
        )

    async def follow(self) -> None:
        """Count until cancelled. Subscribes before it reads, so that nothing falls in between."""
        async with self._bus.subscribe(TOPICS) as messages, anyio.create_task_group() as tasks:
            await self._load()
            self._ready.set()
            tasks.start_soon(self._recount)
            async for message in messages:
                if message.topic == "gap":
                    await self._load()
                else:
                    self._apply(message)
                self._stale.set()

    async def _recount(self) -> None:
        """Count again after changes, but never all the time."""
        while True:
            await self._stale.wait()
            self._stale = anyio.Event()
            began = anyio.current_time()
            try:
                self._records = await self._state.counts()
            except StoreError as error:
                log.warning("The records cannot be counted; it is tried again: %s", error)
                self._stale.set()
            await anyio.sleep(RECOUNT_PAUSE_S + RECOUNT_SHARE * (anyio.current_time() - began))

    async def _load(self) -> None:
        limit = self._records_max
        for issue in reversed(await self._state.issues(limit=limit)):
            self.count_issue(issue)
        for run in reversed(await self._state.runs(limit=limit)):
            self.count_run(run)
        self._records = await self._state.counts()

    def _apply(self, message: BusMessage) -> None:
        try:
            if message.topic == "issues":
                self.count_issue(Issue.model_validate(message.data))
            elif message.topic == "runs":
                self.count_run(Run.model_validate(message.data))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            log.warning("A message on the topic %s has another shape and is not counted: %s", message.topic, first)

    def count_issue(self, issue: Issue) -> None:
        """Remember when an issue opened."""
        self._remember(self._issues, issue.id, issue.opened_at)

    def count_run(self, run: Run) -> None:
        """Remember what has become of a run."""
        self._remember(self._runs, run.id, RunLine(run.status, run.finished_at))

    # -- the numbers ----------------------------------------------------------------------------------------

    def counts(self) -> Counts:
        """The totals."""
        records, by_status = self._records, self._records.runs_by_status
        return Counts(
            issues_total=records.issues_total,
            issues_open=records.issues_open,
            plans_total=records.plans_total,
            awaiting_approval=by_status.get(RunStatus.AWAITING_APPROVAL, 0),
            runs_total=records.runs_begun,
            runs_in_progress=sum(by_status.get(status, 0) for status in IN_PROGRESS),
            runs_verified=by_status.get(RunStatus.VERIFIED, 0),
            runs_failed=sum(by_status.get(status, 0) for status in UNSUCCESSFUL),
            runs_not_helped=records.runs_not_helped,
            rearmed=records.rearmed,
            escalated=records.escalated,
        )

    def runs_by_status(self) -> dict[RunStatus, int]:
        """Number of runs in each status that occurs."""
        return self._records.runs_by_status

    def issues_since(self, moment: datetime) -> int:
        """Issues opened at or after a moment."""
        return sum(opened_at >= moment for opened_at in self._issues.values())

    def verified_since(self, moment: datetime) -> int:
        """Runs verified at or after a moment."""
        return sum(
            line.status is RunStatus.VERIFIED and line.finished_at is not None and line.finished_at >= moment
            for line in self._runs.values()
        )

    def healing_durations_s(self) -> Sequence[float]:
        """Seconds from intent to verdict of every verified run."""
        return self._records.verified_durations_s

    def _remember(self, lines: dict[str, Line], key: str, line: Line) -> None:
        lines[key] = line
        if len(lines) > self._records_max:
            del lines[next(iter(lines))]
