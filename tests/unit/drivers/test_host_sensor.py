"""The machine's pressure: the kernel's account where there is one, else the load; told when it changes."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.config import ProcessConfig
from homeostat.core.models import IssueType, SensorEvent
from homeostat.core.resources import HOST
from homeostat.drivers.process.driver import ProcessDriver
from homeostat.drivers.process.host import HostSensor, Pressure, read_pressure
from homeostat.sim.world import Simulation, run

PSI = "some avg10=97.42 avg60=84.42 avg300=57.86 total=11531712826\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"


def proc(folder: Path, *, psi: str | None = None, load: str | None = None) -> Path:
    (folder / "pressure").mkdir(parents=True)
    if psi is not None:
        (folder / "pressure/cpu").write_text(psi)
    if load is not None:
        (folder / "loadavg").write_text(load)
    return folder


def test_the_kernels_account_is_read(tmp_path: Path) -> None:
    pressure = read_pressure(proc(tmp_path, psi=PSI, load="9.14 5.90 3.70 4/112 6348\n"))
    assert (pressure.share, pressure.load, pressure.runnable) == (pytest.approx(0.9742), 9.14, 3)
    assert pressure.processors >= 1
    assert pressure.in_words().startswith(
        "in 97% of the last 10 s a task waited for a processor; the load average is 9.1"
    )


def test_without_an_account_the_load_decides(tmp_path: Path) -> None:
    pressure = read_pressure(proc(tmp_path, load="9.14 5.90 3.70 4/112 6348\n"))
    assert pressure.share is None
    assert pressure.known
    assert Pressure(None, 4.1, 2).starved(already=False)
    assert not Pressure(None, 3.9, 2).starved(already=False)
    assert Pressure(None, 3.9, 2).starved(already=True)


def test_a_few_tasks_on_one_of_many_processors_starve_no_machine() -> None:
    assert not Pressure(0.6, 4.0, 64).starved(already=False)
    assert not Pressure(0.6, 4.0, 64).starved(already=True)
    assert Pressure(0.6, 32.0, 64).starved(already=False)
    assert Pressure(0.6, 20.0, 64).starved(already=True)
    assert Pressure(0.6, None, 64).starved(already=False)  # nobody knows how many wait


def test_a_load_average_that_has_not_risen_yet_hides_nothing() -> None:
    assert Pressure(0.9, 0.4, 2, runnable=8).starved(already=False)
    assert not Pressure(0.9, 0.4, 2, runnable=0).starved(already=False)


@pytest.mark.parametrize("psi", [None, "", "some", "some avg10=x", "\x00" * 64, "some avg10=1.2.3 avg60=0"])
def test_files_that_are_missing_or_say_something_else_are_no_reading(tmp_path: Path, psi: str | None) -> None:
    pressure = read_pressure(proc(tmp_path, psi=psi, load="many"))
    assert pressure.share is None
    assert not pressure.known


def test_this_machines_own_files_can_be_read() -> None:
    pressure = read_pressure()
    assert pressure.known
    assert (pressure.load is not None) == Path("/proc/loadavg").exists()
    assert (pressure.share is not None) == _can_be_read(Path("/proc/pressure/cpu"))
    assert pressure.share is None or 0.0 <= pressure.share <= 1.0
    assert pressure.load is None or pressure.load >= 0.0


def _can_be_read(path: Path) -> bool:
    """Where pressure is switched off at boot the file is there, and opening it fails."""
    try:
        return bool(path.read_text(encoding="ascii"))
    except OSError:
        return False


@given(st.floats(0, 1), st.floats(0, 100), st.integers(1, 256))
def test_once_starved_it_takes_less_to_stay_so(share: float, load: float, processors: int) -> None:
    for pressure in (Pressure(share, load, processors), Pressure(None, load, processors)):
        assert pressure.starved(already=True) or not pressure.starved(already=False)


def events(shares: list[float | None], for_s: float) -> list[tuple[float, SensorEvent]]:
    told: list[tuple[float, SensorEvent]] = []

    async def main(sim: Simulation) -> None:
        readings: Iterator[float | None] = iter(shares)
        last: list[float | None] = [None]

        def read() -> Pressure:
            last[0] = next(readings, last[0])
            return Pressure(last[0], None, 2)

        sensor = HostSensor(sim.clock, read)
        with anyio.move_on_after(for_s):
            await sensor.watch(lambda event: told.append((sim.clock.monotonic(), event)))

    run(main)
    return told


def test_how_it_is_is_told_at_first_and_when_it_changes() -> None:
    told = events([0.1, 0.1, 0.9, 0.5, 0.3], for_s=9.5)
    assert [(at, event.bad) for at, event in told] == [(0.0, False), (4.0, True), (8.0, False)]
    assert {(event.resource, event.type) for _, event in told} == {(HOST, IssueType.HOST_STARVED)}
    assert told[1][1].metrics["cpu_pressure"] == 0.9


def test_while_it_is_starved_the_figures_are_told_anew() -> None:
    assert len(events([0.9], for_s=31)) == 1 + 3


def test_what_cannot_be_read_is_not_told() -> None:
    assert events([None], for_s=20) == []


def test_the_signal_is_a_share_or_unknown() -> None:
    async def main(sim: Simulation) -> None:
        sensor = HostSensor(sim.clock, lambda: Pressure(0.4, 1.0, 2))
        signal = await sensor.read(HOST, "cpu_pressure")
        assert signal is not None
        assert (signal.value, signal.unit) == (0.4, "ratio")
        assert await sensor.read(HOST, "up") is None
        assert await sensor.read("process:web", "cpu_pressure") is None
        unknown = await HostSensor(sim.clock, lambda: Pressure(None, 1.0, 2)).read(HOST, "cpu_pressure")
        assert unknown is not None
        assert (unknown.value, unknown.sample_size) == (None, 0)

    run(main)


def test_a_machine_is_watched_only_where_processes_of_it_are() -> None:
    async def main(sim: Simulation) -> None:
        def watching_the_host(*processes: ProcessConfig) -> int:
            return sum(isinstance(one, HostSensor) for one in ProcessDriver(processes, sim.clock).sensors())

        assert watching_the_host() == 0
        assert watching_the_host(ProcessConfig(name="web", pid_file=Path("web.pid"))) == 1

    run(main)
