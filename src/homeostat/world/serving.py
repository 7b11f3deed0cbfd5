"""One way to serve HTTP for all processes of the world: uvicorn, lean, on a socket that is bound already."""

from collections import abc
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp


class Server(uvicorn.Server):
    """uvicorn without its signal handlers, which kill the process before it could send its last spans.

    Whoever runs it sets ``should_exit`` when the time has come.
    """

    @contextmanager
    def capture_signals(self) -> abc.Generator[None, None, None]:
        """Leave the signals to the process."""
        yield


def make_server(app: ASGIApp, *, graceful_s: int, concurrency_max: int) -> Server:
    """``graceful_s`` is how long requests in flight may take after ``should_exit``.

    Beyond ``concurrency_max`` requests and connections at once, callers get a 503.
    """
    return Server(
        uvicorn.Config(
            app,
            interface="asgi3",
            http="httptools",
            ws="none",
            lifespan="off",
            proxy_headers=False,
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=graceful_s,
            limit_concurrency=concurrency_max,
        )
    )
