"""Keeps web pages from elsewhere away from the control API: it has no password, and a browser would call it for them.

Loopback alone does not help against a page that posts to 127.0.0.1, or whose host name was made to resolve to it.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class OnlyFromHere:
    """ASGI middleware: 403 unless Host (and Origin, where there is one) name this machine."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            if not _here(f"//{headers.get('host', '')}") or (origin is not None and not _here(origin)):
                detail = "The world answers calls from this machine only. Use http://127.0.0.1 and no other origin."
                await JSONResponse({"detail": detail}, status_code=403)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _here(url: str) -> bool:
    try:
        return urlsplit(url).hostname in LOOPBACK
    except ValueError:
        return False
