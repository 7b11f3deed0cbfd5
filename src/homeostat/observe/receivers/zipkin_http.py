"""Zipkin's collector (port 9411): ``POST /api/v2/spans`` with JSON or protobuf, plain or gzip; ``GET /health``.

Answers as Zipkin's own: 202 when the spans are taken, a line of text when they are not. Made by ``observe.pipeline``.
"""

from functools import partial
from typing import Final

from homeostat.core.errors import HomeostatError
from homeostat.observe.receivers import Refuse, Submit, zipkin_json, zipkin_proto
from homeostat.observe.receivers.body import (
    Bodies,
    Message,
    Receive,
    Send,
    answer,
    content_type,
    headers_of,
    refusal_headers,
)
from homeostat.observe.receivers.refusal import (
    GRPC_INVALID_ARGUMENT,
    GRPC_NOT_FOUND,
    GRPC_UNIMPLEMENTED,
    Refusal,
    RefusedError,
    refusal_of,
)
from homeostat.observe.receivers.room import Room
from homeostat.observe.receivers.zipkin_translate import Translated, to_otlp

PATH: Final = "/api/v2/spans"
_HEALTH_PATH: Final = "/health"
_PROTOBUF: Final = b"application/x-protobuf"
_READERS: Final = {
    b"": zipkin_json.spans_of,  # Zipkin's own takes what has no type for JSON
    b"application/json": zipkin_json.spans_of,
    _PROTOBUF: zipkin_proto.spans_of,
}
_TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")
_JSON: Final = (b"content-type", b"application/json")


class ZipkinHttp:
    """The ASGI application."""

    def __init__(self, submit: Submit, refuse: Refuse, *, max_request_bytes: int, room: Room | None = None) -> None:
        self._submit = submit
        self._refuse = refuse
        self._bodies = Bodies(max_request_bytes, room, workers_max=1)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if (scope["method"], scope["path"]) == ("GET", _HEALTH_PATH):
            await answer(send, 200, b'{"status":"UP"}', [_JSON])
            return
        try:
            headers = headers_of(scope)
            encoding = _encoding(scope, headers)
            with self._bodies.place() as place:
                body = await self._bodies.read(headers, receive, place)
                translated = await self._bodies.work(len(body), partial(_translated, encoding, body))
                place.take(len(translated.request))
                await self._submit(translated.request)
        except HomeostatError as error:
            refusal = refusal_of(error)
            self._refuse(refusal.reason)
            await answer(send, refusal.http_status, refusal.message.encode(), [_TEXT, *refusal_headers(refusal)])
            return
        if translated.without_time:
            self._refuse("span_without_time", translated.without_time)
        await answer(send, 202, b"", [])


def _encoding(scope: Message, headers: dict[bytes, bytes]) -> bytes:
    if scope["path"] != PATH:
        message = f"Nothing is accepted at {scope['path']}. Spans of Zipkin's version 2 are, at {PATH}."
        raise RefusedError(Refusal(404, GRPC_NOT_FOUND, "unknown_path", message))
    if scope["method"] != "POST":
        raise RefusedError(Refusal(405, GRPC_UNIMPLEMENTED, "method", "Use POST."))
    encoding = content_type(headers)
    if encoding not in _READERS:
        message = "Send Content-Type application/json or application/x-protobuf."
        raise RefusedError(Refusal(415, GRPC_INVALID_ARGUMENT, "content_type", message))
    return encoding


def _translated(encoding: bytes, body: bytes) -> Translated:
    return to_otlp(_READERS[encoding](body))
