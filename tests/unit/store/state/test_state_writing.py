"""The writer: many at once, one that fails, no room left, and callers that go away."""

import asyncio
import contextlib
import ctypes
import os
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from homeostat.core.errors import StoreError, StoreFullError
from homeostat.core.ports import StateStore
from homeostat.runtime import SystemClock
from homeostat.store.state import SqliteStateStore, open_state
from homeostat.store.state.statements import PUT_SETTING, micros
from homeostat.store.state.writer import BATCH_MAX, PENDING_MAX, Write


def setting(key: str, value: object = "1") -> Write:
    return Write(((PUT_SETTING, {"key": key, "value": value}),))  # pyright: ignore[reportArgumentType]


async def writer_of(path: Path) -> SqliteStateStore:
    return SqliteStateStore(path / "state.db", SystemClock())


async def test_one_bad_write_fails_alone(tmp_path: Path) -> None:
    store = await writer_of(tmp_path)
    async with store.opened():
        results = await asyncio.gather(
            *(store._write(setting(f"k{n}", None if n == 5 else "1")) for n in range(10)), return_exceptions=True
        )
        failed = [n for n, result in enumerate(results) if result is not None]
        assert failed == [5]
        assert isinstance(results[5], StoreError)
        assert [await store.get_setting(f"k{n}") for n in (4, 5, 6)] == ["1", None, "1"]


async def test_a_write_is_all_of_it_or_nothing(tmp_path: Path) -> None:
    store = await writer_of(tmp_path)
    async with store.opened():
        half = Write((*setting("a").rows, *setting("b", None).rows))
        with pytest.raises(StoreError):
            await store._write(half)
        assert await store.get_setting("a") is None


async def test_more_writes_than_may_wait_are_all_written(tmp_path: Path) -> None:
    store = await writer_of(tmp_path)
    async with store.opened():
        async with anyio.create_task_group() as group:
            for number in range(PENDING_MAX + BATCH_MAX + 7):
                group.start_soon(store.put_setting, f"k{number}", "1")
        count = await store._read(lambda connection: connection.scalar(text("SELECT count(*) FROM settings")))
    assert count == PENDING_MAX + BATCH_MAX + 7


async def test_a_caller_that_is_cancelled_blocks_nobody(tmp_path: Path) -> None:
    store = await writer_of(tmp_path)
    async with store.opened():
        for round_ in range(50):
            tasks = [asyncio.ensure_future(store.put_setting(f"k{round_}-{n}", "1")) for n in range(20)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(result is None for result in results[1::2])
        writer = store._writer
        assert writer is not None
        with anyio.fail_after(5):
            while writer._places.value != PENDING_MAX:
                await anyio.sleep(0.01)


async def test_closing_keeps_what_was_waiting(tmp_path: Path) -> None:
    store = await writer_of(tmp_path)
    async with store.opened():
        tasks = [asyncio.ensure_future(store.put_setting(f"k{n}", "1")) for n in range(1000)]
        await asyncio.sleep(0)
    assert await asyncio.gather(*tasks, return_exceptions=True) == [None] * 1000
    async with store.opened():
        assert await store.get_setting("k999") == "1"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_an_error_that_nobody_expected_leaves_nobody_waiting(tmp_path: Path) -> None:
    def broken(_connection: object) -> None:
        raise ZeroDivisionError

    store = await writer_of(tmp_path)
    async with store.opened():
        with anyio.fail_after(5), pytest.raises(StoreError, match="Start Homeostat again"):
            await store._write(Write(call=broken))
        with anyio.fail_after(5), pytest.raises(StoreError, match="Start Homeostat again"):
            await store.put_setting("k", "1")


async def fill(store: StateStore) -> int:
    """Write until there is no room: how many settings of 10 kB were acknowledged."""
    for number in range(1000):
        try:
            await store.put_setting(f"k{number}", "x" * 10_000)
        except StoreFullError:
            return number
    raise AssertionError("the store was never full")


class TestNoRoomLeft:
    async def test_the_bound_on_the_file_is_a_full_store_and_what_was_acknowledged_stays(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "state.db"
        async with open_state(path, SystemClock(), max_mib=1).opened() as store:
            kept = await fill(store)
            with pytest.raises(StoreFullError, match=r"state\.db"):
                await store.put_setting("more", "x" * 10_000)
            assert 50 < kept < 110
            assert await store.get_setting(f"k{kept - 1}") == "x" * 10_000
            assert await store.get_setting(f"k{kept}") is None
            await store.put_setting("k0", "small")  # there is room for this one
        async with open_state(path, SystemClock(), max_mib=2).opened() as store:
            assert await store.get_setting("k0") == "small"
            await store.put_setting("more", "x" * 10_000)

    @pytest.fixture
    def small_disk(self, tmp_path: Path) -> Generator[Path, None, None]:
        """A file system of 512 KiB, where mounting is allowed."""
        folder = tmp_path / "disk"
        folder.mkdir()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, b"size=512k") != 0:
            pytest.skip(f"mounting a tmpfs is not allowed here: {os.strerror(ctypes.get_errno())}")
        yield folder
        libc.umount2(os.fsencode(folder), 2)

    async def test_a_full_disk_refuses_and_writing_goes_on_once_there_is_room(self, small_disk: Path) -> None:
        async with open_state(small_disk / "state.db", SystemClock()).opened() as store:
            await store.put_setting("before", "1")
            filler = small_disk / "filler"
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 4096)
            await fill(store)
            assert await store.get_setting("before") == "1"
            filler.unlink()
            await store.put_setting("after", "x" * 10_000)
            assert await store.get_setting("after") == "x" * 10_000


@settings(deadline=None)
@given(st.datetimes(timezones=st.just(UTC)))
def test_microseconds_keep_the_order_and_the_value_of_times(time: datetime) -> None:
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros(time)) == time
