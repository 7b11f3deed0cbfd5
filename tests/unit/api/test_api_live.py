"""The live feed over real sockets: order, resume, gaps, and a slow reader who costs nobody but itself."""

import json
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
import httpx2
import psutil
import pytest
from api_parts import NOW_S, Setup, a_run, storage
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from homeostat.api import live
from homeostat.api.app import create_api
from homeostat.api.context import Context
from homeostat.api.feeds import Feeds
from homeostat.api.server import serving
from homeostat.api.tally import Tally
from homeostat.background import Background
from homeostat.bus import LocalBus

PATIENCE_S = 10
BASE = NOW_S * 1000
"""What is added to sequence numbers on the wire: when this life of the process began."""


@asynccontextmanager
async def served(setup: Setup) -> AsyncGenerator[str, None]:
    """The app on a real server; yields ``host:port``."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with serving(create_api(setup.parts()), listener):
            yield f"127.0.0.1:{listener.getsockname()[1]}"


async def receive(client: ClientConnection, count: int) -> list[dict[str, object]]:
    """The next messages; fails rather than waits for ever."""
    with anyio.fail_after(PATIENCE_S):
        return [json.loads(await client.recv()) for _ in range(count)]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; fails rather than waits for ever."""
    with anyio.fail_after(PATIENCE_S):
        while not condition():
            await anyio.sleep(0.01)


async def test_a_watcher_is_greeted_and_told_what_happens(setup: Setup) -> None:
    async with served(setup) as address, connect(f"ws://{address}/api/live?topics=runs,flags") as client:
        hello = (await receive(client, 1))[0]
        setup.bus.publish("red", {})
        seq = setup.bus.publish("runs", a_run("run-1").model_dump(mode="json"))
        message = (await receive(client, 1))[0]
    assert hello["topic"] == "hello"
    assert hello["data"] == {"topics": ["runs", "flags"], "resumed": False}
    assert message == {"seq": BASE + seq, "topic": "runs", "data": a_run("run-1").model_dump(mode="json")}


async def test_who_comes_back_misses_nothing(setup: Setup) -> None:
    async with served(setup) as address:
        async with connect(f"ws://{address}/api/live?topics=runs") as client:
            hello = (await receive(client, 1))[0]
        missed = [BASE + setup.bus.publish("runs", {"n": number}) for number in range(3)]
        async with connect(f"ws://{address}/api/live?topics=runs&after={hello['seq']}") as client:
            again = (await receive(client, 1))[0]
            got = await receive(client, 3)
    assert again["data"] == {"topics": ["runs"], "resumed": True}
    assert again["seq"] >= missed[-1]
    assert [message["seq"] for message in got] == missed


async def test_who_was_away_for_too_long_gets_a_gap(setup: Setup) -> None:
    setup.bus = LocalBus(ring_messages=4)
    for number in range(9):
        setup.bus.publish("runs", {"n": number})
    async with served(setup) as address, connect(f"ws://{address}/api/live?topics=runs&after={BASE + 1}") as client:
        hello, gap = await receive(client, 2)
    assert hello["data"] == {"topics": ["runs"], "resumed": False}
    assert gap["topic"] == "gap"


async def test_who_comes_back_after_a_restart_gets_a_gap_although_the_bus_counts_anew(setup: Setup) -> None:
    for number in range(5):
        setup.bus.publish("runs", {"n": number})
    async with served(setup) as address, connect(f"ws://{address}/api/live?topics=runs") as client:
        last = (await receive(client, 1))[0]["seq"]
    setup.bus = LocalBus()
    setup.clock.forward(2)
    for number in range(50):
        setup.bus.publish("runs", {"n": number})
    async with served(setup) as address, connect(f"ws://{address}/api/live?topics=runs&after={last}") as client:
        hello, gap = await receive(client, 2)
    assert hello["data"] == {"topics": ["runs"], "resumed": False}
    assert gap["topic"] == "gap"


