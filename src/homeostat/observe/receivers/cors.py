"""Browsers that send from a page. Used by ``otlp_http`` (answers) and wherever an HTTP receiver is started (guard).

A page on localhost (any port) may send; a page from anywhere else is refused. Its browser does not always ask first
("preflight"): a body without a type is sent at once, and a foreign name that resolves to this address (DNS rebinding)
makes the page our own. With every POST it names the page, as ``Origin``. Fetch standard, "CORS protocol".
"""

from typing import Final
from urllib.parse import urlsplit

from homeostat.observe.receivers import Refuse
from homeostat.observe.receivers.body import Headers, Message, Receive, Send, answer
from homeostat.serving import Application

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_REMEMBERED_S: Final = b"3600"
_REFUSED: Final = (
    b"A page of another origin may not send telemetry here; one on localhost may. "
    b"Behind a proxy that lets pages in, have it remove the Origin header."
)


def allowed(origin: bytes | None) -> bool:
    """Whether the origin is a page of this machine."""
    if origin is None:
        return False
    try:
        parts = urlsplit(origin.decode("ascii"))
        return parts.scheme in {"http", "https"} and (parts.hostname or "") in _LOOPBACK
    except ValueError:
        return False


def answer_headers(origin: bytes | None) -> Headers:
    """What an answer says to an allowed page; nothing to others."""
    if origin is None or not allowed(origin):
        return []
    return [(b"access-control-allow-origin", origin), (b"vary", b"origin")]


def preflight_headers(origin: bytes, asked: bytes) -> Headers:
    """The answer to a preflight of an allowed origin; ``asked`` are the headers it wants to send."""
    return [
        *answer_headers(origin),
        (b"access-control-allow-methods", b"POST"),
        (b"access-control-allow-headers", asked or b"content-type, content-encoding"),
        (b"access-control-max-age", _REMEMBERED_S),
    ]


def guarded(app: Application, refuse: Refuse) -> Application:
    """The receiver, without requests of foreign pages: they are refused before their bodies are read."""

    async def guard(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not all(
            allowed(value) for name, value in scope["headers"] if name == b"origin"
        ):
            refuse("foreign_page")
            await answer(send, 403, _REFUSED, [(b"content-type", b"text/plain; charset=utf-8")])
            return
        await app(scope, receive, send)

    return guard
