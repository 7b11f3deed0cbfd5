"""The bus: order, resume, and a slow watcher that costs nobody but itself."""

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.bus import GAP, LocalBus, LocalSubscription
from homeostat.core.models import BusMessage


async def take(subscription: LocalSubscription, count: int) -> list[BusMessage]:
    """The next messages; fails rather than waits for ever."""
    with anyio.fail_after(5):
        return [await anext(subscription) for _ in range(count)]


async def test_a_watcher_gets_its_topics_in_order_and_no_others() -> None:
    bus = LocalBus()
    async with bus.subscribe(["runs", "flags"]) as watcher:
        bus.publish("runs", {"n": 1})
        bus.publish("red", {"n": 2})
        bus.publish("flags", {"n": 3})
        got = await take(watcher, 2)
    assert [(message.seq, message.topic) for message in got] == [(1, "runs"), (3, "flags")]
    assert not watcher.resumed


async def test_a_watcher_that_waits_is_woken() -> None:
    bus = LocalBus()
    got: list[BusMessage] = []
    async with bus.subscribe(["runs"]) as watcher, anyio.create_task_group() as tasks:

        async def wait() -> None:
            got.extend(await take(watcher, 1))

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        bus.publish("runs", {})
    assert [message.seq for message in got] == [1]


async def test_who_comes_back_gets_what_it_missed_and_then_what_follows() -> None:
    bus = LocalBus()
    for number in range(1, 11):
        bus.publish("runs", {"n": number})
    async with bus.subscribe(["runs"], after=7) as watcher:
        bus.publish("runs", {"n": 11})
        got = await take(watcher, 4)
    assert [message.seq for message in got] == [8, 9, 10, 11]
    assert watcher.resumed


@pytest.mark.parametrize("after", [0, 3, 99], ids=["long gone", "just gone", "of another life"])
async def test_who_cannot_be_resumed_is_told_so_first(after: int) -> None:
    bus = LocalBus(ring_messages=4)
    for number in range(9):
        bus.publish("runs", {"n": number})
    async with bus.subscribe(["runs"], after=after) as watcher:
        bus.publish("runs", {"n": 9})
        got = await take(watcher, 2)
    assert [(message.seq, message.topic) for message in got] == [(9, GAP), (10, "runs")]
    assert not watcher.resumed


async def test_a_slow_watcher_loses_and_is_told_while_the_others_lose_nothing() -> None:
    bus = LocalBus(queue_messages=8)
    async with bus.subscribe(["red"]) as slow, bus.subscribe(["red"]) as quick:
        seen = 0
        for number in range(1, 101):
            bus.publish("red", {"n": number})
            seen += len(await take(quick, 1))
        assert slow.waiting <= 8
        first = (await take(slow, 1))[0]
        rest = await take(slow, slow.waiting)
    assert seen == 100
    assert first.topic == GAP
    assert rest[-1].seq == 100
    assert [message.seq for message in rest] == list(range(first.seq + 1, 101)), "after the gap nothing is missing"


async def test_a_watcher_may_change_its_topics() -> None:
    bus = LocalBus()
    async with bus.subscribe(["red"]) as watcher:
        watcher.watch(["runs"])
        bus.publish("red", {})
        bus.publish("runs", {})
        assert [message.topic for message in await take(watcher, 1)] == ["runs"]
        assert watcher.waiting == 0


async def test_a_watcher_that_leaves_is_forgotten() -> None:
    bus = LocalBus()
    async with bus.subscribe(["red"]):
        assert bus.subscribers == 1
    assert bus.subscribers == 0


@given(
    published=st.lists(st.sampled_from(["red", "runs"]), max_size=60),
    after=st.integers(min_value=0, max_value=70),
    ring=st.integers(min_value=1, max_value=30),
)
def test_a_resume_is_exact_or_says_that_it_is_not(published: list[str], after: int, ring: int) -> None:
    async def check() -> None:
        bus = LocalBus(ring_messages=ring)
        for topic in published:
            bus.publish(topic, {})
        async with bus.subscribe(["red"], after=after) as watcher:
            got = [message.seq for message in await take(watcher, watcher.waiting)]
        wanted = [seq for seq, topic in enumerate(published, 1) if topic == "red" and seq > after]
        if watcher.resumed:
            assert got == wanted
        else:
            assert after > len(published) or after < len(published) - ring
            assert got == [len(published)]

    anyio.run(check)
