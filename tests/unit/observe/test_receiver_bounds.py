"""Receivers hold only so much at once: whoever finds no room may come back, and finds it again."""

import gzip
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import anyio
import grpc.aio
import httpx2
import pytest

from homeostat.net import bind, bound_port
from homeostat.observe.intake import Receipt
from homeostat.observe.receivers import http_server, otlp_grpc
from homeostat.observe.receivers.otlp_http import OtlpHttp
from homeostat.observe.receivers.room import Room

KIB = 1 << 10
PROTOBUF = {"content-type": "application/x-protobuf"}


@dataclass
class _Server:
    """The receiver alone: what it hands over waits at the gate."""

    url: str = ""
    gate: anyio.Event = field(default_factory=anyio.Event)
    taken: list[int] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    async def submit(self, payload: bytes) -> Receipt:
        self.taken.append(len(payload))
        await self.gate.wait()
        return Receipt(1, 0)

    async def post(
        self, content: bytes | AsyncIterator[bytes], headers: dict[str, str] | None = None
    ) -> httpx2.Response:
        async with httpx2.AsyncClient() as client:
            return await client.post(self.url, content=content, headers=PROTOBUF | (headers or {}))

    async def until_taken(self, count: int) -> None:
        with anyio.fail_after(10):
            while len(self.taken) < count:
                await anyio.sleep(0.005)


@asynccontextmanager
async def _serving(room: Room) -> AsyncGenerator[_Server]:
    server = _Server()
    app = OtlpHttp(server.submit, server.refused.append, max_request_bytes=1024 * KIB, room=room)
    listener = bind("127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{bound_port(listener)}/v1/traces"
    async with http_server.serving(app, listener):
        yield server


async def test_bytes_beyond_the_bound_are_refused_until_others_have_gone() -> None:
    async with _serving(Room(requests_max=10, bytes_max=1024 * KIB)) as server:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.post, bytes(700 * KIB))
            await server.until_taken(1)
            refused = await server.post(bytes(500 * KIB))
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            unpacked = await server.post(gzip.compress(bytes(500 * KIB)), {"content-encoding": "gzip"})
            assert unpacked.status_code == 503
            tasks.start_soon(server.post, bytes(100 * KIB))
            await server.until_taken(2)
            server.gate.set()
        assert server.taken == [700 * KIB, 100 * KIB]
        assert server.refused == ["overloaded", "overloaded"]
        assert (await server.post(bytes(900 * KIB))).status_code == 200


async def test_requests_beyond_the_bound_are_refused_until_others_have_gone() -> None:
    async with _serving(Room(requests_max=2, bytes_max=1024 * KIB)) as server:
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(server.post, b"x")
            await server.until_taken(2)
            assert (await server.post(b"x")).status_code == 503
            server.gate.set()
        assert (await server.post(b"x")).status_code == 200


async def test_a_sender_that_leaves_gives_its_room_back() -> None:
    async def cut_off() -> AsyncIterator[bytes]:
        yield bytes(900 * KIB)
        raise ConnectionAbortedError

    async with _serving(Room(requests_max=1, bytes_max=1024 * KIB)) as server:
        server.gate.set()
        with suppress(ConnectionAbortedError):
            await server.post(cut_off())
        with anyio.fail_after(10):
            while (await server.post(bytes(900 * KIB))).status_code != 200:
                await anyio.sleep(0.005)


async def test_exports_beyond_the_bound_of_grpc_are_refused_until_others_have_gone() -> None:
    server, largest = _Server(), 64 << 20
    count = otlp_grpc.calls_max(largest)
    assert count * largest <= 1 << 30
    serving = otlp_grpc.serving("127.0.0.1", 0, server.submit, server.refused.append, max_request_bytes=largest)
    async with serving as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        export = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        calls = [export(b"x") for _ in range(count)]
        await server.until_taken(count)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await export(b"x")
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        server.gate.set()
        for call in calls:
            await call
        await export(b"x")
