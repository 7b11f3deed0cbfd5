"""An ASGI application on a bound socket, inside an event loop that has more to do: the API and receivers over HTTP.

uvicorn as it comes waits for ever for a request's head and keeps as much of it as is sent; here both are bounded.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import anyio
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from homeostat.task_groups import single_error

Application = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI 3 application."""

GRACE_S: Final = 2
"""Seconds that open requests have to end on shutdown."""

HEAD_S: Final = 15.0
"""Seconds for a request line and its headers to arrive, from the opening of the connection or the first byte."""

FRAMING_BYTES_MAX: Final = 512 << 10
"""Bytes of a request that are not body: head, chunk sizes, trailers. One read may bring 256 KiB of another's."""

_FRAMING_PER_BODY_BYTE: Final = 8  # chunks of a single byte are foolish, not forbidden
_CONNECTIONS_MAX: Final = 4096


class _BoundedProtocol(HttpToolsProtocol):
    """One connection. Closes it when a head does not come, or never ends."""

    _head_timer: asyncio.TimerHandle | None = None
    _received = 0  # bytes since the request began, at least
    _chunk = 0
    _body = 0
    _idle = False  # between an answer and the next request

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        if len(self.connections) > _CONNECTIONS_MAX:
            transport.abort()
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._chunk = len(data)
        self._received += self._chunk
        super().data_received(data)
        if self._received - self._body > FRAMING_BYTES_MAX + _FRAMING_PER_BODY_BYTE * self._body:
            self.transport.abort()
        elif self._idle:
            self._await_head()

    def on_message_begin(self) -> None:
        self._received, self._body, self._idle = self._chunk, 0, False
        self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_came()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        super().on_body(body)

    def on_response_complete(self) -> None:
        self._idle = not self.pipeline
        super().on_response_complete()

    def _await_head(self) -> None:
        if self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(HEAD_S, self.transport.abort)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class _Server(uvicorn.Server):
    """uvicorn, with the signals left to whoever runs the loop."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = anyio.Event()
        self.ended = anyio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@asynccontextmanager
async def serving(
    app: Application, listener: socket.socket, *, message_bytes_max: int | None = None
) -> AsyncGenerator[None]:
    """Serve until the block is left; inside of it requests are answered, and those in flight are finished after.

    With ``message_bytes_max`` also WebSockets, whose messages are not longer, and the application's lifespan events.
    """
    config = uvicorn.Config(
        app,
        http=_BoundedProtocol,
        ws="none" if message_bytes_max is None else "websockets-sansio",
        lifespan="off" if message_bytes_max is None else "on",
        log_config=None,
        log_level="error",  # below it, strangers write our log: every connection, every request that is none
        access_log=False,
        server_header=False,
        date_header=message_bytes_max is not None,
        proxy_headers=False,
        ws_max_size=message_bytes_max or 1,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = _Server(config)

    async def serve() -> None:
        await server.serve(sockets=[listener])
        server.ended.set()

    with single_error():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve)
            await server.listening.wait()
            try:
                yield
            finally:
                server.should_exit = True
                with anyio.move_on_after(2 * GRACE_S, shield=True):
                    await server.ended.wait()
