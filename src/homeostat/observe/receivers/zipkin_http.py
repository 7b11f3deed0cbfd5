"""Zipkin's collector (port 9411): ``POST /api/v2/spans`` with JSON or protobuf, plain or gzip; ``GET /health``.

Made by ``foreign``.
"""

from typing import ClassVar, Final

from homeostat.observe.receivers import zipkin_json, zipkin_proto
from homeostat.observe.receivers.body import Message, Receive, Send, answer
from homeostat.observe.receivers.foreign_http import ForeignHttp
from homeostat.observe.receivers.translated import Translated
from homeostat.observe.receivers.zipkin_translate import to_otlp

PATH: Final = "/api/v2/spans"
_HEALTH_PATH: Final = "/health"
_JSON: Final = (b"content-type", b"application/json")


def _of_json(body: bytes) -> Translated:
    return to_otlp(zipkin_json.spans_of(body))


def _of_protobuf(body: bytes) -> Translated:
    return to_otlp(zipkin_proto.spans_of(body))


class ZipkinHttp(ForeignHttp):
    """The ASGI application."""

    path = PATH
    accepted = "Spans of Zipkin's version 2 are"
    types = "application/json or application/x-protobuf"
    readers: ClassVar = {
        b"": _of_json,  # Zipkin's own takes what has no type for JSON
        b"application/json": _of_json,
        b"application/x-protobuf": _of_protobuf,
    }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (scope["method"], scope["path"]) == ("GET", _HEALTH_PATH):
            await answer(send, 200, b'{"status":"UP"}', [_JSON])
            return
        await super().__call__(scope, receive, send)
