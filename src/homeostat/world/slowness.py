"""Real slowness for one process: it is stopped and continued in turns, by SIGSTOP and SIGCONT.

A lease: it ends when its time is over, when the process dies or is restarted, or when it is called back. Should the
supervisor be killed while the process is stopped, the kernel kills it (see ``zygote``): nothing stays frozen.
"""

import logging
import signal
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup

from homeostat.core.ports import Clock
from homeostat.world.processes import Child
from homeostat.world.stats import SlowState

log = logging.getLogger(__name__)

LEASE_S_MAX = 3_600.0


@dataclass(frozen=True, slots=True)
class SlowPlan:
    """Stopped for ``stop_ms``, running for ``run_ms``, in turns, for ``lease_s`` seconds at most."""

    stop_ms: int
    run_ms: int
    lease_s: float


class Slowness:
    """One plan at work on one process."""

    def __init__(self, child: Child, plan: SlowPlan, clock: Clock) -> None:
        self.plan = plan
        self.pid = child.pid
        self._child = child
        self._clock = clock
        self._ends_at = clock.monotonic() + plan.lease_s
        self._scope = anyio.CancelScope()
        self._over = anyio.Event()

    @property
    def active(self) -> bool:
        """Until it has ended and the process runs freely."""
        return not self._over.is_set()

    def view(self) -> SlowState:
        """For the control API."""
        plan = self.plan
        return SlowState(
            stop_ms=plan.stop_ms, run_ms=plan.run_ms, lease_s=plan.lease_s, remaining_s=round(self.remaining_s, 1)
        )

    @property
    def remaining_s(self) -> float:
        """Seconds left of the lease."""
        return max(0.0, self._ends_at - self._clock.monotonic())

    def start(self, tasks: TaskGroup) -> None:
        """Begin."""
        tasks.start_soon(self._run)

    async def end(self) -> None:
        """Call it back; returns when the process runs freely (or is gone)."""
        self._scope.cancel()
        await self._over.wait()

    async def _run(self) -> None:
        try:
            with self._scope:
                while self._child.alive and self.remaining_s > 0:
                    if not self._child.send(signal.SIGSTOP):
                        break
                    await self._pause(self.plan.stop_ms)
                    self._child.send(signal.SIGCONT)
                    await self._pause(self.plan.run_ms)
        finally:
            self._child.send(signal.SIGCONT)
            self._over.set()
            log.info("Process %d is not slowed any more", self.pid)

    async def _pause(self, duration_ms: int) -> None:
        """Wait, but no longer than the process lives or the lease lasts."""
        with anyio.move_on_after(min(duration_ms / 1000.0, self.remaining_s)):
            await self._child.exited.wait()
