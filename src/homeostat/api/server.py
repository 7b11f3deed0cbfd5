"""Runs the API's app on a listening socket, inside an event loop that has more to do. ``cli`` and tests call it."""

import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

import anyio
import uvicorn
from starlette.types import ASGIApp

MESSAGE_BYTES_MAX = 64 * 1024
"""What a live client may send is one small JSON object."""

GRACE_S = 2
"""Seconds that open requests have to end on shutdown."""


class _Server(uvicorn.Server):
    """uvicorn, with the signals left to whoever runs the loop."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = anyio.Event()
        self.ended = anyio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@asynccontextmanager
async def serving(app: ASGIApp, listener: socket.socket) -> AsyncGenerator[None, None]:
    """Serve ``app`` on a bound socket for the length of an ``async with``; inside of it requests are answered."""
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="websockets-sansio",
        lifespan="on",
        log_config=None,
        log_level="warning",  # every connection of a dashboard would be a line otherwise
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws_max_size=MESSAGE_BYTES_MAX,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = _Server(config)

    async def serve() -> None:
        await server.serve(sockets=[listener])
        server.ended.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        await server.listening.wait()
        try:
            yield
        finally:
            server.should_exit = True
            with anyio.move_on_after(2 * GRACE_S, shield=True):
                await server.ended.wait()
