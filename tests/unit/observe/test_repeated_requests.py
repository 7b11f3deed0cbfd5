"""Log requests that come again because their sender got no answer: acknowledged, and stored once."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from anyio.abc import TaskGroup
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from homeostat.core.config import StorageConfig
from homeostat.observe.counters import Counters
from homeostat.observe.intake import Intake, Receipt
from homeostat.observe.keeper import KeepAll
from homeostat.observe.lanes import decode_logs
from homeostat.observe.repeats import WINDOW_S, Repeats
from homeostat.store.telemetry.log_store import EmbeddedLogStore
from support.spans import HandClock
from support.telemetry import L, logs_body

ONE, OTHER = logs_body([L("paid", at=1), L("shipped", at=2)]), logs_body([L("paid", at=1), L("shipped", at=3)])


class LogPath:
    """The lane of log records; a new one over the same directory is what comes after a kill."""

    def __init__(self, directory: Path, clock: HandClock, tasks: TaskGroup) -> None:
        self._tasks, self._is_running = tasks, False
        self.store = EmbeddedLogStore(StorageConfig(path=directory, min_free_mib=1), clock)
        self.counters = Counters(clock)
        self.intake = Intake(
            self.store, decode_logs(clock), KeepAll(), self.counters, lambda: None, repeats=Repeats(clock)
        )
        self.intake.replay()

    async def send(self, *requests: bytes) -> list[Receipt]:
        """The first time all of them wait together when the thread comes to them."""
        waiting = [asyncio.ensure_future(self.intake.submit(request)) for request in requests]
        await anyio.lowlevel.checkpoint()  # each of them is in the queue
        if not self._is_running:
            self._is_running = True
            self._tasks.start_soon(anyio.to_thread.run_sync, self.intake.run)
        return await asyncio.gather(*waiting)

    @property
    def records(self) -> int:
        tables, segments = self.store.parts()
        return sum(part.num_rows for part in tables) + sum(part.info.rows for part in segments)

    @property
    def duplicates(self) -> int:
        return self.counters.snapshot(stored=0, sampled_out=0, services=0).request_duplicates.get("logs", 0)


@asynccontextmanager
async def taking_in(directory: Path, clock: HandClock) -> AsyncGenerator[LogPath]:
    async with anyio.create_task_group() as tasks:
        path = LogPath(directory, clock, tasks)
        try:
            yield path
        finally:
            path.intake.stop()


async def test_a_request_that_comes_again_is_acknowledged_and_stored_once(tmp_path: Path) -> None:
    async with taking_in(tmp_path, HandClock()) as path:
        for _ in range(3):
            assert await path.send(ONE) == [Receipt(2, 0)]
        assert await path.send(OTHER) == [Receipt(2, 0)]
        assert (path.records, path.duplicates) == (4, 2)


async def test_also_while_the_first_is_still_waiting(tmp_path: Path) -> None:
    async with taking_in(tmp_path, HandClock()) as path:
        assert await path.send(ONE, OTHER, ONE, ONE) == [Receipt(2, 0)] * 4
        assert (path.records, path.duplicates) == (4, 2)


async def test_a_restart_knows_what_the_log_replays(tmp_path: Path) -> None:
    async with taking_in(tmp_path, HandClock()) as before:
        before.store.append([ONE])
    async with taking_in(tmp_path, HandClock()) as after:
        assert after.records == 2
        assert await after.send(ONE) == [Receipt(2, 0)]
        assert (after.records, after.duplicates) == (2, 1)


async def test_what_could_not_be_stored_is_not_taken_for_stored_when_it_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with taking_in(tmp_path, HandClock()) as path:
        with monkeypatch.context() as broken:
            broken.setattr(path.store, "append", _fail)
            with pytest.raises(Exception, match="Retry later"):
                await path.send(ONE, ONE)
        assert await path.send(ONE) == [Receipt(2, 0)]
        assert (path.records, path.duplicates) == (2, 0)


def _fail(*_: object) -> int:
    raise MemoryError("none left")


async def test_records_without_a_time_are_stored_as_often_as_they_are_said(tmp_path: Path) -> None:
    request = ExportLogsServiceRequest.FromString(ONE)
    record = request.resource_logs[0].scope_logs[0].log_records[0]
    record.time_unix_nano = record.observed_time_unix_nano = 0
    async with taking_in(tmp_path, HandClock()) as path:
        for _ in range(2):
            await path.send(*[request.SerializeToString()] * 3)
        assert (path.records, path.duplicates) == (12, 0)


async def test_after_a_while_a_request_is_forgotten(tmp_path: Path) -> None:
    clock = HandClock()
    async with taking_in(tmp_path, clock) as path:
        await path.send(ONE)
        clock.advance(WINDOW_S + 1)
        await path.send(ONE)
        assert (path.records, path.duplicates) == (4, 0)


@given(st.lists(st.tuples(st.integers(0, 30), st.floats(0, WINDOW_S / 3)), max_size=60))
def test_no_more_is_known_than_may_be_and_nothing_for_longer(steps: list[tuple[int, float]]) -> None:
    clock = HandClock()
    repeats: Repeats[int] = Repeats(clock, at_most=10)
    last_s: dict[int, float] = {}
    for number, pause_s in steps:
        clock.advance(pause_s)
        key = repeats.key_of(b"request %d" % number)
        known = repeats.answer(key)
        if known is not None:
            assert known == number
            assert clock.seconds - last_s[number] <= WINDOW_S
        repeats.remember(key, number)
        last_s[number] = clock.seconds
        assert repeats.answer(key) == number
        assert len(repeats) <= 10


@given(st.binary(min_size=1, max_size=100), st.integers(0, 40_000), st.data())
def test_requests_that_differ_in_a_single_byte_wherever_it_is_are_told_apart(
    start: bytes, middle: int, data: st.DataObject
) -> None:
    key_of = Repeats[int](HandClock(), seed=7).key_of
    request = start + bytes(middle) + b"end"
    place = data.draw(st.integers(0, len(request) - 1))
    other = bytearray(request)
    other[place] ^= 1
    assert key_of(request) == key_of(bytes(bytearray(request)))
    assert len({key_of(request), key_of(bytes(other)), key_of(request + b"!"), key_of(request[1:])}) == 4
