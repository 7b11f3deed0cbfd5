"""Carries out one step, durably: intent -> act -> verdict -> (undo). Every state is on disk before the next begins.

Killed at any point, ``resume`` goes on from what the journal holds: an idempotent act is done again, a probeable one
is looked for first, and what cannot be known is handed to a person (IN_DOUBT). Called by ``treatment``.
"""

import logging
from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import TypeVar

import anyio

from homeostat.core.errors import ActionError, InDoubtError, StoreError
from homeostat.core.models import EffectClass, Issue, Run, RunStatus, TimelineKind, Verdict
from homeostat.core.ports import Action, Clock
from homeostat.heal.ledger import Ledger
from homeostat.heal.story import RunStory, name_of, numbers_of
from homeostat.heal.verify import ClosedAt, Verifier

log = logging.getLogger(__name__)

T = TypeVar("T")

CALL_TIMEOUT_MIN_S = 60.0
"""No action is given up earlier. It may take longer where it says so itself (ten times its expected duration)."""

UNDO_TRIES = 3
UNDO_PAUSE_S = 1.0

STORE_PAUSE_S = 1.0
"""How often a store that fails is tried again for what has already happened and must be recorded."""


class Runner:
    """Executes runs of the actions that the drivers offer."""

    def __init__(
        self, ledger: Ledger, actions: Mapping[str, Action], verifier: Verifier, story: RunStory, clock: Clock
    ) -> None:
        self._ledger = ledger
        self._actions = actions
        self._verifier = verifier
        self._story = story
        self._clock = clock

    async def record(self, run: Run) -> Run:
        """Journal a run as it is now, and announce it. Raises StoreError: then nothing further may be done."""
        await self._ledger.append(run)
        self._story.run_changed(run)
        return run

    async def begin(self, run: Run) -> Run:
        """Look at the state before, and journal the intent. The run comes back FAILED when it could not be prepared.

        Raises StoreError when the state before cannot be read or the intent not be journalled: then nothing has been
        touched.
        """
        try:
            action = self._action(run)
            before = await _bounded(action, action.prepare(run.step.resource, run.step.parameters))
        except StoreError:
            raise
        except Exception as error:  # a driver's fault included: nothing has been touched yet
            log.warning("%s could not be prepared", name_of(run), exc_info=True)
            return await self._failed(run, str(error) or f"looking at the state before failed: {error!r}")
        now = self._clock.now()
        return await self.record(
            run.model_copy(update={"status": RunStatus.INTENT, "before": before, "intent_at": now})
        )

    async def carry_out(self, run: Run, issue: Issue | None, closed_at: ClosedAt = lambda: None) -> Run:
        """From the journalled intent to a terminal state. ``issue`` None: there is no signal left to judge by.

        ``closed_at`` says when detection has closed the issue. Raises StoreError where an act needs a store that has
        no room (a flag is one): ``resume`` goes on from the journal.
        """
        if run.step.action not in self._actions:
            return await self._in_doubt(run, "No driver here offers this action any more: was its driver removed?")
        if run.status is RunStatus.INTENT:
            run = await self._act(run)
        if run.status is RunStatus.ACTED:
            run = await self._verify(run, issue, closed_at)
        if run.status is RunStatus.NOT_HELPED:
            run = await self._undo(run)
        return run

    async def resume(self, run: Run, issue: Issue | None, closed_at: ClosedAt = lambda: None) -> Run:
        """Go on with a run that a crash interrupted, by the effect class of its action."""
        if run.status is RunStatus.INTENT and run.effect is not EffectClass.IDEMPOTENT:
            run = await self._find_out(run, f"Homeostat ended while {name_of(run)} was under way.")
            if run.status is RunStatus.FAILED:  # surely not done: the intent still stands
                run = run.model_copy(update={"status": RunStatus.INTENT, "error": None, "finished_at": None})
        elif run.status is RunStatus.ACTED:
            run = run.model_copy(update={"acted_at": self._clock.now()})  # telemetry before this was not watched
        return await self.carry_out(run, issue, closed_at)

    # -- act ------------------------------------------------------------------------------------------------

    async def _act(self, run: Run) -> Run:
        try:
            action = self._action(run)
            result = await _bounded(action, action.act(run))
        except InDoubtError as error:
            return await self._broken_off(run, str(error))
        except ActionError as error:
            return await self._failed(run, str(error))
        except StoreError:  # not the remedy's fault: it is not written off, but resumed
            raise
        except Exception as error:  # a driver's fault: what it did is unknown, and has to be found out
            log.exception("%s failed in a way that its driver does not declare", name_of(run))
            return await self._broken_off(run, f"{name_of(run)} broke off: {error!r}.")
        return await self._acted(run.model_copy(update={"result": result}))

    async def _broken_off(self, run: Run, problem: str) -> Run:
        run = await self._find_out(run, problem)
        return await self._failed(run, run.error or problem) if run.status is RunStatus.FAILED else run

    async def _acted(self, run: Run) -> Run:
        now = self._clock.now()
        run = await self._record_surely(run.model_copy(update={"status": RunStatus.ACTED, "acted_at": now}))
        await self._story.of_run(TimelineKind.ACTED, run, f"Did {name_of(run)}", detail=run.step.why)
        return run

    async def _find_out(self, run: Run, occasion: str) -> Run:
        """Probe. ACTED: it happened. FAILED (not journalled yet): it did not. IN_DOUBT: nobody can tell."""
        happened: bool | None = None
        if run.effect is not EffectClass.OPAQUE:
            try:
                action = self._action(run)
                happened = await _bounded(action, action.probe(run))
            except (ActionError, TimeoutError):
                log.warning("Looking whether %s happened failed", name_of(run), exc_info=True)
        if happened is None:
            return await self._in_doubt(run, f"{occasion} It cannot be told whether it happened.")
        if happened:
            return await self._acted(run.model_copy(update={"result": {**run.result, "found": True}}))
        return run.model_copy(update={"status": RunStatus.FAILED, "error": f"{occasion} It did not happen."})

    # -- verify ---------------------------------------------------------------------------------------------

    async def _verify(self, run: Run, issue: Issue | None, closed_at: ClosedAt) -> Run:
        verdict = await self._verdict(run, issue, closed_at)
        now = self._clock.now()
        if verdict.helped:
            run = run.model_copy(update={"status": RunStatus.VERIFIED, "verdict": verdict, "finished_at": now})
            kind, title = TimelineKind.VERIFIED, f"{name_of(run)} helped"
        else:
            run = run.model_copy(update={"status": RunStatus.NOT_HELPED, "verdict": verdict})
            kind, title = TimelineKind.NOT_HELPED, f"{name_of(run)} did not help"
        await self._record_surely(run)
        await self._story.of_run(kind, run, title, detail=verdict.reason, data=numbers_of(verdict))
        return run

    async def _verdict(self, run: Run, issue: Issue | None, closed_at: ClosedAt) -> Verdict:
        acted_at: datetime = run.acted_at or self._clock.now()
        if issue is not None:
            return await self._verifier.verdict(
                issue,
                self._action(run).spec,
                acted_at,
                closed_at,
                resource=run.step.resource,
                begun_at=run.intent_at,
            )
        return Verdict(
            helped=None,
            signal="",
            before=None,
            after=None,
            unit="",
            sample_size=0,
            reason="Nobody can tell: the issue that it was to answer is not on record.",
            judged_at=self._clock.now(),
        )

    # -- undo -----------------------------------------------------------------------------------------------

    async def _undo(self, run: Run) -> Run:
        action, problem = self._action(run), ""
        if action.spec.undo is None:
            return await self._failed(run, "It did not help, and it cannot be taken back.", told=True)
        for attempt in range(1, UNDO_TRIES + 1):
            try:
                result = await _bounded(action, action.undo(run))
            except (ActionError, TimeoutError) as error:
                log.warning("Undoing %s failed (try %d of %d): %s", name_of(run), attempt, UNDO_TRIES, error)
                problem = str(error) or "it took too long"
                await anyio.sleep(UNDO_PAUSE_S)
                continue
            update = {
                "status": RunStatus.UNDONE,
                "finished_at": self._clock.now(),
                "result": {**run.result, **result},
            }
            run = await self._record_surely(run.model_copy(update=update))
            await self._story.of_run(TimelineKind.UNDONE, run, f"Took {name_of(run)} back", detail=action.spec.undo)
            return run
        return await self._in_doubt(run, f"It did not help, and taking it back failed: {problem}")

    # -- ends -----------------------------------------------------------------------------------------------

    async def _failed(self, run: Run, problem: str, *, told: bool = False) -> Run:
        update = {"status": RunStatus.FAILED, "error": problem, "finished_at": self._clock.now()}
        run = await self._record_surely(run.model_copy(update=update))
        if not told:
            title = f"{name_of(run)} could not be done"
            await self._story.of_run(TimelineKind.NOT_HELPED, run, title, detail=problem)
        return run

    async def _in_doubt(self, run: Run, problem: str) -> Run:
        update = {"status": RunStatus.IN_DOUBT, "error": problem, "finished_at": self._clock.now()}
        run = await self._record_surely(run.model_copy(update=update))
        await self._story.of_run(TimelineKind.ESCALATED, run, f"{name_of(run)} is in doubt", detail=problem)
        return run

    async def _record_surely(self, run: Run) -> Run:
        """Record what has happened: a store that fails is waited for, because the act cannot be unhappened."""
        while True:
            try:
                return await self.record(run)
            except StoreError as error:
                log.error("%s of %s cannot be journalled; trying again: %s", run.status, name_of(run), error)
                await anyio.sleep(STORE_PAUSE_S)

    def _action(self, run: Run) -> Action:
        action = self._actions.get(run.step.action)
        if action is None:
            raise ActionError(f"No driver here offers {run.step.action} any more. Is its driver installed?")
        return action


async def _bounded(action: Action, call: Awaitable[T]) -> T:
    """Await a driver's answer. Raises TimeoutError when it takes far longer than it said."""
    with anyio.fail_after(max(CALL_TIMEOUT_MIN_S, 10 * action.spec.expected_duration_s)):
        return await call
