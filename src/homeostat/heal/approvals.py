"""Asks a person, and waits. No answer in time means no. Used by ``treatment``; answered through ``healer``.

An approval binds to the digest of the plan that the person saw, and is journalled before anything happens.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import anyio

from homeostat.core.errors import BadRequestError, ConflictError, NotFoundError
from homeostat.core.models import Run, RunStatus, TimelineKind
from homeostat.core.ports import Clock
from homeostat.heal.ledger import Ledger
from homeostat.heal.story import RunStory, name_of

EXPIRY = timedelta(minutes=15)
"""A question that nobody has answered for so long is about a state of things that is gone."""

Record = Callable[[Run], Awaitable[Run]]
"""``Runner.record``."""


class Approvals:
    """Questions that are open, and their answers."""

    def __init__(self, ledger: Ledger, record: Record, story: RunStory, clock: Clock) -> None:
        self._ledger = ledger
        self._record = record
        self._story = story
        self._clock = clock
        self._answered: dict[str, anyio.Event] = {}
        self._deciding = anyio.Lock()  # an answer and the expiry of its question must not both count

    async def ask(self, run: Run) -> Run:
        """Journal the question."""
        run = await self._record(run.model_copy(update={"status": RunStatus.AWAITING_APPROVAL}))
        detail = f"{run.step.why}. Without an answer until {expires_at(run):%H:%M:%S} UTC it will not be done."
        await self._story.of_run(TimelineKind.APPROVAL, run, f"May I do {name_of(run)}?", detail=detail)
        return run

    async def answer(self, run: Run) -> Run:
        """Wait for yes (``approved_by`` is set) or no (REJECTED). A question from before a crash still stands."""
        event = self._answered.setdefault(run.id, anyio.Event())
        try:
            latest = await self._latest(run.id)
            if _open(latest):
                left = (expires_at(run) - self._clock.now()).total_seconds()
                with anyio.move_on_after(max(0.0, left)):
                    await event.wait()
            async with self._deciding:
                latest = await self._latest(run.id)
                if not _open(latest):
                    return latest
                minutes = EXPIRY.total_seconds() / 60
                return await self._no(latest, f"nobody answered within {minutes:.0f} minutes, which means no")
        finally:
            self._answered.pop(run.id, None)

    async def approve(self, run_id: str, who: str, digest: str) -> Run:
        """A person says yes to the plan with this digest. Raises NotFoundError, ConflictError, BadRequestError."""
        async with self._deciding:
            run = await self._asked(run_id, who)
            if run.plan_digest != digest:
                raise ConflictError(f"The plan has changed since it was shown. Its digest is {run.plan_digest} now.")
            if self._clock.now() >= expires_at(run):
                raise ConflictError("The question has expired, which means no. Wait for the next plan.")
            run = await self._record(run.model_copy(update={"approved_by": who}))
            await self._story.of_run(TimelineKind.APPROVAL, run, f"{who} approved {name_of(run)}")
        self._wake(run_id)
        return run

    async def reject(self, run_id: str, who: str, reason: str) -> Run:
        """A person says no. Raises NotFoundError, ConflictError, BadRequestError."""
        async with self._deciding:
            run = await self._no(
                await self._asked(run_id, who), f"{who} said no: {reason}" if reason else f"{who} said no"
            )
        self._wake(run_id)
        return run

    async def withdraw(self, incident_id: str, reason: str) -> None:
        """Take back every open question about an incident."""
        for run in await self._ledger.of_incident(incident_id):
            if _open(run):
                async with self._deciding:
                    latest = await self._latest(run.id)
                    if _open(latest):
                        await self._no(latest, reason)
                self._wake(run.id)

    async def refuse(self, run: Run, reason: str) -> Run:
        """An approved run that may not begin after all (a limit, or the trouble is over)."""
        return await self._no(run, reason)

    async def _asked(self, run_id: str, who: str) -> Run:
        if not who.strip():
            raise BadRequestError("Say who you are: an approval carries a name.")
        run = await self._latest(run_id)
        if not _open(run):
            said = f"was approved by {run.approved_by} already" if run.approved_by else f"is {run.status}"
            raise ConflictError(f"Run {run_id} does not await approval: it {said}.")
        return run

    async def _latest(self, run_id: str) -> Run:
        run = await self._ledger.run(run_id)
        if run is None:
            raise NotFoundError(f"There is no run {run_id!r}.")
        return run

    async def _no(self, run: Run, reason: str) -> Run:
        update = {"status": RunStatus.REJECTED, "error": reason, "finished_at": self._clock.now()}
        run = await self._record(run.model_copy(update=update))
        await self._story.of_run(TimelineKind.APPROVAL, run, f"{name_of(run)} is not done", detail=reason)
        return run

    def _wake(self, run_id: str) -> None:
        event = self._answered.get(run_id)
        if event is not None:
            event.set()


def expires_at(run: Run) -> datetime:
    """When a question has waited long enough."""
    return run.created_at + EXPIRY


def _open(run: Run) -> bool:
    return run.status is RunStatus.AWAITING_APPROVAL and run.approved_by is None
