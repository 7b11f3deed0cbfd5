"""A real process that heals is killed with SIGKILL at random moments: no effect is repeated, none forgotten."""

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import anyio

from homeostat.core.models import EffectClass, RunStatus
from homeostat.runtime import SystemClock
from homeostat.store.state import open_state
from support import kill9_healing

KILLS = 30
INCIDENTS = 400
DEADLINE_S = 180.0


def test_killed_30_times_at_random_moments_no_effect_is_repeated_and_none_forgotten(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")  # a fork is 20 ms; a fresh interpreter would be a second
    context.set_forkserver_preload(["support.kill9_healing"])
    chance = random.Random(20260101)
    kills, deadline = 0, time.monotonic() + DEADLINE_S
    while not (tmp_path / "done").exists():
        assert time.monotonic() < deadline, f"not done after {kills} kills"
        process = context.Process(target=kill9_healing.main, args=(str(tmp_path), INCIDENTS))
        process.start()
        assert process.pid is not None
        process.join(chance.uniform(0.05, 0.3) if kills < KILLS else 30)
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            kills += 1
    statuses = anyio.run(_statuses, tmp_path)
    assert set(statuses.values()) == {RunStatus.VERIFIED}, Counter(statuses.values())
    effects = Counter(line.split()[1] for line in (tmp_path / "effects.txt").read_text().splitlines())
    probeable = {number for number in range(INCIDENTS) if kill9_healing.effect_of(number) is EffectClass.PROBEABLE}
    assert effects == {f"service:probeable-{number}": 1 for number in probeable}
    mended = {path.name for path in (tmp_path / "things").iterdir()}
    assert len(mended) == INCIDENTS
    assert kills >= KILLS / 2, f"only {kills} kills: the work was over before"
    print(f"{kills} kills, {INCIDENTS} runs, 0 effects repeated, 0 forgotten")


async def _statuses(directory: Path) -> dict[str, RunStatus]:
    async with open_state(directory / "state.db", SystemClock()).opened() as state:
        runs = await state.runs(limit=10 * INCIDENTS)
    assert len({run.incident_id for run in runs}) == len(runs) == INCIDENTS
    return {run.id: run.status for run in runs}
