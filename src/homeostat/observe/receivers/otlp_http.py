"""OTLP over HTTP (port 4318): a bare ASGI application, because each layer above costs CPU for every request.

``POST /v1/traces``, ``/v1/metrics`` and ``/v1/logs`` with protobuf or JSON, packed or not. Errors carry a
google.rpc.Status in the request's encoding. Other receivers may live on the same port: ``others``.
"""

import json
from collections.abc import Mapping
from functools import partial
from typing import Final

from google.protobuf import json_format
from google.rpc.status_pb2 import Status

from homeostat.core.errors import HomeostatError
from homeostat.observe.intake import Receipt
from homeostat.observe.receivers import Refuse, cors
from homeostat.observe.receivers.body import (
    Bodies,
    Headers,
    Message,
    Receive,
    Send,
    answer,
    content_type,
    headers_of,
    refusal_headers,
)
from homeostat.observe.receivers.otlp_json import to_protobuf
from homeostat.observe.receivers.otlp_signals import SIGNALS, Signal
from homeostat.observe.receivers.refusal import Refusal, refusal_of, unknown_path, wrong_method, wrong_type
from homeostat.observe.receivers.room import Place, Room
from homeostat.observe.receivers.submit import Submitters
from homeostat.serving import Application

PROTOBUF: Final = b"application/x-protobuf"
JSON: Final = b"application/json"
_SIGNAL_AT: Final = {signal.path: signal for signal in SIGNALS}


class OtlpHttp:
    """The ASGI application."""

    def __init__(
        self,
        submitters: Submitters,
        refuse: Refuse,
        *,
        max_request_bytes: int,
        room: Room | None = None,
        others: Mapping[str, Application] | None = None,
    ) -> None:
        self._submit_of = {signal.name: signal.submit_of(submitters) for signal in SIGNALS}
        self._refuse = refuse
        self._bodies = Bodies(max_request_bytes, room)
        self._others = others or {}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if (other := self._others.get(scope["path"])) is not None:
            await other(scope, receive, send)
            return
        headers = headers_of(scope)
        origin = headers.get(b"origin")
        if scope["method"] == "OPTIONS" and origin is not None and cors.allowed(origin):
            asked = headers.get(b"access-control-request-headers", b"")
            await answer(send, 204, b"", cors.preflight_headers(origin, asked))
            return
        encoding = content_type(headers)
        status, body, own = await self._answer_to(scope, encoding, headers, receive)
        await answer(send, status, body, [*own, *cors.answer_headers(origin)])

    async def _answer_to(
        self, scope: Message, encoding: bytes, headers: dict[bytes, bytes], receive: Receive
    ) -> tuple[int, bytes, Headers]:
        try:
            signal = self._signal(scope)
            with self._bodies.place() as place:
                payload = await self._payload(signal, encoding, headers, receive, place)
                receipt = await self._submit_of[signal.name](payload)
        except HomeostatError as error:
            refusal = refusal_of(error)
            self._refuse(refusal.reason)
            return refusal.http_status, *_error_body(encoding, refusal)
        return 200, *_receipt_body(encoding, signal, receipt)

    def _signal(self, scope: Message) -> Signal:
        signal = _SIGNAL_AT.get(scope["path"])
        if signal is None:
            places = ", ".join([*_SIGNAL_AT, *self._others])
            raise unknown_path(scope["path"], f"Telemetry is, at {places}.")
        if scope["method"] != "POST":
            raise wrong_method()
        return signal

    async def _payload(
        self, signal: Signal, encoding: bytes, headers: dict[bytes, bytes], receive: Receive, place: Place
    ) -> bytes:
        """The body as protobuf, whatever it was sent as."""
        if encoding not in {PROTOBUF, JSON}:
            raise wrong_type("application/x-protobuf or application/json")
        body = await self._bodies.read(headers, receive, place)
        if encoding == JSON:
            body = await self._bodies.work(len(body), partial(to_protobuf, body, signal))
            place.take(len(body))
        return body


def _receipt_body(encoding: bytes, signal: Signal, receipt: Receipt) -> tuple[bytes, Headers]:
    if encoding == JSON:
        document = json_format.MessageToDict(signal.response_to(receipt)) if receipt.rejected else {}
        return json.dumps(document).encode(), [(b"content-type", JSON)]
    body = signal.response_to(receipt).SerializeToString() if receipt.rejected else b""
    return body, [(b"content-type", PROTOBUF)]


def _error_body(encoding: bytes, refusal: Refusal) -> tuple[bytes, Headers]:
    headers = refusal_headers(refusal)
    if encoding == PROTOBUF:
        body = Status(code=refusal.grpc_code, message=refusal.message).SerializeToString()
        return body, [(b"content-type", PROTOBUF), *headers]
    body = json.dumps({"code": refusal.grpc_code, "message": refusal.message}).encode()
    return body, [(b"content-type", JSON), *headers]
