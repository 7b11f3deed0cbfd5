"""A small sick system for healing tests under virtual time: signals follow its state, actions touch it."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import anyio

from homeostat.bus import LocalBus
from homeostat.core.config import Config, HealConfig, LimitConfig, RecoveryConfig
from homeostat.core.errors import ActionError
from homeostat.core.models import (
    ActionSpec,
    EffectClass,
    Evidence,
    Incident,
    IncidentStatus,
    Issue,
    IssueStatus,
    IssueType,
    PolicyMode,
    Risk,
    RootCause,
    Run,
    Scalar,
    Severity,
    Signal,
    Target,
    TimelineKind,
)
from homeostat.heal import Healer
from homeostat.sim.world import Simulation
from support.memory_state import MemoryState

RATE_PER_S = 15.0
SERVICE = "service:payment"


@dataclass
class Patient:
    """One service. ``sick`` says whether its requests fail now; ``traffic`` whether it has any."""

    sim: Simulation
    sick: bool = True
    traffic: bool = True
    up: float | None = 1.0
    residue: float = 0.0  # the share of requests that fails also when it is not sick
    changes: list[tuple[datetime, bool]] = field(default_factory=list)

    def turn(self, sick: bool) -> None:
        self.sick = sick
        self.changes.append((self.sim.clock.now(), sick))

    async def read(self, resource: str, name: str, *, since: datetime, operation: str | None = None) -> Signal:
        now = self.sim.clock.now()
        if name == "up":
            return Signal(resource=resource, name=name, value=self.up, unit="bool", time=now)
        seconds = max(0, int((now - since).total_seconds()))
        requests = int(seconds * RATE_PER_S) if self.traffic else 0
        sick_s = sum(self._sick_at(now - timedelta(seconds=back)) for back in range(seconds))
        value = (0.3 * sick_s + self.residue * (seconds - sick_s)) / seconds if requests else None
        return Signal(resource=resource, name=name, value=value, unit="ratio", time=now, sample_size=requests)

    def _sick_at(self, moment: datetime) -> bool:
        state = not self.changes[0][1] if self.changes else self.sick
        for at, sick in self.changes:
            if at <= moment:
                state = sick
        return state


@dataclass
class Remedy:
    """An action on one resource. ``cures`` makes the patient well; ``effects`` counts what really happened."""

    patient: Patient
    name: str = "cure"
    resource: str = "thing:one"
    confidence: float = 0.9
    cures: bool = True
    effect: EffectClass = EffectClass.IDEMPOTENT
    undoable: bool = True
    risk: Risk = Risk.LOW
    takes_s: float = 0.1
    refuses: str | None = None
    answers: tuple[IssueType, ...] = (IssueType.HIGH_ERROR_RATE,)
    effects: list[str] = field(default_factory=list)
    on: bool = True  # the state of the thing: acting turns it off
    can_tell: bool = True
    tries: int = 1

    @property
    def spec(self) -> ActionSpec:
        return ActionSpec(
            name=self.name,
            title=self.name,
            driver="clinic",
            resource_kinds=("thing",),
            answers=self.answers,
            risk=self.risk,
            effect=self.effect,
            undo="It is turned on again." if self.undoable else None,
            expected_duration_s=0.1,
            tries=self.tries,
        )

    async def targets(self, issue: Issue, incident: Incident) -> Sequence[Target]:
        return [Target(resource=self.resource, why="because", confidence=self.confidence)] if self.on else []

    async def prepare(self, resource: str, parameters: dict[str, Scalar]) -> dict[str, Scalar]:
        return {"on": self.on}

    async def act(self, run: Run) -> dict[str, Scalar]:
        await anyio.sleep(self.takes_s / 2)
        if self.refuses:
            raise ActionError(self.refuses)
        self._set(False, f"act {run.id}")
        await anyio.sleep(self.takes_s / 2)
        return {}

    async def probe(self, run: Run) -> bool | None:
        return (f"act {run.id}" in self.effects) if self.can_tell else None

    async def undo(self, run: Run) -> dict[str, Scalar]:
        await anyio.sleep(self.takes_s / 2)
        self._set(True, f"undo {run.id}")
        await anyio.sleep(self.takes_s / 2)
        return {}

    async def rearm(self, run: Run) -> bool:
        was = self.on
        self._set(True, f"rearm {run.id}")
        return not was

    def _set(self, on: bool, what: str) -> None:
        self.effects.append(what)
        if self.cures and self.on != on:
            self.patient.turn(on)
        self.on = on


def a_config(
    *,
    mode: PolicyMode = PolicyMode.AUTO,
    limits: LimitConfig | None = None,
    hold_off_s: float = 10.0,
    backoff: float = 2.0,
    heal: dict[str, object] | None = None,
) -> Config:
    return Config(
        heal=HealConfig.model_validate(
            {
                "mode": mode,
                "limits": limits or LimitConfig(),
                "recovery": RecoveryConfig(hold_off=timedelta(seconds=hold_off_s), backoff=backoff),
                **(heal or {}),
            }
        )
    )


class Clinic:
    """Store, bus and healer around a patient; the test plays the part of detection."""

    def __init__(self, sim: Simulation, patient: Patient, remedies: Sequence[Remedy], config: Config) -> None:
        self.sim = sim
        self.patient = patient
        self.remedies = list(remedies)
        self.config = config
        self.state = MemoryState()
        self.bus = LocalBus()
        self.healer = self._new_healer()

    def _new_healer(self) -> Healer:
        return Healer(
            config=self.config,
            actions=self.remedies,
            signals=self.patient,
            store=self.state,
            bus=self.bus,
            clock=self.sim.clock,
            ids=self.sim.ids,
        )

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Healer]:
        """A process of Homeostat: leaving it is a kill, as far as the healer can tell."""
        self.healer = self._new_healer()
        async with self.healer.running():
            await self.healer.recover()
            yield self.healer

    async def fall_ill(
        self, *, type_: IssueType = IssueType.HIGH_ERROR_RATE, resource: str = SERVICE, cause: RootCause | None = None
    ) -> Incident:
        """Detection opens an issue and its incident, stores both and tells the healer."""
        now = self.sim.clock.now()
        incident_id = self.sim.ids.new("incident")
        issue = Issue(
            id=self.sim.ids.new("issue"),
            type=type_,
            severity=Severity.HIGH,
            resource=resource,
            fingerprint=f"{type_}|{resource}",
            title="errors",
            description="",
            evidence=Evidence(
                signal="up" if type_ is IssueType.PROCESS_CRASH else "error_rate",
                observed=0.0 if type_ is IssueType.PROCESS_CRASH else 0.3,
                threshold=0.05,
                unit="ratio",
            ),
            first_bad_at=now - timedelta(seconds=2),
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
            affected_services=("payment",),
            root_cause=cause,
            first_bad_at=issue.first_bad_at,
            opened_at=now,
            updated_at=now,
        )
        await self.state.save_issue(issue)
        await self.state.save_incident(incident)
        self.healer.consider(incident, [issue])
        return incident

    async def get_well(self, incident: Incident) -> Incident:
        """Detection closes the incident and its issues."""
        now = self.sim.clock.now()
        for issue_id in incident.issue_ids:
            issue = self.state.issues_by_id[issue_id]
            await self.state.save_issue(
                issue.model_copy(update={"status": IssueStatus.CLOSED, "closed_at": now, "updated_at": now})
            )
        closed = incident.model_copy(update={"status": IncidentStatus.CLOSED, "closed_at": now, "updated_at": now})
        await self.state.save_incident(closed)
        await self.healer.incident_closed(closed)
        return closed

    def kinds(self, incident: Incident | None = None) -> list[TimelineKind]:
        """What the story says happened, in order."""
        return [entry.kind for entry in self.state.entries if incident is None or entry.incident_id == incident.id]

    @property
    def runs(self) -> list[Run]:
        """Every run, oldest first."""
        return list(self.state.runs_by_id.values())
