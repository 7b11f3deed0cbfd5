"""What a simulated run hands to the code under test: clock, chance and identities, and ``run`` to run it."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from homeostat.sim.loop import VirtualLoop

T = TypeVar("T")

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""The wall-clock time at which every simulation starts."""


class SimClock:
    """core.ports.Clock over the virtual time of a loop."""

    def __init__(self, loop: VirtualLoop, epoch: datetime = EPOCH) -> None:
        self._loop = loop
        self._epoch = epoch

    def now(self) -> datetime:
        """Wall-clock time, aware, UTC."""
        return self._epoch + timedelta(seconds=self._loop.time())

    def monotonic(self) -> float:
        """Virtual seconds since the start."""
        return self._loop.time()


class SimIds:
    """core.ports.Ids that count: ``issue-00000001``. The same run makes the same ids."""

    def __init__(self) -> None:
        self._count = 0

    def new(self, prefix: str) -> str:
        """``<prefix>-<number>``; sorts by time of making."""
        self._count += 1
        return f"{prefix}-{self._count:08d}"


@dataclass(frozen=True, slots=True)
class Simulation:
    """The ports of one run. ``random`` is seeded; a part that needs its own stream makes one from ``seed``."""

    clock: SimClock
    random: random.Random
    ids: SimIds
    seed: int


def run(main: Callable[[Simulation], Awaitable[T]], seed: int = 0) -> T:
    """Run ``main`` under virtual time to its end and return its result.

    Raises SimDeadlockError when every task waits for something that cannot come. Tasks still running when
    ``main`` returns are cancelled, as ``asyncio.run`` does.
    """
    loop = VirtualLoop()
    simulation = Simulation(clock=SimClock(loop), random=random.Random(seed), ids=SimIds(), seed=seed)

    async def whole() -> T:
        return await main(simulation)

    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(whole())
    finally:
        try:
            _cancel_left_over(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def _cancel_left_over(loop: VirtualLoop) -> None:
    """Cancel what is still running and wait for it, so that clean-up code runs inside the simulation."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
