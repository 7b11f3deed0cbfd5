"""The HTTP server behind the API and the receivers: who dawdles or never ends does not keep the connection."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest

from homeostat import serving as module
from homeostat.net import bind, bound_port
from homeostat.serving import FRAMING_BYTES_MAX, serving

REQUEST = b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 3\r\n\r\nabc"


async def _echo(scope: dict[str, object], receive, send) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def _connection() -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    listener = bind("127.0.0.1", 0)
    async with serving(_echo, listener):
        reader, writer = await asyncio.open_connection("127.0.0.1", bound_port(listener))
        try:
            yield reader, writer
        finally:
            writer.close()


async def _ended(reader: asyncio.StreamReader) -> bool:
    """Whether the server has closed the connection, soon."""
    with anyio.fail_after(10):
        try:
            while await reader.read(1 << 16):
                pass
        except ConnectionError:
            pass
    return True


@pytest.mark.parametrize("sent", [b"", b"POST / HT", REQUEST + b"POST / HTTP/1.1\r\nhost: h", b"\r\n"])
async def test_a_head_that_does_not_come_ends_the_connection(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEAD_S", 0.05)
    async with _connection() as (reader, writer):
        writer.write(sent)
        assert await _ended(reader)


async def test_a_slow_body_after_a_quick_head_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEAD_S", 0.2)
    async with _connection() as (reader, writer):
        for piece in (REQUEST, REQUEST[:-2], REQUEST[-2:]):
            writer.write(piece)
            await anyio.sleep(0.15)
        writer.write(REQUEST)
        with anyio.fail_after(10):
            answers = await reader.readexactly(3 * len(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"))
        assert answers.count(b"200 OK") == 3


@pytest.mark.parametrize(
    ("opening", "more"),
    [
        (b"POST / HTTP/1.1\r\nx: ", b"y" * 65536),
        (b"POST /", b"y" * 65536),
        (b"POST / HTTP/1.1\r\n", b"".join(b"h%d: v\r\n" % number for number in range(5000))),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ", b"y" * 65536),
    ],
    ids=["value", "url", "headers", "trailer"],
)
async def test_a_request_that_is_all_framing_is_cut_off(opening: bytes, more: bytes) -> None:
    async with _connection() as (reader, writer):
        writer.write(opening)
        sent = 0
        try:
            while sent < 4 * FRAMING_BYTES_MAX:
                writer.write(more)
                await writer.drain()
                sent += len(more)
        except ConnectionError:
            pass
        assert await _ended(reader)


async def test_small_chunks_are_taken() -> None:
    async with _connection() as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(50):
            writer.write(b"1\r\na\r\n" * 4000)
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        with anyio.fail_after(20):
            answer = await reader.readuntil(b"\r\n\r\n")
        assert b"content-length: 200000" in answer
