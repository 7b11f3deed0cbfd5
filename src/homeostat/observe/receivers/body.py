"""Reading the bodies of HTTP requests: bounded each, bounded together, bounded in time. Used by every HTTP receiver.

    bodies = Bodies(max_request_bytes)
    with bodies.place() as place:
        body = await bodies.read(headers, receive, place)

A body is unpacked here too, never to more than ``max_request_bytes``.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread

from homeostat.observe.receivers.refusal import (
    GRPC_DEADLINE_EXCEEDED,
    GRPC_INVALID_ARGUMENT,
    Refusal,
    RefusedError,
)
from homeostat.observe.receivers.room import Place, Room
from homeostat.observe.receivers.unpack import UNPACKERS, too_large

Message = MutableMapping[str, Any]
"""What ASGI passes around; each access here says what it expects."""

Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

BODY_S: Final = 60.0
"""Seconds for a whole body to arrive: a sender that takes longer holds a place that others wait for."""

_INLINE_BYTES_MAX: Final = 8 << 10  # more than this is worked on in a thread, away from the event loop
_PACKED_INLINE_BYTES_MAX: Final = 512  # the same of packed bodies, which become a thousand times as much
_DRAIN_FACTOR: Final = 4  # of the largest request: so much of a larger one is read and thrown away
_WORKERS_MAX: Final = 4  # at once, of large bodies: each may hold several times what came in
_REQUESTS_MAX: Final = 1024  # at once
_BYTES_MAX: Final = 128 << 20  # of bodies at once, but room for a few of the largest
_LARGEST_AT_ONCE: Final = 4

Result = TypeVar("Result")


def room_of(max_request_bytes: int, *, reading_bytes: int = 0) -> Room:
    """Room for what receivers hold together; ``reading_bytes`` more for messages whose size is not known yet."""
    bytes_max = max(_BYTES_MAX, _LARGEST_AT_ONCE * max_request_bytes)
    return Room(requests_max=_REQUESTS_MAX, bytes_max=bytes_max + reading_bytes)


class Bodies:
    """The bodies of one receiver."""

    def __init__(self, max_request_bytes: int, room: Room | None = None, *, workers_max: int = _WORKERS_MAX) -> None:
        self._max_bytes = max_request_bytes
        self._room = room or room_of(max_request_bytes)
        self._workers = anyio.CapacityLimiter(workers_max)

    def place(self) -> AbstractContextManager[Place]:
        """Room for one request. Raises RefusedError when there are too many."""
        return self._room.place()

    async def read(self, headers: dict[bytes, bytes], receive: Receive, place: Place) -> bytes:
        """The unpacked body. Raises RefusedError: too large, too slow, cut off, not what its header says."""
        compression = headers.get(b"content-encoding", b"identity").strip().lower()
        unpack = UNPACKERS.get(compression)
        if unpack is None and compression not in {b"identity", b""}:
            message = "Send Content-Encoding gzip, zstd, deflate or snappy, or none."
            raise RefusedError(Refusal(415, GRPC_INVALID_ARGUMENT, "content_encoding", message))
        try:
            with anyio.fail_after(BODY_S):
                body = await self._received(headers, receive, place)
        except TimeoutError as error:
            raise _too_slow() from error
        if unpack is not None:
            body = await self.work(
                len(body), partial(unpack, body, self._max_bytes), inline_bytes_max=_PACKED_INLINE_BYTES_MAX
            )
            place.take(len(body))
        return body

    async def work(
        self, size: int, work: Callable[[], Result], *, inline_bytes_max: int = _INLINE_BYTES_MAX
    ) -> Result:
        """The result of ``work`` on so many bytes: in a thread, when they are many."""
        if size <= inline_bytes_max:
            return work()
        return await anyio.to_thread.run_sync(work, limiter=self._workers)

    async def _received(self, headers: dict[bytes, bytes], receive: Receive, place: Place) -> bytes:
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._max_bytes:
            await self._drain(receive)
            raise too_large(self._max_bytes)
        chunks: list[bytes] = []
        size, more = 0, True
        while more:
            chunk, more = await _chunk(receive)
            try:
                place.take(len(chunk))
            except RefusedError:
                chunks.clear()
                place.give_back()
                await self._drain(receive, more=more)
                raise
            chunks.append(chunk)
            size += len(chunk)
            if size > self._max_bytes:
                await self._drain(receive, more=more)
                raise too_large(self._max_bytes)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def _drain(self, receive: Receive, *, more: bool = True) -> None:
        """Read on for a while: a connection that is closed while its sender still sends loses the answer."""
        left = _DRAIN_FACTOR * self._max_bytes
        while more and left > 0:
            chunk, more = await _chunk(receive)
            left -= len(chunk)


async def _chunk(receive: Receive) -> tuple[bytes, bool]:
    """The next piece of the body, and whether there is more."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise RefusedError(Refusal(400, GRPC_INVALID_ARGUMENT, "cut_off", "The connection was cut off."))
    chunk = message.get("body", b"")
    assert isinstance(chunk, bytes)
    return chunk, bool(message.get("more_body"))


def headers_of(scope: Message) -> dict[bytes, bytes]:
    """The request's headers by name; of one that is repeated, the last."""
    headers = scope["headers"]
    assert isinstance(headers, list)
    return dict(headers)


def content_type(headers: dict[bytes, bytes]) -> bytes:
    """The media type alone, in lower case."""
    return headers.get(b"content-type", b"").split(b";")[0].strip().lower()


def _too_slow() -> RefusedError:
    message = f"The body took longer than {BODY_S:.0f} s to arrive. Send smaller batches."
    return RefusedError(Refusal(408, GRPC_DEADLINE_EXCEEDED, "too_slow", message))


async def answer(send: Send, status: int, body: bytes, headers: Headers) -> None:
    """Send a whole response."""
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    if status in {408, 413}:
        headers.append((b"connection", b"close"))  # the rest of the body may not have been read
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def refusal_headers(refusal: Refusal) -> Headers:
    """What a refusal says beside its body."""
    headers: Headers = []
    if refusal.retry_after_s is not None:
        headers.append((b"retry-after", str(refusal.retry_after_s).encode()))
    if refusal.http_status == 405:
        headers.append((b"allow", b"POST"))
    return headers
