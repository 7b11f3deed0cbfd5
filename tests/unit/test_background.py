"""Background tasks survive surprises: begun anew after a growing pause, counted, told once, shown while it lasts."""

import logging
from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import pytest

from homeostat.background import PAUSE_MAX_S, STEADY_S, Background
from homeostat.sim.world import Simulation, run


class Work:
    """Fails at the given beginnings (from 1) after so many seconds, and then goes on for ever."""

    def __init__(self, fails: int, after_s: float = 0.0) -> None:
        self.fails = fails
        self.after_s = after_s
        self.begun_at: list[float] = []

    async def run(self) -> None:
        self.begun_at.append(anyio.current_time())
        await anyio.sleep(self.after_s)
        if len(self.begun_at) <= self.fails:
            raise ZeroDivisionError(f"surprise {len(self.begun_at)}")
        await anyio.sleep_forever()


def kept(work: Callable[[], Awaitable[None]], for_s: float) -> Background:
    """What is known of the task after so many virtual seconds."""

    async def main(simulation: Simulation) -> Background:
        background = Background(simulation.clock)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(background.keep, "work", work)
            await anyio.sleep(for_s)
            tasks.cancel_scope.cancel()
        return background

    return run(main)


def test_a_task_that_fails_is_begun_anew_and_counted() -> None:
    work = Work(fails=1)
    background = kept(work.run, 3)
    assert work.begun_at == [0.0, 1.0]
    assert background.failures() == {"work": 1}


def test_the_pause_grows_to_its_bound_and_is_short_again_after_a_steady_while() -> None:
    quick = Work(fails=8)
    kept(quick.run, 200)
    pauses = [after - before for before, after in zip(quick.begun_at, quick.begun_at[1:], strict=False)]
    assert pauses == [1, 2, 4, 8, 16, PAUSE_MAX_S, PAUSE_MAX_S, PAUSE_MAX_S]
    steady = Work(fails=2, after_s=STEADY_S)
    kept(steady.run, 2 * STEADY_S + 3)
    assert steady.begun_at == [0, STEADY_S + 1, 2 * (STEADY_S + 1)]


def test_one_failure_is_told_with_its_traceback_once_whatever_its_message(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        kept(Work(fails=3).run, 10)
    assert [record.exc_info is not None for record in caplog.records] == [True, False, False]
    assert "'work' failed and begins anew in 4 s: ZeroDivisionError('surprise 3')" in caplog.records[2].message


def test_it_is_a_problem_until_the_task_has_run_for_a_while() -> None:
    now = kept(Work(fails=2).run, 4).problems()
    assert now == ["The background task 'work' failed 2 times in a row and is begun anew each time: surprise 2."]
    assert kept(Work(fails=2).run, 4 + STEADY_S).problems() == []


def test_what_a_task_group_raises_is_told_as_what_was_raised_in_it() -> None:
    async def grouped() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Work(fails=1).run)

    assert kept(grouped, 0.5).problems() == ["The background task 'work' failed and begins anew: surprise 1."]


def test_a_task_that_comes_to_its_end_is_not_begun_anew() -> None:
    begun: list[float] = []

    async def short() -> None:
        begun.append(anyio.current_time())

    assert kept(short, 100).problems() == []
    assert begun == [0.0]


def test_one_task_s_surprise_leaves_the_others_alone() -> None:
    async def main(simulation: Simulation) -> tuple[Work, Work, Background]:
        background, sick, well = Background(simulation.clock), Work(fails=1_000), Work(fails=0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(background.keep, "scrape", sick.run, of="http://a"))
            tasks.start_soon(partial(background.keep, "scrape", well.run, of="http://b"))
            await anyio.sleep(10)
            tasks.cancel_scope.cancel()
        return sick, well, background

    sick, well, background = run(main)
    assert (len(sick.begun_at), well.begun_at, background.failures()) == (4, [0.0], {"scrape": 4})
