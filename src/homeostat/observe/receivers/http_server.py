"""An ASGI application on a bound socket, inside the running event loop. Used for every HTTP receiver."""

import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import uvicorn

from homeostat.observe.tasks import single_error

Application = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI 3 application."""

_READY_POLL_S = 0.005
_GRACE_S = 2


class _EmbeddedServer(uvicorn.Server):
    """Signals belong to the process, not to one of its servers."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def serving(app: Application, listener: socket.socket) -> AsyncGenerator[None]:
    """Serve until the block is left; requests in flight are finished first."""
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = _EmbeddedServer(config)
    with single_error():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            while not server.started:
                await anyio.sleep(_READY_POLL_S)
            try:
                yield
            finally:
                server.should_exit = True
