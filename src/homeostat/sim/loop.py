"""An asyncio event loop whose clock is a variable: where a real loop would wait, this one moves the clock.

``homeostat.sim.world.run`` drives it. asyncio and anyio work on it unchanged (sleeps, timeouts, task groups,
locks, queues); sockets, subprocesses and signals do not exist in it. ``run_in_executor`` runs the function at
once, in the loop's own thread, so that nothing depends on the scheduling of real threads.

BaseEventLoop asks a selector to wait until the next timer is due. The selector here never waits: it advances the
clock by the time that was asked for. That is the only trick, and it needs no copy of the loop's inner workings.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVarTuple, Unpack

from homeostat.core.errors import HomeostatError

Ts = TypeVarTuple("Ts")


class SimDeadlockError(HomeostatError):
    """Every task waits for something that no timer will ever bring about."""


class _ClockSelector:
    """Takes the place of the operating system's selector: to wait is to move the clock."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[object]:
        """Advance the clock by ``timeout`` seconds. Raises SimDeadlockError where a real loop would hang for ever."""
        if timeout is None:
            raise SimDeadlockError(
                f"every task is blocked at virtual time {self._loop.time():.3f} s and no timer is set: "
                + "something awaits an event that nobody is left to send."
            )
        self._loop.advance(timeout)
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop. ``time()`` starts at 0 and moves only when every task waits."""

    def __init__(self) -> None:
        super().__init__()
        self._virtual_now = 0.0
        self._selector = _ClockSelector(self)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual_now

    def advance(self, seconds: float) -> None:
        """Move the clock. For the selector; a test that wants time to pass sleeps."""
        self._virtual_now += seconds

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """The same as ``call_soon``: there is no other thread to be safe from."""
        return self.call_soon(callback, *args, context=context)

    # typeshed calls this one a coroutine; in CPython it is a function that returns a future, as here
    def run_in_executor(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, executor: Any, func: Callable[[Unpack[Ts]], Any], *args: *Ts
    ) -> asyncio.Future[Any]:
        """Run ``func`` in this thread, one turn of the loop from now."""
        future: asyncio.Future[Any] = self.create_future()

        def work() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(func(*args))
            except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the awaiter, as in a real executor
                future.set_exception(error)

        self.call_soon(work)
        return future

    def _process_events(self, event_list: list[object]) -> None:
        """BaseEventLoop's hook for the selector's answer, which is always empty here."""

    def _write_to_self(self) -> None:
        """BaseEventLoop's hook for waking the selector, which never sleeps here."""
