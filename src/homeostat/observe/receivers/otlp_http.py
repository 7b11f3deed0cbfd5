"""OTLP over HTTP (port 4318): a bare ASGI application, because each layer above costs CPU for every request.

``POST /v1/traces`` with protobuf or JSON, plain or gzip. Errors carry a google.rpc.Status in the request's encoding.
"""

import json
from functools import partial
from typing import Final

from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from homeostat.core.errors import HomeostatError
from homeostat.observe.intake import Receipt
from homeostat.observe.receivers import Refuse, Submit
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
from homeostat.observe.receivers.refusal import (
    GRPC_INVALID_ARGUMENT,
    GRPC_NOT_FOUND,
    GRPC_UNIMPLEMENTED,
    Refusal,
    RefusedError,
    refusal_of,
)
from homeostat.observe.receivers.room import Place, Room

PROTOBUF: Final = b"application/x-protobuf"
JSON: Final = b"application/json"


class OtlpHttp:
    """The ASGI application."""

    def __init__(self, submit: Submit, refuse: Refuse, *, max_request_bytes: int, room: Room | None = None) -> None:
        self._submit = submit
        self._refuse = refuse
        self._bodies = Bodies(max_request_bytes, room)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = headers_of(scope)
        encoding = content_type(headers)
        try:
            self._check_route(scope)
            with self._bodies.place() as place:
                receipt = await self._submit(await self._request(encoding, headers, receive, place))
        except HomeostatError as error:
            refusal = refusal_of(error)
            self._refuse(refusal.reason)
            await answer(send, refusal.http_status, *_error_body(encoding, refusal))
            return
        await answer(send, 200, *_receipt_body(encoding, receipt))

    def _check_route(self, scope: Message) -> None:
        if scope["path"] != "/v1/traces":
            raise RefusedError(
                Refusal(
                    404,
                    GRPC_NOT_FOUND,
                    "unknown_path",
                    f"Nothing is accepted at {scope['path']}. Traces are, at /v1/traces.",
                )
            )
        if scope["method"] != "POST":
            raise RefusedError(Refusal(405, GRPC_UNIMPLEMENTED, "method", "Use POST."))

    async def _request(self, encoding: bytes, headers: dict[bytes, bytes], receive: Receive, place: Place) -> bytes:
        """The body as protobuf, whatever it was sent as."""
        if encoding not in {PROTOBUF, JSON}:
            message = "Send Content-Type application/x-protobuf or application/json."
            raise RefusedError(Refusal(415, GRPC_INVALID_ARGUMENT, "content_type", message))
        body = await self._bodies.read(headers, receive, place)
        if encoding == JSON:
            body = await self._bodies.work(len(body), partial(to_protobuf, body))
        return body


def _receipt_body(encoding: bytes, receipt: Receipt) -> tuple[bytes, Headers]:
    if not receipt.rejected:
        return (b"{}", [(b"content-type", JSON)]) if encoding == JSON else (b"", [(b"content-type", PROTOBUF)])
    message = rejected_message(receipt)
    if encoding == JSON:
        partial_success = {"rejectedSpans": str(receipt.rejected), "errorMessage": message}
        return json.dumps({"partialSuccess": partial_success}).encode(), [(b"content-type", JSON)]
    return partial_response(receipt), [(b"content-type", PROTOBUF)]


def rejected_message(receipt: Receipt) -> str:
    """What ``partial_success.error_message`` says."""
    return (
        f"{receipt.rejected} of {receipt.accepted + receipt.rejected} spans have an id of the wrong length "
        "or of zeros (trace_id 16 bytes, span_id 8, parent_span_id 8 or none); the others were kept."
    )


def partial_response(receipt: Receipt) -> bytes:
    """The serialized ExportTraceServiceResponse."""
    response = ExportTraceServiceResponse()
    if receipt.rejected:
        response.partial_success.rejected_spans = receipt.rejected
        response.partial_success.error_message = rejected_message(receipt)
    return response.SerializeToString()


def _error_body(encoding: bytes, refusal: Refusal) -> tuple[bytes, Headers]:
    headers = refusal_headers(refusal)
    if encoding == PROTOBUF:
        body = Status(code=refusal.grpc_code, message=refusal.message).SerializeToString()
        return body, [(b"content-type", PROTOBUF), *headers]
    body = json.dumps({"code": refusal.grpc_code, "message": refusal.message}).encode()
    return body, [(b"content-type", JSON), *headers]
