"""What healing adds to the story: lines about runs, and the plan of each incident. Used by all of ``heal``."""

import logging
from collections import deque
from typing import Unpack

import anyio

from homeostat.core.errors import StoreError
from homeostat.core.models import Plan, Run, Scalar, TimelineEntry, TimelineKind, Verdict
from homeostat.core.ports import Bus, Clock, Ids, IncidentStore, SettingStore
from homeostat.story import About, Story

log = logging.getLogger(__name__)

UNTOLD_MAX = 1_000
"""Lines kept for a store that has no room. Beyond these the oldest are only in the log."""

RETRY_S = 5.0
"""How often lines are offered again to a store that could not take them."""


class RunStory(Story):
    """The story, with runs in it. Telling is no reason for not acting: what cannot be stored now is told later."""

    def __init__(self, store: IncidentStore, bus: Bus, clock: Clock, ids: Ids) -> None:
        super().__init__(store, bus, clock, ids)
        self._untold: deque[TimelineEntry] = deque(maxlen=UNTOLD_MAX)
        self._has_untold = anyio.Event()

    async def work(self) -> None:
        """Tell what could not be told at once, for as long as Homeostat runs."""
        while True:
            await self._has_untold.wait()
            await anyio.sleep(RETRY_S)
            self._has_untold = anyio.Event()
            await self._catch_up()

    async def tell(self, kind: TimelineKind, title: str, detail: str = "", **about: Unpack[About]) -> None:
        """Add an entry. One that cannot be stored now is kept, in order and with its time, and told later."""
        self._untold.append(self.entry(kind, title, detail, **about))
        if len(self._untold) == 1:  # nothing older waits
            await self._catch_up()

    async def _catch_up(self) -> None:
        try:
            while self._untold:
                entry = self._untold[0]
                await self.add(entry)
                if self._untold[0] is entry:  # else it was pushed out meanwhile
                    self._untold.popleft()
        except StoreError as error:
            log.error("The story cannot be stored and is told later (%s): %s", self._untold[0].title, error)
        finally:
            if self._untold:
                self._has_untold.set()

    async def of_run(
        self, kind: TimelineKind, run: Run, title: str, *, detail: str = "", data: dict[str, Scalar] | None = None
    ) -> None:
        """Add one line about a run."""
        numbers: dict[str, Scalar] = {"run_id": run.id, "action": run.step.action, "attempt": run.attempt}
        await self.tell(
            kind,
            title,
            detail,
            incident_id=run.incident_id,
            resource=run.step.resource,
            data={**numbers, **(data or {})},
        )

    def run_changed(self, run: Run) -> None:
        """Announce a run that has been journalled."""
        self._bus.publish("runs", run.model_dump(mode="json"))


class PlanBook:
    """The present plan of each incident, as a setting: it outlives the runs that are made from it."""

    def __init__(self, settings: SettingStore) -> None:
        self._settings = settings

    async def load(self, incident_id: str) -> Plan | None:
        """The plan that was last made, or None."""
        text = await self._settings.get_setting(f"plan:{incident_id}")
        return None if text is None else Plan.model_validate_json(text)

    async def save(self, plan: Plan) -> None:
        """Replace the incident's plan."""
        await self._settings.put_setting(f"plan:{plan.incident_id}", plan.model_dump_json())


def name_of(run: Run) -> str:
    """``restart_process on process:payment``."""
    return f"{run.step.action} on {run.step.resource}"


def in_words(plan: Plan) -> str:
    """The candidates, numbered, with why."""
    return "\n".join(
        f"{number}. {step.action} on {step.resource} (confidence {step.confidence:.2f}): {step.why}"
        for number, step in enumerate(plan.steps, 1)
    )


def numbers_of(verdict: Verdict) -> dict[str, Scalar]:
    """A verdict as the data of a timeline entry."""
    return {
        "helped": verdict.helped,
        "signal": verdict.signal,
        "before": verdict.before,
        "after": verdict.after,
        "unit": verdict.unit,
        "sample_size": verdict.sample_size,
    }
