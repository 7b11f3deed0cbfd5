"""Background tasks that are kept running: a surprise in one of them is told and survived, and ends nothing else.

``app`` makes one ``Background`` for all; parts that run several tasks (targets, servers, the timeline) get it. The
tasks themselves catch what they expect, and leave the rest to it. The healing loop is not run here.
"""

import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import anyio

from homeostat.core.ports import Clock

log = logging.getLogger(__name__)

PAUSE_S: Final = 1.0
PAUSE_MAX_S: Final = 30.0
"""The pause before a task begins anew doubles with each failure in a row, from the first to the second."""

STEADY_S: Final = 60.0
"""A task that has run for so long is well again: its next failure is a first one."""

TOLD_MAX: Final = 1_000
"""Distinct failures whose traceback was logged; further ones are logged each time."""


@dataclass(slots=True)
class _Task:
    """How one task goes."""

    begun_s: float
    failures: int = 0
    in_a_row: int = 0
    problem: str = ""  # of the last failure
    running: bool = False


class Background:
    """``keep`` is the task to start; ``failures`` and ``problems`` say how all of them go."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tasks: dict[tuple[str, str], _Task] = {}
        self._told: set[tuple[str, ...]] = set()

    async def keep(self, name: str, work: Callable[[], Awaitable[None]], *, of: str = "") -> None:
        """Run ``work`` until it returns or is cancelled; after an exception again, after a pause.

        ``name`` is the label in metrics; ``of`` tells tasks of one name apart: which target, which server.
        """
        task = self._tasks.setdefault((name, of), _Task(self._clock.monotonic()))
        while True:
            task.begun_s, task.running = self._clock.monotonic(), True
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - the boundary of a background task: whatever it was is told below
                pause_s = self._failed(task, name, of, error)
            else:
                task.running, task.in_a_row = False, 0
                return
            await anyio.sleep(pause_s)

    def failures(self) -> Mapping[str, int]:
        """How often tasks of each name failed and began anew; 0 for those that never did."""
        counts: dict[str, int] = {}
        for (name, _), task in self._tasks.items():
            counts[name] = counts.get(name, 0) + task.failures
        return counts

    def problems(self) -> list[str]:
        """For people: what has failed of late, and is paused or has not run long enough since to be well again."""
        now_s = self._clock.monotonic()
        return [
            f"{_title(name, of)} failed {task.in_a_row} times in a row and is begun anew each time: {task.problem}."
            if task.in_a_row > 1
            else f"{_title(name, of)} failed and begins anew: {task.problem}."
            for (name, of), task in self._tasks.items()
            if task.in_a_row and not (task.running and now_s - task.begun_s >= STEADY_S)
        ]

    def _failed(self, task: _Task, name: str, of: str, error: Exception) -> float:
        if self._clock.monotonic() - task.begun_s >= STEADY_S:
            task.in_a_row = 0
        task.running = False
        task.failures += 1
        task.in_a_row += 1
        cause = _innermost(error)
        task.problem = (str(cause) or type(cause).__name__).rstrip(".")
        pause_s = min(PAUSE_MAX_S, PAUSE_S * 2 ** min(task.in_a_row - 1, 30))
        kind = (name, *_kind(cause))
        known = kind in self._told
        if len(self._told) < TOLD_MAX:
            self._told.add(kind)
        trace = None if known else error
        log.error("%s failed and begins anew in %g s: %r", _title(name, of), pause_s, cause, exc_info=trace)
        return pause_s


def _title(name: str, of: str) -> str:
    return f"The background task {name!r}" + (f" of {of}" if of else "")


def _innermost(error: Exception) -> Exception:
    """What a task group raises stands for what was raised in it."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _kind(error: Exception) -> tuple[str, ...]:
    """Failures of one type from one place are one kind, whatever their message says."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return type(error).__qualname__, place
