"""Jaeger's collector over HTTP (port 14268): ``POST /api/traces`` with one Thrift batch, plain or gzip.

Answers as Jaeger's own: 202 when it is taken, a line of text when it is not. Made by ``observe.pipeline``.
"""

from functools import partial
from typing import Final

from homeostat.core.errors import HomeostatError
from homeostat.observe.receivers import Refuse, Submit
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
from homeostat.observe.receivers.jaeger_thrift import batch_of
from homeostat.observe.receivers.jaeger_translate import to_otlp
from homeostat.observe.receivers.refusal import (
    GRPC_INVALID_ARGUMENT,
    GRPC_NOT_FOUND,
    GRPC_UNIMPLEMENTED,
    Refusal,
    RefusedError,
    refusal_of,
)
from homeostat.observe.receivers.room import Room

_PATH: Final = "/api/traces"
_TYPES: Final = frozenset(
    {
        b"application/x-thrift",
        b"application/vnd.apache.thrift.binary",
        b"application/vnd.apache.thrift.compact",
    }
)
_TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")


class JaegerHttp:
    """The ASGI application."""

    def __init__(self, submit: Submit, refuse: Refuse, *, max_request_bytes: int, room: Room | None = None) -> None:
        self._submit = submit
        self._refuse = refuse
        self._bodies = Bodies(max_request_bytes, room, workers_max=1)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            headers = headers_of(scope)
            self._check(scope, headers)
            with self._bodies.place() as place:
                body = await self._bodies.read(headers, receive, place)
                request = await self._bodies.work(len(body), partial(_translated, body))
                place.take(len(request))
                await self._submit(request)
        except HomeostatError as error:
            refusal = refusal_of(error)
            self._refuse(refusal.reason)
            await answer(send, refusal.http_status, refusal.message.encode(), [_TEXT, *refusal_headers(refusal)])
            return
        await answer(send, 202, b"", [])

    def _check(self, scope: Message, headers: dict[bytes, bytes]) -> None:
        if scope["path"] != _PATH:
            message = f"Nothing is accepted at {scope['path']}. Batches are, at {_PATH}."
            raise RefusedError(Refusal(404, GRPC_NOT_FOUND, "unknown_path", message))
        if scope["method"] != "POST":
            raise RefusedError(Refusal(405, GRPC_UNIMPLEMENTED, "method", "Use POST."))
        if content_type(headers) not in _TYPES:
            message = "Send Content-Type application/x-thrift or application/vnd.apache.thrift.binary."
            raise RefusedError(Refusal(415, GRPC_INVALID_ARGUMENT, "content_type", message))


def _translated(body: bytes) -> bytes:
    return to_otlp([batch_of(body)])
