"""Runs the API's app on a listening socket, inside an event loop that has more to do. ``cli`` and tests call it."""

import socket
from contextlib import AbstractAsyncContextManager
from typing import Final

from starlette.types import ASGIApp

from homeostat.serving import serving as serving_http

MESSAGE_BYTES_MAX: Final = 64 * 1024
"""What a live client may send is one small JSON object."""


def serving(app: ASGIApp, listener: socket.socket) -> AbstractAsyncContextManager[None]:
    """Serve ``app`` and its WebSockets for the length of an ``async with``; inside of it requests are answered."""
    return serving_http(app, listener, message_bytes_max=MESSAGE_BYTES_MAX)