async def test_a_watcher_may_change_its_topics(setup: Setup) -> None:
    async with served(setup) as address, connect(f"ws://{address}/api/live?topics=runs") as client:
        await receive(client, 1)
        await client.send(json.dumps({"subscribe": ["flags"]}))
        got = await _first_of(client, lambda: setup.bus.publish("flags", {"flag": "f"}))
    assert got["topic"] == "flags"


async def _first_of(client: ClientConnection, publish: Callable[[], int]) -> dict[str, object]:
    """Publish until something arrives: the change of topics takes effect when the server has read it."""
    with anyio.fail_after(PATIENCE_S):
        while True:
            publish()
            with anyio.move_on_after(0.05):
                return json.loads(await client.recv())


@pytest.mark.parametrize(
    "wish", ["nonsense", '{"subscribe": ["weather"]}', '{"subscribe": 1}', '{"do": []}', b"\x00\x01"]
)
async def test_nonsense_ends_the_conversation_with_a_reason(setup: Setup, wish: str | bytes) -> None:
    async with served(setup) as address, connect(f"ws://{address}/api/live") as client:
        await receive(client, 1)
        await client.send(wish)
        with pytest.raises(ConnectionClosed) as closed:
            await receive(client, 1000)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008
    assert "subscribe" in closed.value.rcvd.reason or "Topics:" in closed.value.rcvd.reason


async def test_the_dashboards_own_page_may_listen(setup: Setup) -> None:
    async with served(setup) as address, connect(f"ws://{address}/api/live", origin=f"http://{address}") as client:
        assert (await receive(client, 1))[0]["topic"] == "hello"


async def test_unknown_topics_are_refused_by_name(setup: Setup) -> None:
    async with served(setup) as address, connect(f"ws://{address}/api/live?topics=runs,weather") as client:
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
    assert closed.value.rcvd is not None
    assert "weather" in closed.value.rcvd.reason


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}], ids=["origin", "host"]
)
async def test_another_page_may_not_listen(setup: Setup, headers: dict[str, str]) -> None:
    async with served(setup) as address:
        with pytest.raises(InvalidStatus) as refused:
            async with connect(f"ws://{address}/api/live", additional_headers=headers):
                pass
    assert refused.value.response.status_code == 403


async def test_a_reader_that_sleeps_gets_a_gap_and_holds_nobody_up(setup: Setup) -> None:
    setup.bus = LocalBus(ring_messages=64, queue_messages=64)
    payload = {"text": "x" * 50_000}
    async with served(setup) as address:
        before = psutil.Process().memory_info().rss
        url = f"ws://{address}/api/live?topics=flags"
        # The sleeper's own buffers are kept small too, so that it is the server that has to cope.
        async with connect(url, max_queue=1, close_timeout=0.1) as sleeper, connect(url, close_timeout=0.1) as quick:
            await receive(quick, 1)
            for number in range(800):
                setup.bus.publish("flags", payload | {"n": number})
                if number % 32 == 0:
                    got = await receive(quick, 32 if number else 1)
                    assert all(message["topic"] == "flags" for message in got)
            grown = psutil.Process().memory_info().rss - before
            topics = {message["topic"] for message in await _drain(sleeper, setup)}
    assert "gap" in topics
    assert grown < 25_000_000, f"40 MB were published and {grown / 1e6:.1f} MB are held"


async def _drain(client: ClientConnection, setup: Setup) -> list[dict[str, object]]:
    """Wake up and read until the newest message."""
    last = BASE + setup.bus.publish("flags", {})
    got: list[dict[str, object]] = []
    while not got or got[-1]["seq"] != last:
        got += await receive(client, 1)
    return got


async def test_a_watcher_that_leaves_is_forgotten(setup: Setup) -> None:
    async with served(setup) as address:
        await until(lambda: setup.bus.subscribers == 1)  # the counts
        async with connect(f"ws://{address}/api/live?topics=runs") as client:
            await receive(client, 1)
            assert setup.bus.subscribers == 2
        await until(lambda: setup.bus.subscribers == 1)


