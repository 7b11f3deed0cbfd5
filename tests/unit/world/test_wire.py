"""Calls between the services, against real sockets that behave well and badly."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from homeostat.world.wire import HttpClient, WireError

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    made = HttpClient()
    yield made
    await made.close()


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    running = await asyncio.start_server(handler, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}"
    finally:
        running.close()


def answering(*answers: bytes) -> tuple[Handler, list[bytes]]:
    """Answers the requests of all connections with these bytes in turn; ``seen`` has the requests."""
    seen: list[bytes] = []
    left = list(answers)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while left:
            head = await reader.readuntil(b"\r\n\r\n")
            lengths = [
                line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
            ]
            length = int(lengths[0]) if lengths else 0
            seen.append(head + await reader.readexactly(length))
            writer.write(left.pop(0))
            await writer.drain()
        writer.close()

    return handle, seen


async def test_a_connection_is_used_again(client: HttpClient) -> None:
    connections = 0
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n\r\nok"
    handle, seen = answering(answer, answer, answer)

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await handle(reader, writer)

    async with server(counting) as url:
        for _ in range(3):
            response = await client.request("POST", f"{url}/a?b=c", body=b"hello", timeout_s=2)
            assert (response.status, response.body, response.headers["x-a"]) == (200, b"ok", "b")
    assert connections == 1
    assert seen[0].startswith(b"POST /a?b=c HTTP/1.1\r\n")
    assert seen[0].endswith(b"\r\n\r\nhello")


async def test_a_chunked_answer_and_one_that_ends_the_connection_are_read(client: HttpClient) -> None:
    handle, _ = answering(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    )
    async with server(handle) as url:
        assert (await client.request("GET", url, timeout_s=2)).body == b"abcde"
        assert (await client.request("GET", url, timeout_s=2)).status == 503


async def test_nobody_listening_is_said_as_such(client: HttpClient) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(WireError) as caught:
            await client.request("GET", f"http://127.0.0.1:{taken.getsockname()[1]}", timeout_s=2)
    assert caught.value.kind == "connection_refused"


async def test_a_server_that_does_not_answer_is_given_up(client: HttpClient) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with server(silent) as url:
        with pytest.raises(WireError) as caught:
            await client.request("GET", url, timeout_s=0.1)
    assert caught.value.kind == "timeout"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", "connection_reset"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "connection_reset"),
        (b"SMTP hello\r\n\r\n", "protocol_error"),
    ],
)
async def test_an_answer_that_is_cut_off_or_is_not_http_is_an_error(
    client: HttpClient, answer: bytes, kind: str
) -> None:
    handle, _ = answering(answer)
    async with server(handle) as url:
        with pytest.raises(WireError) as caught:
            await client.request("GET", url, timeout_s=2)
    assert caught.value.kind == kind


async def test_a_header_from_outside_cannot_smuggle_in_another(client: HttpClient) -> None:
    handle, seen = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    async with server(handle) as url:
        await client.request("GET", url, headers={"x-correlation-id": "a\r\nx-evil: 1"}, timeout_s=2)
    assert b"\r\nx-evil" not in seen[0]
