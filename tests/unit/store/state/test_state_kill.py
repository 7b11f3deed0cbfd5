"""``kill -9`` at any moment loses no append that has returned."""

import random
import subprocess
import sys
import time
from pathlib import Path

from homeostat.core.models import RunStatus
from homeostat.runtime import SystemClock
from homeostat.store.state import open_state

KILLS = 20
NUMBERS_PER_LIFE = 1_000_000
ORDER = (RunStatus.INTENT, RunStatus.ACTED, RunStatus.VERIFIED)


def live_and_die(path: Path, first: int, after_s: float) -> dict[int, RunStatus]:
    """One life of the appender, ended by SIGKILL ``after_s`` after it was ready: what it had been promised."""
    promises = path.with_name(f"promises-{first}")
    script = Path(__file__).with_name("appender.py")
    command = [sys.executable, str(script), str(path), str(first), str(promises)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(after_s)  # the moment of death is what this test varies
        process.kill()
    lines = promises.read_text().splitlines()
    return {int(number): RunStatus(status) for number, status in map(str.split, lines)}


async def test_every_append_that_returned_is_there_after_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    chance = random.Random(20)
    promised: dict[int, RunStatus] = {}
    for life in range(KILLS):
        promised |= live_and_die(path, life * NUMBERS_PER_LIFE, chance.uniform(0.0, 0.15))
        async with open_state(path, SystemClock()).opened() as store:
            found = {int(run.id.removeprefix("run-")): run.status for run in await store.runs(limit=10_000_000)}
            unfinished = {int(run.id.removeprefix("run-")) for run in await store.unfinished()}
        for number, status in promised.items():
            assert number in found, f"life {life}: run {number} was recorded as {status} and is gone"
            # A later state may have been written while its acknowledgement was on the way.
            assert ORDER.index(found[number]) >= ORDER.index(status), f"life {life}: run {number} fell back"
        assert unfinished == {number for number, status in found.items() if status is not RunStatus.VERIFIED}
    assert len(promised) > KILLS, "the appender was killed before it could be tested"
