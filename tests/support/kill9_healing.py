"""A process that heals many incidents at once with effects that stay: lines in a file. It is started to be killed.

Each incident is about a thing of its own. ``probeable`` things get a line in a file, which must be there exactly
once; ``idempotent`` things are a file each, which may be written again.
"""

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import anyio

from homeostat.bus import LocalBus
from homeostat.core.config import Config
from homeostat.core.models import (
    TERMINAL_RUN_STATUSES,
    ActionSpec,
    EffectClass,
    Evidence,
    Incident,
    IncidentStatus,
    Issue,
    IssueType,
    Risk,
    Run,
    Scalar,
    Severity,
    Signal,
    Target,
)
from homeostat.core.ports import StateStore
from homeostat.heal import Healer
from homeostat.runtime import SystemClock, SystemIds
from homeostat.store.state import open_state

ABREAST = 16
ACT_S = 0.004


class Thing:
    """The action of one effect class, and the signal of what it acts on: bad until it has acted."""

    def __init__(self, directory: Path, effect: EffectClass) -> None:
        self._effect = effect
        self._lines = directory / "effects.txt"
        self._files = directory / "things"
        self._files.mkdir(exist_ok=True)

    @property
    def spec(self) -> ActionSpec:
        return ActionSpec(
            name=f"mend_{self._effect}",
            title="Mend",
            driver="test",
            resource_kinds=("service",),
            answers=(IssueType.HIGH_ERROR_RATE,),
            risk=Risk.LOW,
            effect=self._effect,
            undo="It is broken again.",
            expected_duration_s=0.01,
            settle_s=0.0,
        )

    async def targets(self, issue: Issue, incident: Incident) -> Sequence[Target]:
        if not issue.resource.startswith(f"service:{self._effect}"):
            return []
        return [Target(resource=issue.resource, why="it is broken", confidence=0.9)]

    async def prepare(self, resource: str, parameters: dict[str, Scalar]) -> dict[str, Scalar]:
        return {}

    async def act(self, run: Run) -> dict[str, Scalar]:
        await anyio.sleep(ACT_S)
        if self._effect is EffectClass.PROBEABLE:
            with self._lines.open("a") as lines:
                lines.write(f"{run.id} {run.step.resource}\n")
        (self._files / run.step.resource).write_text("mended")
        await anyio.sleep(ACT_S)
        return {}

    async def probe(self, run: Run) -> bool | None:
        return self._lines.exists() and f"{run.id} " in self._lines.read_text()

    async def undo(self, run: Run) -> dict[str, Scalar]:
        raise AssertionError("what helped is not undone")

    async def rearm(self, run: Run) -> bool:
        return False

    def mended(self, resource: str) -> bool:
        return (self._files / resource).exists()


class Signals:
    """Bad until mended; always enough requests to say so."""

    def __init__(self, things: dict[str, Thing]) -> None:
        self._things = things

    async def read(self, resource: str, name: str, *, since: datetime, operation: str | None = None) -> Signal:
        well = next(iter(self._things.values())).mended(resource)
        now = SystemClock().now()
        return Signal(
            resource=resource, name=name, value=0.0 if well else 0.3, unit="ratio", time=now, sample_size=1000
        )


def effect_of(number: int) -> EffectClass:
    return EffectClass.PROBEABLE if number % 2 else EffectClass.IDEMPOTENT


def main(directory: str, incidents: int) -> None:
    """Heal incidents 0..incidents-1; those that are on record are left to ``recover``. Ends when all runs have."""
    anyio.run(_main, Path(directory), incidents)
    (Path(directory) / "done").touch()
    os._exit(0)


async def _main(directory: Path, incidents: int) -> None:
    things = {effect.value: Thing(directory, effect) for effect in (EffectClass.IDEMPOTENT, EffectClass.PROBEABLE)}
    clock = SystemClock()
    limits = {"per_resource_per_hour": 10, "per_hour": 100_000}
    async with open_state(directory / "state.db", clock).opened() as state:
        healer = Healer(
            config=Config.model_validate({"heal": {"mode": "auto", "limits": limits}}),
            actions=list(things.values()),
            signals=Signals(things),
            store=state,
            bus=LocalBus(),
            clock=clock,
            ids=SystemIds(),
        )
        async with healer.running():
            await healer.recover()
            limiter = anyio.CapacityLimiter(ABREAST)
            async with anyio.create_task_group() as tasks:
                for number in range(incidents):
                    tasks.start_soon(_one, state, healer, number, limiter)


async def _one(state: StateStore, healer: Healer, number: int, limiter: anyio.CapacityLimiter) -> None:
    incident_id = f"incident-{number}"
    async with limiter:
        if await state.incident(incident_id) is None:
            incident, issue = _an_incident(incident_id, f"service:{effect_of(number)}-{number}")
            await state.save_issue(issue)
            await state.save_incident(incident)
            healer.consider(incident, [issue])
        while True:
            runs = await state.runs(incident_id=incident_id)
            if runs and runs[0].status in TERMINAL_RUN_STATUSES:
                return
            await anyio.sleep(0.01)


def _an_incident(incident_id: str, resource: str) -> tuple[Incident, Issue]:
    now = SystemClock().now()
    issue = Issue(
        id=f"issue-of-{incident_id}",
        type=IssueType.HIGH_ERROR_RATE,
        severity=Severity.HIGH,
        resource=resource,
        fingerprint=f"high_error_rate|{resource}",
        title="errors",
        description="",
        evidence=Evidence(signal="error_rate", observed=0.3, threshold=0.05, unit="ratio"),
        first_bad_at=now,
        opened_at=now,
        updated_at=now,
        incident_id=incident_id,
    )
    incident = Incident(
        id=incident_id,
        title="errors",
        status=IncidentStatus.OPEN,
        severity=Severity.HIGH,
        issue_ids=(issue.id,),
        affected_services=(resource.removeprefix("service:"),),
        root_cause=None,
        first_bad_at=now,
        opened_at=now,
        updated_at=now,
    )
    return incident, issue
