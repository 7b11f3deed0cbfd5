"""Receivers hold only so much at once: whoever finds no room may come back, and finds it again."""

import gzip
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import anyio
import grpc.aio
import httpx2
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from homeostat import serving as http_server
from homeostat.core.config import ReceiverConfig
from homeostat.net import bind, bound_port
from homeostat.observe.intake import Receipt
from homeostat.observe.receivers import body, foreign, grpc_server, otlp_grpc
from homeostat.observe.receivers.otlp_http import OtlpHttp
from homeostat.observe.receivers.refusal import RefusedError
from homeostat.observe.receivers.room import Place, Room
from homeostat.observe.receivers.submit import Submitters

KIB = 1 << 10
JSON = {"content-type": "application/json"}
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

    @property
    def submitters(self) -> Submitters:
        return Submitters(self.submit, self.submit, self.submit)

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
    app = OtlpHttp(server.submitters, server.refused.append, max_request_bytes=1024 * KIB, room=room)
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


async def test_receivers_of_other_protocols_share_the_room_and_hold_what_they_make_in_it() -> None:
    server, room = _Server(), Room(requests_max=10, bytes_max=1024 * KIB)
    thrift = bytes([0x80, 1, 0, 1])
    span = b'{"traceId": "7", "id": "1", "timestamp": 1772366400000000, "tags": {"t": "' + b"x" * (300 * KIB) + b'"}}'
    async with AsyncExitStack() as stack:
        receivers = ReceiverConfig.only(jaeger_http_port=0, jaeger_grpc_port=0, zipkin_port=0, max_request_mib=1)
        ports = await foreign.listen(stack, receivers, server.submit, server.refused.append, room)
        server.url = f"http://127.0.0.1:{ports.zipkin}/api/v2/spans"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.post, b"[" + span + b"]", JSON)
            await server.until_taken(1)
            with pytest.raises(RefusedError):
                Place(room).take(1024 * KIB - 600 * KIB)  # the body, and as much again that was made of it
            server.url = f"http://127.0.0.1:{ports.jaeger_http}/api/traces"
            jaeger = await server.post(thrift + bytes(500 * KIB), {"content-type": "application/x-thrift"})
            assert jaeger.status_code == 503
            async with grpc.aio.insecure_channel(f"127.0.0.1:{ports.jaeger_grpc}") as channel:
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await channel.unary_unary("/jaeger.api_v2.CollectorService/PostSpans")(b"")
            assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
            server.gate.set()
    Place(room).take(1024 * KIB)  # all of it is free again


async def test_what_may_become_much_is_unpacked_away_from_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def unpack(packed: bytes, _: int) -> bytes:
        threads.append(threading.get_ident())
        return packed

    monkeypatch.setattr(body, "UNPACKERS", {b"gzip": unpack})
    bodies = body.Bodies(1024 * KIB)
    for size in (512, 513):

        async def receive(size: int = size) -> body.Message:
            return {"type": "http.request", "body": bytes(size)}

        with bodies.place() as place:
            await bodies.read({b"content-encoding": b"gzip"}, receive, place)
    assert [thread == threading.get_ident() for thread in threads] == [True, False]


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


def _retry_delay_s(error: grpc.aio.AioRpcError) -> int | None:
    status = Status.FromString(dict(error.trailing_metadata() or ())["grpc-status-details-bin"])
    info = RetryInfo()
    return info.retry_delay.seconds if status.details and status.details[0].Unpack(info) else None


@asynccontextmanager
async def _serving_grpc(room: Room) -> AsyncGenerator[tuple[_Server, grpc.aio.UnaryUnaryMultiCallable]]:
    server = _Server()
    serving = otlp_grpc.serving(
        "127.0.0.1", 0, server.submitters, server.refused.append, max_request_bytes=1024 * KIB, room=room
    )
    async with serving as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield server, channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")


async def test_exports_beyond_the_bound_of_grpc_are_told_to_come_back_until_others_have_gone() -> None:
    async with _serving_grpc(Room(requests_max=3, bytes_max=10 * 1024 * KIB)) as (server, export):
        calls = [export(b"x") for _ in range(3)]
        await server.until_taken(3)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await export(bytes(1000 * KIB))
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        assert _retry_delay_s(raised.value) == 1, "without it the specification forbids a retry"
        server.gate.set()
        for call in calls:
            await call
        await export(b"x")


async def test_bytes_beyond_the_bound_of_grpc_are_told_to_come_back_until_others_have_gone() -> None:
    async with _serving_grpc(Room(requests_max=10, bytes_max=1024 * KIB)) as (server, export):
        call = export(bytes(700 * KIB))
        await server.until_taken(1)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await export(bytes(500 * KIB))
        assert (raised.value.code(), _retry_delay_s(raised.value)) == (grpc.StatusCode.UNAVAILABLE, 1)
        server.gate.set()
        await call
        await export(bytes(700 * KIB))


@pytest.mark.parametrize("mib", [1, 16, 64, 1024])
def test_messages_that_grpc_reads_at_once_are_bounded(mib: int) -> None:
    assert grpc_server.readers_max(mib << 20) * mib <= max(128, 2 * mib)
    assert grpc_server.readers_max(mib << 20) >= 2


async def test_a_call_without_a_message_is_refused() -> None:
    async with _serving_grpc(Room(requests_max=10, bytes_max=1024 * KIB)) as (server, _):
        pass
    serving = otlp_grpc.serving(
        "127.0.0.1", 0, server.submitters, server.refused.append, max_request_bytes=1024 * KIB
    )
    async with serving as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        export = channel.stream_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await export(iter(()))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert server.refused == ["cut_off"]
