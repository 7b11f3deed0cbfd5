"""Runs the cycles of a scenario: break, watch what Homeostat does, write down when, go on when all is whole again.

The rehearsal only watches. It never heals; with healing off it cleans up after each cycle, which is not counted.
What customers felt is read from the world itself, not from Homeostat's own telemetry.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio

from homeostat.core.errors import HomeostatError
from homeostat.core.models import Incident, IncidentStatus, Issue, Run, RunStatus
from homeostat.core.ports import Clock, Random
from homeostat.world.client import WorldClient
from homeostat.world.rehearsal.report import CycleReport, Report, Totals
from homeostat.world.rehearsal.scenarios import Fault, Scenario
from homeostat.world.rehearsal.witness import Witness

POLL_S = 0.1
CALM_S = 3  # seconds without a bad one before a fault is injected
RECOVERED_S = 5  # seconds without a bad one that count as recovered by itself
SETTLE_DEADLINE_S = 60.0


class NotCalmError(HomeostatError):
    """The world is still in trouble when the next fault would be due."""


@dataclass(frozen=True, slots=True)
class RehearsalOptions:
    """How a rehearsal is run."""

    seed: int
    cycles: int
    heal: bool
    patience_s: float = 60.0  # how long a cycle may take; without healing, how long the fault is left alone
    warm_up_s: float = 45.0  # healthy traffic first: a baseline takes half a minute to learn
    quiet_s: float = 600.0  # length of a rehearsal without a fault


@dataclass(frozen=True, slots=True)
class Healing:
    """What Homeostat had to say about one fault."""

    incidents: tuple[Incident, ...]
    issues: tuple[Issue, ...]
    runs: tuple[Run, ...]

    @property
    def verified(self) -> Run | None:
        """The run that helped."""
        return next((run for run in self.runs if run.status is RunStatus.VERIFIED), None)

    @property
    def closed(self) -> bool:
        """Are all incidents over?"""
        return bool(self.incidents) and all(item.status is IncidentStatus.CLOSED for item in self.incidents)


class Rehearsal:
    """One rehearsal from its first journey to its report."""

    def __init__(
        self,
        scenario: Scenario,
        options: RehearsalOptions,
        *,
        world: WorldClient,
        witness: Witness,
        clock: Clock,
        random: Random,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._scenario = scenario
        self._options = options
        self._world = world
        self._witness = witness
        self._clock = clock
        self._random = random
        self._tell = tell
        self._started = clock.now()

    async def run(self) -> Report:
        """Everything: warm up, all cycles, the report. Raises HomeostatError when the world never gets calm."""
        await self.prepare()
        cycles: list[CycleReport] = []
        if self._scenario.has_fault:
            for number in range(1, self._options.cycles + 1):
                cycles.append(await self.cycle(number))
                self._tell(tell_cycle(number, self._options.cycles, cycles[-1]))
        else:
            self._tell(f"No fault: {self._options.quiet_s:.0f} s of journeys")
            await anyio.sleep(self._options.quiet_s)
        return await self._report(cycles)

    async def prepare(self) -> None:
        """Bring the flags to where the scenario starts, and let healthy traffic make a baseline."""
        self._started = self._clock.now()
        await self._scenario.set_up(self._witness)
        self._tell(f"Warming up: {self._options.warm_up_s:.0f} s of healthy traffic")
        await anyio.sleep(self._options.warm_up_s)
        await self._wait_for_calm()

    async def _report(self, cycles: list[CycleReport]) -> Report:
        """Totals count from the first journey, the warm-up included: a false alarm there is one, too."""
        after = await self._world.stats()
        issues, actions = await self._witness.counts()
        return Report(
            scenario=self._scenario.name,
            seed=self._options.seed,
            heal=self._options.heal,
            duration_s=self._since(self._clock.now()),
            cycles=cycles,
            totals=Totals(
                journeys=after.journeys,
                errors=after.errors,
                issues=issues,
                actions=actions,
                revenue=round(after.revenue, 2),
                revenue_lost=round(after.revenue_lost, 2),
            ),
        )

    # -- one cycle ------------------------------------------------------------------------------------------

    async def cycle(self, number: int) -> CycleReport:
        """One fault, from its injection until all is as it was."""
        fault = await self._scenario.break_it(number, self._world, self._witness, self._random)
        self._tell(f"Cycle {number}: {fault.description}")
        if not self._options.heal:
            return await self._watch_untouched(fault)
        healing = await self._watch_healing(fault)
        rearmed_at = await self._wait_for_rearming(fault, healing)
        await self._scenario.clean_up(fault, self._world, self._witness, healed=rearmed_at is not None)
        if rearmed_at is None:
            await self._wait_for_calm()
        return await self._write_down(fault, healing, rearmed_at)

    @property
    def has_fault(self) -> bool:
        """Is there something to break?"""
        return self._scenario.has_fault

    async def stand_down(self) -> None:
        """Between the turns of a show: nothing is left that breaks again by itself."""
        await self._scenario.set_up(self._witness)
        await self._wait_for_calm()

    async def _watch_healing(self, fault: Fault) -> Healing:
        deadline = self._clock.monotonic() + self._options.patience_s
        healing = Healing((), (), ())
        while self._clock.monotonic() < deadline:
            healing = await self._healing_since(fault.at)
            if healing.closed and (healing.verified or not healing.runs):
                break
            await anyio.sleep(POLL_S)
        return healing

    async def _healing_since(self, fault_at: datetime) -> Healing:
        """Every incident that opened after the fault, with its issues and runs."""
        recent = [item for item in await self._witness.incidents(limit=20) if item.opened_at >= fault_at]
        issues: list[Issue] = []
        runs: list[Run] = []
        for incident in recent:
            _, its_issues, its_runs = await self._witness.incident(incident.id)
            issues += its_issues
            runs += its_runs
        return Healing(tuple(recent), tuple(issues), tuple(sorted(runs, key=lambda run: run.created_at)))

    async def _wait_for_rearming(self, fault: Fault, healing: Healing) -> datetime | None:
        if healing.verified is None or not healing.closed:
            return None
        deadline = self._clock.monotonic() + self._options.patience_s
        while self._clock.monotonic() < deadline:
            now_healing = await self._healing_since(fault.at)
            rearmed = await self._scenario.rearmed_at(fault, now_healing.verified, now_healing.incidents, self._world)
            if rearmed is not None:
                return rearmed
            await anyio.sleep(POLL_S)
        return None

    async def _watch_untouched(self, fault: Fault) -> CycleReport:
        """The control group: leave the fault alone, see whether it goes away, then clean up."""
        await anyio.sleep(self._options.patience_s)
        healing = await self._healing_since(fault.at)
        bad = await self._bad_seconds(fault.at, self._clock.now())
        by_itself = not bad or bad[-1] < self._clock.now().timestamp() - RECOVERED_S
        report = await self._write_down(fault, healing, None)
        await self._scenario.clean_up(fault, self._world, self._witness, healed=False)
        await self._wait_for_calm()
        return report.model_copy(update={"recovered": by_itself})

    async def _write_down(self, fault: Fault, healing: Healing, rearmed_at: datetime | None) -> CycleReport:
        acted = next((run.intent_at for run in healing.runs if run.intent_at), None)
        verified = healing.verified.finished_at if healing.verified else None
        felt_until = rearmed_at or self._clock.now()
        bad = await self._bad_seconds(fault.at, felt_until)
        cause = next((item.root_cause.resource for item in healing.incidents if item.root_cause), None)
        zero_at = None
        if healing.verified is not None or (bad and bad[-1] < felt_until.timestamp() - RECOVERED_S):
            last = datetime.fromtimestamp(bad[-1] + 1, UTC) if bad else fault.at
            zero_at = max(last, acted) if acted else last
        return CycleReport(
            fault=fault.description,
            fault_at=self._since(fault.at),
            first_bad_at=self._since(datetime.fromtimestamp(bad[0], UTC)) if bad else None,
            detected_at=self._maybe_since(min((issue.opened_at for issue in healing.issues), default=None)),
            acted_at=self._maybe_since(acted),
            errors_zero_at=self._maybe_since(zero_at),
            verified_at=self._maybe_since(verified),
            rearmed_at=self._maybe_since(rearmed_at),
            recovered=rearmed_at is not None,
            root_cause=cause,
            actions=[f"{run.step.action} {run.step.resource}: {run.status}" for run in healing.runs],
            why=[run.step.why for run in healing.runs],
        )

    # -- what customers feel --------------------------------------------------------------------------------

    async def _bad_seconds(self, start: datetime, end: datetime) -> list[int]:
        """Whole Unix seconds up to ``end`` in which a journey failed or was slow, ascending.

        The second of ``end`` itself is left out: what comes after the end may have made it bad.
        """
        seconds = (await self._world.stats()).seconds
        return [
            second.second_unix
            for second in seconds
            if int(start.timestamp()) <= second.second_unix < int(end.timestamp()) and self._scenario.is_bad(second)
        ]

    async def _wait_for_calm(self) -> None:
        """Journeys flow, none is bad, and Homeostat sees no incident."""
        deadline = self._clock.monotonic() + SETTLE_DEADLINE_S
        while self._clock.monotonic() < deadline:
            stats = await self._world.stats()
            newest = [second for second in stats.seconds if second.journeys][-CALM_S:]
            fresh = bool(newest) and newest[-1].second_unix > self._clock.now().timestamp() - CALM_S - 1
            calm = fresh and len(newest) == CALM_S and not any(self._scenario.is_bad(second) for second in newest)
            if calm and not await self._witness.incidents(open_only=True):
                return
            await anyio.sleep(POLL_S)
        raise NotCalmError(
            f"The world did not get calm within {SETTLE_DEADLINE_S:.0f} s. "
            "Is the machine too busy for it? Try fewer journeys with JOURNEY_BATCH_SIZE=2."
        )

    def _since(self, moment: datetime) -> float:
        return round((moment - self._started).total_seconds(), 3)

    def _maybe_since(self, moment: datetime | None) -> float | None:
        return None if moment is None else self._since(moment)


def tell_cycle(number: int, total: int | None, cycle: CycleReport) -> str:
    """One line for a person who watches. ``total`` None: it goes on without an end."""
    name = f"Cycle {number}" if total is None else f"Cycle {number} of {total}"
    if not cycle.recovered:
        return f"{name}: NOT recovered; actions: {', '.join(cycle.actions) or 'none'}"

    def after(moment: float | None) -> str:
        return "?" if moment is None else f"{moment - cycle.fault_at:.1f} s"

    return (
        f"{name}: detected after {after(cycle.detected_at)}, acted after {after(cycle.acted_at)}, "
        f"errors at zero after {after(cycle.errors_zero_at)}, verified after {after(cycle.verified_at)}, "
        f"re-armed after {after(cycle.rearmed_at)}"
    )
