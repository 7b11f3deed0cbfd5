"""Restarts a crashed process at once while its incident waits for a person or for the verdict on something else.

Runs beside ``treatment``, which is one step at a time: an open question may stand for a quarter of an hour, and a
process that is down need not wait for it where the policy lets it be restarted without asking. As soon as the
treatment is free again, it goes on alone. One act per resource at a time holds here too.
"""

import logging

import anyio

from homeostat.core.errors import StoreError
from homeostat.core.models import (
    AUTOMATIC,
    TERMINAL_RUN_STATUSES,
    Issue,
    IssueStatus,
    IssueType,
    PlanStep,
    PolicyMode,
    Run,
    RunStatus,
    TimelineKind,
)
from homeostat.heal.course import FAULT_PAUSE_S, RECHECK_S, Course
from homeostat.heal.judge import Word
from homeostat.heal.story import in_words, name_of

log = logging.getLogger(__name__)


class FirstAid(Course):
    """Watches one case for crashes that its treatment has no hand free for."""

    async def work(self) -> None:
        """Until cancelled: each crash of the incident has a task of its own for as long as its issue is open."""
        watched: set[str] = set()
        async with anyio.create_task_group() as tasks:
            while True:
                for issue in self._case.open_issues:
                    if issue.type is IssueType.PROCESS_CRASH and issue.id not in watched:
                        watched.add(issue.id)
                        tasks.start_soon(self._watch, issue.id, watched)
                await self._case.updated()

    async def _watch(self, issue_id: str, watched: set[str]) -> None:
        while not self._case.over and (issue := self._open(issue_id)) is not None:
            pause_s = RECHECK_S
            if self._needed(issue):
                self._case.aided.add(issue_id)
                try:
                    pause_s = await self._help(issue)
                except StoreError as error:  # the journal says where to go on
                    log.error("Restarting %s waits for the store: %s", issue.resource, error)
                    pause_s = FAULT_PAUSE_S
                except Exception:  # the boundary of this task: one crash must not end the healing of all
                    log.exception("Restarting %s broke off", issue.resource)
                    pause_s = FAULT_PAUSE_S
                finally:
                    self._case.aided.discard(issue_id)
            await anyio.sleep(pause_s)
        watched.discard(issue_id)

    def _needed(self, issue: Issue) -> bool:
        """Is the treatment busy, and with something else?"""
        busy_with = {self._case.acting, self._case.asking} - {None}
        return bool(busy_with) and issue.id not in busy_with

    async def _help(self, issue: Issue) -> float:
        """Begin, or go on with, what the policy allows without asking; seconds until the next look."""
        runs = await self._runs()
        own = [run for run in runs if run.issue_id == issue.id]
        begun = next((run for run in own if run.status not in TERMINAL_RUN_STATUSES), None)
        if begun is not None:
            return await self._go_on(begun, issue)
        verified = sum(run.status is RunStatus.VERIFIED for run in own)
        if self._obstacle(own, verified) is not None or not await self._is_down(issue, again=bool(own)):
            return RECHECK_S  # the treatment says so when it gets to it
        plan = await self._plan([issue])
        if not plan.steps:
            return RECHECK_S
        step = plan.steps[0]
        rest_s = self._rest_s(step, runs)
        if rest_s > 0:
            return rest_s
        if not self._may_be_done(step):
            return RECHECK_S
        run = await self._new_run(step, plan, AUTOMATIC)
        async with self._ward.locks.hold(step.resource):
            if self._open(issue.id) is None or not await self._is_down(issue, again=bool(own)):
                return RECHECK_S
            async with self._ward.admission:
                refusal = await self._refusal(run)
                if refusal is None:
                    run = await self._ward.runner.begin(run)
            if refusal is not None:
                return await self._refused(run, refusal)
            await self._ward.story.of_run(
                TimelineKind.PLANNED,
                run,
                f"Planned {step.action} on {step.resource} at once",
                detail=in_words(plan),
            )
            await self._ward.runner.carry_out(run, issue, self._closing_of(run))
        return RECHECK_S

    async def _go_on(self, run: Run, issue: Issue) -> float:
        if run.status is not RunStatus.AWAITING_APPROVAL:
            log.info("Going on with %s (%s), which was %s", name_of(run), run.id, run.status)
            async with self._ward.locks.hold(run.step.resource):
                await self._ward.runner.resume(run, issue, self._closing_of(run))
        return RECHECK_S

    def _may_be_done(self, step: PlanStep) -> bool:
        return self._decision(step).mode is PolicyMode.AUTO

    async def _is_down(self, issue: Issue, *, again: bool) -> bool:
        """Not up; after a first try only where that is known, because it takes a moment until it is seen."""
        word = (await self._ward.verifier.look(issue, self._ward.clock.now())).word
        return word is Word.BAD or (word is Word.UNKNOWN and not again)

    def _open(self, issue_id: str) -> Issue | None:
        if self._case.over:
            return None
        found = next((issue for issue in self._case.issues if issue.id == issue_id), None)
        return found if found is not None and found.status is IssueStatus.OPEN else None
