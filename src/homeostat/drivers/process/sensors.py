"""Sees a process die the moment it happens (pidfd), and a new one appear in its pid file."""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio

from homeostat.core.config import ProcessConfig
from homeostat.core.models import IssueType, SensorEvent, Signal
from homeostat.core.ports import Clock
from homeostat.core.resources import process as process_id
from homeostat.drivers.process.exit_cause import ExitCause, exit_cause
from homeostat.drivers.process.identity import ProcessIdentity, Sighting, look, start_ticks

log = logging.getLogger(__name__)

LOOK_INTERVAL_S = 0.1
"""How often a pid file is read while its process is dead or unknown. A living process is not polled at all."""

OWN_RESTART_GRACE_S = 15.0
"""A process that we end in order to start it again has not crashed, unless no new one follows within this."""

Emit = Callable[[SensorEvent], None]


@dataclass(slots=True)
class ExpectedDeaths:
    """Processes that ``restart_process`` is about to end. Shared by the action and the sensor of one driver."""

    _identities: set[ProcessIdentity] = field(default_factory=set[ProcessIdentity])

    def announce(self, identity: ProcessIdentity) -> None:
        """Its next death is ours."""
        self._identities.add(identity)

    def withdraw(self, identity: ProcessIdentity) -> bool:
        """No longer expected; True when it was."""
        expected = identity in self._identities
        self._identities.discard(identity)
        return expected


class ProcessSensor:
    """Watches all configured processes."""

    def __init__(self, processes: Sequence[ProcessConfig], clock: Clock, expected: ExpectedDeaths) -> None:
        self._processes = {process_id(process.name): process for process in processes}
        self._clock = clock
        self._expected = expected

    async def watch(self, emit: Emit) -> None:
        """Run until cancelled. A pid file that is not there yet is no news: the process is unknown."""
        async with anyio.create_task_group() as tasks:
            for resource, process in self._processes.items():
                tasks.start_soon(self._follow, resource, process, emit)

    async def read(self, resource: str, name: str) -> Signal | None:
        """``up``: 1 or 0, None while the pid file names nobody."""
        process = self._processes.get(resource)
        if process is None or name != "up":
            return None
        seen = look(process.pid_file)
        value = None if seen.identity is None else float(seen.alive)
        return Signal(
            resource=resource,
            name=name,
            value=value,
            unit="bool",
            time=self._clock.now(),
            sample_size=value is not None,
        )

    async def _follow(self, resource: str, process: ProcessConfig, emit: Emit) -> None:
        lives, told_dead = 0, False
        while True:
            seen = look(process.pid_file)
            pidfd = _open(seen)
            if seen.identity is not None and pidfd is not None:
                lives += 1
                emit(self._event(resource, lives, bad=False, detail=f"running as process {seen.identity.pid}"))
                told_dead = False
                cause = await _death(seen.identity, pidfd)
                if not (self._expected.withdraw(seen.identity) and await _followed(process, seen.identity)):
                    detail = f"process {seen.identity.pid} {cause.text}"
                    log.info("%s: %s", resource, detail)
                    emit(self._event(resource, lives, bad=True, detail=detail, cause=cause))
                    told_dead = True
            elif seen.identity is not None and not seen.alive and not told_dead:
                detail = f"{process.pid_file} names process {seen.identity.pid}, which does not exist"
                emit(self._event(resource, lives, bad=True, detail=detail))
                told_dead = True
            await anyio.sleep(LOOK_INTERVAL_S)

    def _event(
        self, resource: str, lives: int, *, bad: bool, detail: str, cause: ExitCause | None = None
    ) -> SensorEvent:
        """``lives``: processes that were seen running; each after the first was a restart."""
        metrics = {"restart_count": float(lives - 1)} if lives else {}
        if cause is not None and cause.code is not None:
            metrics["exit_code"] = float(cause.code)
        return SensorEvent(
            resource=resource,
            type=IssueType.PROCESS_CRASH,
            bad=bad,
            time=self._clock.now(),
            detail=detail,
            metrics=metrics,
        )


def _open(seen: Sighting) -> int | None:
    """A pidfd of exactly the process that was seen; None when it is gone or its pid is another's by now."""
    if seen.identity is None or not seen.alive:
        return None
    try:
        pidfd = os.pidfd_open(seen.identity.pid)
    except OSError:
        return None
    if start_ticks(seen.identity.pid) == seen.identity.start_ticks:
        return pidfd
    os.close(pidfd)
    return None


async def _death(identity: ProcessIdentity, pidfd: int) -> ExitCause:
    try:
        await anyio.wait_readable(pidfd)
        return exit_cause(identity, pidfd)
    finally:
        os.close(pidfd)


async def _followed(process: ProcessConfig, dead: ProcessIdentity) -> bool:
    """Whether another process takes the dead one's place within the grace."""
    with anyio.move_on_after(OWN_RESTART_GRACE_S):
        while True:
            seen = look(process.pid_file)
            if seen.alive and seen.identity != dead:
                return True
            await anyio.sleep(LOOK_INTERVAL_S)
    return False
