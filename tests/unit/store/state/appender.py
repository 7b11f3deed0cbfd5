"""Run by ``test_state_kill``: appends runs to the journal until it is killed, and says which appends have returned.

Arguments: the database, the first number, and the file to which each append that has returned adds a line: the run's
number and the state it was recorded in. What was written to that file survives the process.
"""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from homeostat.core.models import EffectClass, PlanStep, Run, RunStatus
from homeostat.core.ports import Journal
from homeostat.runtime import SystemClock
from homeostat.store.state import open_state

CONCURRENT = 16
STATUSES = (RunStatus.INTENT, RunStatus.ACTED, RunStatus.VERIFIED)


def make_run(number: int, status: RunStatus) -> Run:
    return Run(
        id=f"run-{number:07}",
        incident_id="incident-1",
        issue_id="issue-1",
        plan_id="plan-1",
        plan_digest="0",
        step=PlanStep(action="restart_process", resource="process:payment", why="it is dead", confidence=1.0),
        effect=EffectClass.PROBEABLE,
        status=status,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


async def append_for_ever(journal: Journal, first: int, promises: int) -> None:
    number = first
    while True:
        for status in STATUSES:
            await journal.append(make_run(number, status))
            os.write(promises, f"{number} {status}\n".encode())
        number += CONCURRENT


async def main(path: Path, first: int, promises: int) -> None:
    async with open_state(path, SystemClock()).opened() as store:
        os.write(1, b"ready\n")
        await asyncio.gather(*(append_for_ever(store, first + offset, promises) for offset in range(CONCURRENT)))


if __name__ == "__main__":
    file = os.open(sys.argv[3], os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), file))
