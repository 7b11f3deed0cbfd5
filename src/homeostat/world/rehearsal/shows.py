"""The two ways to rehearse: headless with a report at the end, and as a show that goes on until it is stopped."""

import signal
from collections.abc import Awaitable, Callable
from itertools import count

import anyio

from homeostat.core.ports import Clock, Random
from homeostat.task_groups import single_error
from homeostat.world.client import WorldClient
from homeostat.world.rehearsal.rehearsal import NotCalmError, Rehearsal, RehearsalOptions, tell_cycle
from homeostat.world.rehearsal.report import Report
from homeostat.world.rehearsal.scenarios import scenario_named
from homeostat.world.rehearsal.stage import Stage, StageOptions, staged

RATES_EVERY_S = 10.0
SHOW_ROTATION = ("umbrella", "crash", "latency")
Tell = Callable[[str], None]


async def rehearse(
    scenario_name: str,
    options: RehearsalOptions,
    stage_options: StageOptions,
    clock: Clock,
    random: Random,
    tell: Tell,
) -> Report:
    """Run all cycles of one scenario and report. Raises HomeostatError when the stage cannot be set."""
    scenario = scenario_named(scenario_name, clock)
    async with staged(stage_options, clock) as stage:
        rehearsal = Rehearsal(
            scenario, options, world=stage.world, witness=stage.witness, clock=clock, random=random, tell=tell
        )
        return await rehearsal.run()


async def show(
    scenario_name: str | None,
    pause_s: float,
    options: RehearsalOptions,
    stage_options: StageOptions,
    clock: Clock,
    random: Random,
    tell: Tell,
) -> None:
    """Break and watch, turn after turn, until cancelled. Without a scenario they take turns."""
    rotation = (scenario_named(scenario_name, clock).name,) if scenario_name else SHOW_ROTATION
    async with staged(stage_options, clock) as stage, anyio.create_task_group() as tasks:
        tell(f"Open {stage.url} and watch. Ctrl-C stops everything.")
        tasks.start_soon(_tell_rates, stage.world, tell)
        rehearsals = {name: _rehearsal(name, options, stage, clock, random, tell) for name in rotation}
        await rehearsals[rotation[0]].prepare()
        for turn in count(1):
            rehearsal = rehearsals[rotation[(turn - 1) % len(rotation)]]
            if not rehearsal.has_fault:
                await anyio.sleep_forever()
            try:
                tell(tell_cycle(turn, None, await rehearsal.cycle(turn)))
                await rehearsal.stand_down()
            except NotCalmError as error:  # the audience may be breaking things itself
                tell(f"{error} Going on.")
            await anyio.sleep(pause_s)


async def _tell_rates(world: WorldClient, tell: Tell) -> None:
    """What the customers do, now and then."""
    while True:
        await anyio.sleep(RATES_EVERY_S)
        stats = await world.stats()
        success = "unknown" if stats.success_rate is None else f"{100 * stats.success_rate:.1f}%"
        tell(
            f"Stats - Total: {stats.total}, Errors: {stats.errors}, Success Rate: {success}; "
            f"now {stats.last_10_s.journeys_per_s:.1f} journeys/s, {stats.last_10_s.errors_per_s:.1f} errors/s, "
            f"{stats.currency} {stats.revenue:,.0f} earned, {stats.revenue_lost:,.0f} lost"
        )


async def until_told_to_stop(work: Callable[[], Awaitable[None]]) -> None:
    """Do the work until it ends or SIGINT or SIGTERM comes; then what it started is stopped in good order."""
    with single_error():
        await _until_told_to_stop(work)


async def _until_told_to_stop(work: Callable[[], Awaitable[None]]) -> None:
    async with anyio.create_task_group() as tasks:

        async def listen() -> None:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    tasks.cancel_scope.cancel()
                    return

        tasks.start_soon(listen)
        await work()
        tasks.cancel_scope.cancel()


def _rehearsal(
    name: str, options: RehearsalOptions, stage: Stage, clock: Clock, random: Random, tell: Tell
) -> Rehearsal:
    return Rehearsal(
        scenario_named(name, clock),
        options,
        world=stage.world,
        witness=stage.witness,
        clock=clock,
        random=random,
        tell=tell,
    )
