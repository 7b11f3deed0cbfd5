"""Browsers that send OTLP over HTTP from a page of this machine. Used by ``otlp_http``.

A page on localhost (any port) may send; a page from anywhere else may not be let in by us: its browser asks first
("preflight") and hears no yes. Fetch standard, "CORS protocol".
"""

from typing import Final
from urllib.parse import urlsplit

from homeostat.observe.receivers.body import Headers

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_REMEMBERED_S: Final = b"3600"


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
