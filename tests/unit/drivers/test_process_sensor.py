"""The process sensor against real processes."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest
import uvloop

from homeostat.core.models import SensorEvent
from homeostat.drivers.process.identity import look
from homeostat.drivers.process.sensors import ExpectedDeaths, ProcessSensor
from homeostat.runtime import SystemClock
from support.processes import Patients


class Watch:
    """A running sensor and what it has said."""

    def __init__(self) -> None:
        self.events: list[SensorEvent] = []

    async def until(self, count: int, within_s: float = 10.0) -> SensorEvent:
        with anyio.fail_after(within_s):
            while len(self.events) < count:
                await anyio.sleep(0.005)
        return self.events[count - 1]


@asynccontextmanager
async def watching(
    patients: Patients, name: str = "web", expected: ExpectedDeaths | None = None
) -> AsyncGenerator[tuple[Watch, ProcessSensor]]:
    watch = Watch()
    sensor = ProcessSensor([patients.config(name)], SystemClock(), expected or ExpectedDeaths())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sensor.watch, watch.events.append)
        yield watch, sensor
        tasks.cancel_scope.cancel()


async def test_a_killed_process_is_noticed_within_50_ms_with_the_signal_that_killed_it(patients: Patients) -> None:
    pid = patients.start("web")
    async with watching(patients) as (watch, sensor):
        assert not (await watch.until(1)).bad
        before = SystemClock().now()
        os.kill(pid, signal.SIGKILL)
        event = await watch.until(2)
        assert event.bad
        assert (event.time - before).total_seconds() < 0.05
        assert "SIGKILL" in event.detail
        assert event.metrics == {"exit_code": 137.0, "restart_count": 0.0}
        signal_read = await sensor.read("process:web", "up")
        assert signal_read is not None
        assert signal_read.value == 0.0


async def test_a_new_process_in_the_pid_file_is_noticed_within_a_quarter_of_a_second(patients: Patients) -> None:
    pid = patients.start("web")
    async with watching(patients) as (watch, sensor):
        await watch.until(1)
        patients.kill(pid)
        await watch.until(2)
        patients.start("web")
        before = SystemClock().now()
        event = await watch.until(3)
        assert not event.bad
        assert event.metrics["restart_count"] == 1
        assert (event.time - before).total_seconds() < 0.25
        signal_read = await sensor.read("process:web", "up")
        assert signal_read is not None
        assert signal_read.value == 1.0


async def test_without_a_pid_file_the_process_is_unknown_and_not_dead(patients: Patients) -> None:
    async with watching(patients) as (watch, sensor):
        await anyio.sleep(0.3)
        assert watch.events == []
        signal_read = await sensor.read("process:web", "up")
        assert signal_read is not None
        assert signal_read.value is None
        patients.start("web")
        assert not (await watch.until(1)).bad


async def test_a_process_that_died_while_nobody_watched_is_reported_at_the_start(patients: Patients) -> None:
    patients.kill(patients.start("web"))
    async with watching(patients) as (watch, _):
        assert (await watch.until(1)).bad


async def test_a_pid_given_to_another_process_is_not_taken_for_the_old_one(patients: Patients) -> None:
    pid = patients.start("web")
    pid_file = patients.pid_file("web")
    pid_file.write_text(f"{pid}\n{int(pid_file.read_text().split()[1]) - 1}\n")
    assert not look(pid_file).alive
    pid_file.write_text(f"{os.getpid()}\n")
    os.utime(pid_file, (1, 1))  # written long before this very process started
    assert not look(pid_file).alive


@pytest.mark.parametrize("text", ["", "\n", "nonsense", "12x", "0\n", "-5"])
async def test_a_half_written_pid_file_is_no_news(patients: Patients, text: str) -> None:
    patients.pid_file("web").write_text(text)
    assert look(patients.pid_file("web")).identity is None


async def test_a_death_that_our_own_restart_causes_is_not_a_crash(patients: Patients) -> None:
    pid = patients.start("web")
    expected = ExpectedDeaths()
    async with watching(patients, expected=expected) as (watch, _):
        await watch.until(1)
        identity = look(patients.pid_file("web")).identity
        assert identity is not None
        expected.announce(identity)
        patients.kill(pid)
        patients.start("web")
        assert not (await watch.until(2)).bad


async def test_an_exit_code_is_told(patients: Patients) -> None:
    pid = patients.start("web")
    async with watching(patients) as (watch, _):
        await watch.until(1)
        os.kill(pid, signal.SIGTERM)
        assert (await watch.until(2)).metrics["exit_code"] == 143


def test_the_sensor_works_on_uvloop_too(patients: Patients) -> None:
    pid = patients.start("web")

    async def main() -> None:
        async with watching(patients) as (watch, _):
            await watch.until(1)
            os.kill(pid, signal.SIGKILL)
            assert (await watch.until(2)).bad

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
