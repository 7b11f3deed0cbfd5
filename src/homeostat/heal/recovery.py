"""Puts back what healing had changed, once the incident is over and a hold-off has passed. Driven by ``healer``.

A flag that was turned off stops the errors and also what it was good for. So it is turned on again; when the trouble
comes back soon, the next hold-off is longer, and a person is told that this goes round in circles.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import anyio

from homeostat.core.config import RecoveryConfig
from homeostat.core.errors import ActionError, StoreError
from homeostat.core.models import TERMINAL_RUN_STATUSES, Incident, IncidentStatus, Model, Run, RunStatus, TimelineKind
from homeostat.core.ports import Action, Clock, StateStore
from homeostat.core.resources import service as service_id
from homeostat.heal.approvals import Record
from homeostat.heal.locks import ResourceLocks
from homeostat.heal.policy import Maintenance
from homeostat.heal.story import RunStory

log = logging.getLogger(__name__)

HOLD_OFF_MAX = timedelta(hours=24)

SOON_MIN = timedelta(minutes=1)
"""A relapse within the hold-off after a recovery, but at least within this, is laid to the recovery."""

FLAPPING_RELAPSES = 5
"""So many relapses in a row, and a person is told."""

RETRY_S = 1.0
"""How soon it is looked again when an open incident, or a driver, stands in the way."""

STORE_RETRY_S = 5.0
"""How soon it is looked again when the store cannot be written or read."""


class Memo(Model):
    """What is remembered of the last recovery of a resource."""

    rearmed_at: datetime
    relapses: int  # how many recoveries in a row were followed by trouble soon, before this one
    hold_off: timedelta


@dataclass(slots=True)
class Pending:
    """A change that waits to be put back."""

    run: Run
    due: datetime
    relapses: int
    hold_off: timedelta
    complained: bool = False
    changed: bool = False  # it is put back, but that could not be recorded yet


class Recovery:
    """All changes that wait to be put back. Rebuilt from the journal after a restart."""

    def __init__(
        self,
        *,
        store: StateStore,
        actions: Mapping[str, Action],
        record: Record,
        story: RunStory,
        clock: Clock,
        locks: ResourceLocks,
        config: RecoveryConfig,
        maintenance: Maintenance | None = None,
    ) -> None:
        self._maintenance = maintenance or (lambda _resource, _now: None)
        self._store = store
        self._actions = actions
        self._record = record
        self._story = story
        self._clock = clock
        self._locks = locks
        self._config = config
        self._pending: dict[str, Pending] = {}
        self._changed = anyio.Event()

    async def restore(self) -> None:
        """Take up what a run before this one had left to be put back."""
        for run in await self._store.to_rearm():
            incident = await self._store.incident(run.incident_id)
            if incident is not None and incident.status is IncidentStatus.CLOSED and not incident.expired:
                await self._add(run, incident)

    async def schedule(self, incident: Incident) -> None:
        """The incident is over: everything that its verified runs have changed will be put back. Safe to repeat.

        Not where it only expired: nothing says that what was wrong is right by now.
        """
        if incident.expired:
            return
        for run in await self._store.runs(incident_id=incident.id, limit=100):
            if run.status is RunStatus.VERIFIED and run.rearmed_at is None and run.id not in self._pending:
                await self._add(run, incident)

    async def work(self) -> None:
        """Put back what is due, for as long as Homeostat runs."""
        while True:
            changed = self._changed
            due = [item for item in self._pending.values() if item.due <= self._clock.now()]
            for item in due:
                await self._try(item)
            with anyio.move_on_after(self._wait_s()):
                await changed.wait()

    def _wait_s(self) -> float:
        """Seconds until the next is due; endless when none is."""
        now = self._clock.now()
        waits = [max(0.0, (item.due - now).total_seconds()) for item in self._pending.values()]
        return min(waits, default=float("inf"))

    async def _add(self, run: Run, incident: Incident) -> None:
        action = self._actions.get(run.step.action)
        if not self._config.enabled or action is None or action.spec.undo is None:
            return
        memo = await self._memo(run.step.resource)
        relapses = _relapses(run, memo)
        hold_off = min(self._config.hold_off * self._config.backoff**relapses, HOLD_OFF_MAX)
        over_at = max(
            moment for moment in (incident.closed_at, run.finished_at, run.created_at) if moment is not None
        )
        self._pending[run.id] = Pending(run, over_at + hold_off, relapses, hold_off)
        self._wake()
        if relapses and relapses % FLAPPING_RELAPSES == 0 and self._config.backoff > 1:
            title = f"{run.step.resource} relapses each time it is put back"
            detail = (
                f"{relapses} times in a row the trouble came back soon after. "
                f"The next attempt is at {over_at + hold_off:%Y-%m-%d %H:%M} UTC. Somebody should look at the cause."
            )
            await self._story.of_run(TimelineKind.ESCALATED, run, title, detail=detail)

    async def _try(self, item: Pending) -> None:
        try:
            async with self._locks.hold(item.run.step.resource):
                if await self._obstacle(item.run):
                    item.due = self._clock.now() + timedelta(seconds=RETRY_S)
                else:
                    await self._put_back(item)
        except StoreError as error:
            item.due = self._clock.now() + timedelta(seconds=STORE_RETRY_S)
            log.error("Putting %s back is tried again at %s: %s", item.run.step.resource, item.due, error)
        except Exception as error:  # the boundary of a task for all: one driver's fault must not end it
            item.due = self._clock.now() + max(item.hold_off, timedelta(seconds=RETRY_S))
            known = isinstance(error, ActionError)
            log.warning(
                "Putting %s back failed; next try at %s", item.run.step.resource, item.due, exc_info=not known
            )
            if not item.complained:
                item.complained = True
                title = f"{item.run.step.resource} could not be put back"
                await self._story.of_run(TimelineKind.ESCALATED, item.run, title, detail=str(error) or repr(error))

    async def _obstacle(self, run: Run) -> bool:
        """Is all well? Not while an open incident is about the same resource or the same services, or maintenance."""
        healed = await self._store.incident(run.incident_id)
        services = set(healed.affected_services) if healed else set[str]()
        now, touched = self._clock.now(), (run.step.resource, *map(service_id, services))
        if any(self._maintenance(resource, now) for resource in touched):
            return True
        for incident in await self._store.incidents(open_only=True, limit=1000):
            if services & set(incident.affected_services):
                return True
            others = await self._store.runs(incident_id=incident.id, limit=100)
            if any(_still_counts(other) and other.step.resource == run.step.resource for other in others):
                return True
        return False

    async def _put_back(self, item: Pending) -> None:
        latest = await self._store.run(item.run.id)
        if latest is None or latest.rearmed_at is not None:
            self._pending.pop(item.run.id, None)
            return
        item.changed |= await self._actions[latest.step.action].rearm(latest)
        now = self._clock.now()
        memo = Memo(rearmed_at=now, relapses=item.relapses, hold_off=item.hold_off)
        await self._store.put_setting(_key(latest.step.resource), memo.model_dump_json())
        latest = await self._record(latest.model_copy(update={"rearmed_at": now}))
        self._pending.pop(latest.id, None)
        if item.changed:
            detail = f"The incident had been over for {item.hold_off.total_seconds():.0f} s."
            title = f"Put {latest.step.resource} back"
            await self._story.of_run(TimelineKind.RECOVERED, latest, title, detail=detail)

    async def _memo(self, resource: str) -> Memo | None:
        text = await self._store.get_setting(_key(resource))
        return None if text is None else Memo.model_validate_json(text)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def _key(resource: str) -> str:
    return f"recovery:{resource}"


def _still_counts(run: Run) -> bool:
    return run.status is RunStatus.VERIFIED or run.status not in TERMINAL_RUN_STATUSES


def _relapses(run: Run, memo: Memo | None) -> int:
    """How many recoveries in a row were followed by trouble, this run's included."""
    if memo is None or run.intent_at is None or run.intent_at < memo.rearmed_at:
        return 0
    soon = run.intent_at - memo.rearmed_at <= max(memo.hold_off, SOON_MIN)
    return memo.relapses + 1 if soon else 0