async def test_one_watcher_too_many_is_told_to_come_later(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "CONNECTIONS_MAX", 1)
    async with served(setup) as address, connect(f"ws://{address}/api/live?topics=runs") as first:
        await receive(first, 1)
        async with connect(f"ws://{address}/api/live?topics=runs") as second:
            with pytest.raises(ConnectionClosed) as closed:
                await second.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1013


async def test_a_server_that_stops_lets_its_watchers_go(setup: Setup) -> None:
    with anyio.fail_after(PATIENCE_S):
        async with served(setup) as address:
            client = await connect(f"ws://{address}/api/live?topics=runs")
            await receive(client, 1)
        with pytest.raises(ConnectionClosed):
            await client.recv()
    async with httpx2.AsyncClient(trust_env=False) as http:
        with pytest.raises(httpx2.ConnectError):
            await http.get(f"http://{address}/api/health")


def feeds_of(setup: Setup) -> Feeds:
    """The feeds alone, to be ticked by hand."""
    parts = setup.parts()
    return Feeds(
        Context(parts=parts, tally=Tally(parts.state, parts.bus), world=None, background=Background(parts.clock))
    )


async def published(setup: Setup, topic: str) -> list[dict[str, object]]:
    """Everything published on a topic so far."""
    async with setup.bus.subscribe([topic], after=0) as messages:
        return [(await anext(messages)).data for _ in range(messages.waiting)]


async def test_each_second_is_published_once_when_it_is_complete(setup: Setup) -> None:
    feeds = feeds_of(setup)
    await feeds.tick()
    assert await published(setup, "red") == [], "nothing is known before the first span"
    for second in range(NOW_S - 20, NOW_S):
        setup.red.add("shop", second, requests=second - NOW_S + 30, errors=1)
    for _ in range(8):
        await feeds.tick()
        setup.clock.forward(0.5)
        setup.red.add("shop", int(setup.clock.time.timestamp()), requests=1)
    red = await published(setup, "red")
    times = [message["time"] for message in red]
    assert times == [f"2026-03-01T11:59:{second}Z" for second in (58, 59)] + [
        f"2026-03-01T12:00:0{second}Z" for second in (0, 1)
    ]
    shop = red[0]["services"]["shop"]  # pyright: ignore[reportIndexIssue]
    assert (shop["requests"], shop["errors"]) == (28, 1)
    assert shop["p50_ms"] == pytest.approx(8.0, rel=0.1)


async def test_silence_is_published_as_nothing_after_a_while(setup: Setup) -> None:
    feeds = feeds_of(setup)
    setup.red.add("shop", NOW_S - 1)
    for _ in range(20):
        await feeds.tick()
        setup.clock.forward(1)
    red = await published(setup, "red")
    assert red[-1] == {"time": "2026-03-01T12:00:11Z", "services": {}}
    times = [message["time"] for message in red]
    assert times == sorted(set(times)), "no second twice"


async def test_seconds_that_arrive_in_batches_are_caught_up_with(setup: Setup) -> None:
    feeds = feeds_of(setup)
    for start in range(0, 20, 5):
        for second in range(start, start + 5):
            setup.red.add("shop", NOW_S + second)
        setup.clock.forward(5)
        await feeds.tick()
    red = await published(setup, "red")
    assert len(red) == len({message["time"] for message in red}) >= 15
    assert all(message["services"] for message in red)


async def test_counts_and_storage_are_published_when_they_change(setup: Setup) -> None:
    feeds = feeds_of(setup)
    for state in ("ok", "ok", "full", "full", "ok"):
        setup.storage = storage(state)
        await feeds.tick()
        setup.clock.forward(1)
    setup.ingest = setup.ingest.model_copy(update={"spans_received": 43})
    await feeds.tick()
    await feeds.tick()
    assert [message["state"] for message in await published(setup, "storage")] == ["ok", "full", "ok"]
    assert [message["observe"]["spans_total"] for message in await published(setup, "loop")] == [42, 43]  # pyright: ignore[reportIndexIssue]
