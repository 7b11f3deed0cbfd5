"""Virtual time: hours pass in no time, in the same order each time, and a hang is an error instead of a hang."""

import asyncio
import time

import anyio
import pytest

from homeostat.sim import SimDeadlockError, Simulation, run


def test_a_day_passes_in_less_than_a_second_and_to_the_microsecond():
    async def main(simulation: Simulation) -> tuple[float, str]:
        await anyio.sleep(86_400)
        return simulation.clock.monotonic(), simulation.clock.now().isoformat()

    began = time.perf_counter()
    assert run(main) == (86_400.0, "2026-01-02T00:00:00+00:00")
    assert time.perf_counter() - began < 1.0


def test_sleepers_wake_in_the_order_of_their_time():
    async def main(simulation: Simulation) -> list[tuple[float, str]]:
        woken: list[tuple[float, str]] = []

        async def sleeper(name: str, seconds: float) -> None:
            await anyio.sleep(seconds)
            woken.append((simulation.clock.monotonic(), name))

        async with anyio.create_task_group() as tasks:
            for name, seconds in (("late", 3.0), ("early", 1.0), ("middle", 2.0)):
                tasks.start_soon(sleeper, name, seconds)
        return woken

    assert run(main) == [(1.0, "early"), (2.0, "middle"), (3.0, "late")]


def test_a_timeout_strikes_at_its_time():
    async def main(simulation: Simulation) -> tuple[bool, float]:
        with anyio.move_on_after(2.5) as scope:
            await anyio.sleep_forever()
        return scope.cancelled_caught, simulation.clock.monotonic()

    assert run(main) == (True, 2.5)


def test_waiting_for_what_nobody_sends_is_an_error_that_says_when():
    async def main(simulation: Simulation) -> None:
        await anyio.sleep(7)
        await anyio.Event().wait()

    with pytest.raises(SimDeadlockError, match=r"blocked at virtual time 7\.000 s"):
        run(main)


def test_a_function_handed_to_a_thread_runs_at_once_and_its_error_comes_back():
    async def main(simulation: Simulation) -> int:
        loop = asyncio.get_running_loop()
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, lambda: 1 // 0)
        return await loop.run_in_executor(None, lambda: 6 * 7)

    assert run(main) == 42


def test_the_same_seed_makes_the_same_run_and_another_seed_another():
    async def main(simulation: Simulation) -> list[str]:
        lines: list[str] = []

        async def worker(name: str) -> None:
            for _ in range(20):
                await anyio.sleep(simulation.random.expovariate(1.0))
                lines.append(f"{simulation.clock.monotonic():.9f} {name} {simulation.ids.new('x')}")

        async with anyio.create_task_group() as tasks:
            for name in "abc":
                tasks.start_soon(worker, name)
        return lines

    assert run(main, 5) == run(main, 5)
    assert run(main, 5) != run(main, 6)


def test_tasks_left_over_are_cancelled_and_may_clean_up():
    cleaned: list[float] = []

    async def main(simulation: Simulation) -> None:
        async def background() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                cleaned.append(simulation.clock.monotonic())

        task = asyncio.ensure_future(background())
        await anyio.sleep(4)
        assert not task.done()

    run(main)
    assert cleaned == [4.0]


def test_an_error_in_the_simulation_is_the_error_of_the_run():
    async def main(simulation: Simulation) -> None:
        await anyio.sleep(1)
        raise ValueError("from inside")

    with pytest.raises(ValueError, match="from inside"):
        run(main)


def test_hundred_thousand_wake_ups_take_a_few_seconds_at_most():
    async def main(simulation: Simulation) -> None:
        async def ticker() -> None:
            for _ in range(1_000):
                await anyio.sleep(1.0)

        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(ticker)

    began = time.process_time()
    run(main)
    assert time.process_time() - began < 10.0
