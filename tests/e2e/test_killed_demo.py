"""``homeostat demo`` killed with SIGKILL leaves nothing running: not Homeostat, not the world, not its services."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from homeostat.world import lifeline
from homeostat.world.journeys import service_names

STARTED_WITHIN_S = 60.0
GONE_WITHIN_S = 20.0


def _until(seen: Callable[[], bool]) -> None:
    deadline = time.monotonic() + STARTED_WITHIN_S
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _demo(folder: Path) -> psutil.Popen:
    command = [sys.executable, "-m", "homeostat.cli.main", "demo", "--headless", "--keep", str(folder)]
    return psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.e2e
@pytest.mark.parametrize("moment", ["its first child", "everything"])
def test_all_it_has_started_ends_with_it(tmp_path: Path, moment: str) -> None:
    demo = _demo(tmp_path)
    try:
        if moment == "everything":
            _until(lambda: len(list((tmp_path / "world").glob("*.pid"))) >= len(service_names()))
        else:
            _until(lambda: bool(demo.children()))
    finally:
        demo.suspend()  # it starts nothing more while we look
        family = demo.children(recursive=True)
        demo.kill()
        demo.wait()
    assert len(family) >= (len(service_names()) + 3 if moment == "everything" else 1)
    _, alive = psutil.wait_procs(family, timeout=GONE_WITHIN_S)
    for process in alive:
        process.kill()
    assert not alive


def test_a_process_whose_parent_went_before_it_was_tied_does_not_begin(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    command = [sys.executable, "-c", f"open({str(begun)!r}, 'w')"]
    tied = lifeline.tied(command)
    tied[tied.index(str(psutil.Process().pid))] = "1"  # somebody else's child
    assert subprocess.run(tied, check=False, timeout=20).returncode == 0
    assert not begun.exists()
    assert subprocess.run(lifeline.tied(command), check=False, timeout=20).returncode == 0
    assert begun.exists()
