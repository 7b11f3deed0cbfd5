"""OTLP over HTTP (port 4318): a bare ASGI application, because each layer above costs CPU for every request.

``POST /v1/traces`` with protobuf or JSON, plain or gzip. Errors carry a google.rpc.Status in the request's encoding.
"""

import json
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any, Final

import anyio
import anyio.to_thread
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from homeostat.core.errors import HomeostatError
from homeostat.observe.intake import Receipt
from homeostat.observe.receivers import Refuse, Submit
from homeostat.observe.receivers.otlp_json import to_protobuf
from homeostat.observe.receivers.refusal import (
    GRPC_INVALID_ARGUMENT,
    GRPC_NOT_FOUND,
    GRPC_RESOURCE_EXHAUSTED,
    GRPC_UNIMPLEMENTED,
    Refusal,
    RefusedError,
    refusal_of,
)
from homeostat.observe.receivers.room import Place, Room

Message = MutableMapping[str, Any]
"""What ASGI passes around; each access here says what it expects."""

Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

PROTOBUF: Final = b"application/x-protobuf"
JSON: Final = b"application/json"
_INLINE_BYTES_MAX: Final = 8 << 10  # more than this is decompressed in a thread, away from the event loop
_DRAIN_FACTOR: Final = 4  # of the largest request: so much of a larger one is read and thrown away
_UNPACKERS_MAX: Final = 4  # at once, of large bodies: each may hold several times what came in
_REQUESTS_MAX: Final = 1024  # at once
_BYTES_MAX: Final = 128 << 20  # of bodies at once, but room for a few of the largest
_LARGEST_AT_ONCE: Final = 4
_GZIP: Final = 16 + zlib.MAX_WBITS


class OtlpHttp:
    """The ASGI application."""

    def __init__(self, submit: Submit, refuse: Refuse, *, max_request_bytes: int, room: Room | None = None) -> None:
        self._submit = submit
        self._refuse = refuse
        self._max_bytes = max_request_bytes
        bytes_max = max(_BYTES_MAX, _LARGEST_AT_ONCE * max_request_bytes)
        self._room = room or Room(requests_max=_REQUESTS_MAX, bytes_max=bytes_max)
        self._unpackers = anyio.CapacityLimiter(_UNPACKERS_MAX)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = dict(_headers(scope))
        encoding = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        try:
            self._check_route(scope)
            with self._room.place() as place:
                receipt = await self._submit(await self._request(encoding, headers, receive, place))
        except HomeostatError as error:
            refusal = refusal_of(error)
            self._refuse(refusal.reason)
            await _send(send, refusal.http_status, *_error_body(encoding, refusal))
            return
        await _send(send, 200, *_receipt_body(encoding, receipt))

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
        compression = headers.get(b"content-encoding", b"identity").strip().lower()
        if compression not in {b"identity", b"gzip", b""}:
            message = "Send Content-Encoding gzip, or none."
            raise RefusedError(Refusal(415, GRPC_INVALID_ARGUMENT, "content_encoding", message))
        body = await self._body(headers, receive, place)
        if compression == b"gzip":
            body = await self._unpack(len(body), partial(gunzip, body, self._max_bytes))
            place.take(len(body))
        if encoding == JSON:
            body = await self._unpack(len(body), partial(to_protobuf, body))
        return body

    async def _unpack(self, size: int, work: Callable[[], bytes]) -> bytes:
        if size <= _INLINE_BYTES_MAX:
            return work()
        return await anyio.to_thread.run_sync(work, limiter=self._unpackers)

    async def _body(self, headers: dict[bytes, bytes], receive: Receive, place: Place) -> bytes:
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._max_bytes:
            await self._drain(receive)
            raise _too_large(self._max_bytes)
        chunks: list[bytes] = []
        size, more = 0, True
        while more:
            chunk, more = await _chunk(receive)
            try:
                place.take(len(chunk))
            except RefusedError:
                chunks.clear()
                place.give_back()
                await self._drain(receive, more=more)
                raise
            chunks.append(chunk)
            size += len(chunk)
            if size > self._max_bytes:
                await self._drain(receive, more=more)
                raise _too_large(self._max_bytes)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def _drain(self, receive: Receive, *, more: bool = True) -> None:
        """Read on for a while: a connection that is closed while its sender still sends loses the answer."""
        left = _DRAIN_FACTOR * self._max_bytes
        while more and left > 0:
            chunk, more = await _chunk(receive)
            left -= len(chunk)


async def _chunk(receive: Receive) -> tuple[bytes, bool]:
    """The next piece of the body, and whether there is more."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise RefusedError(Refusal(400, GRPC_INVALID_ARGUMENT, "cut_off", "The connection was cut off."))
    chunk = message.get("body", b"")
    assert isinstance(chunk, bytes)
    return chunk, bool(message.get("more_body"))


def _headers(scope: Message) -> Headers:
    headers = scope["headers"]
    assert isinstance(headers, list)
    return headers


def _too_large(max_bytes: int) -> RefusedError:
    message = f"More than {max_bytes >> 20} MiB (receivers.max_request_mib). Send smaller batches."
    return RefusedError(Refusal(413, GRPC_RESOURCE_EXHAUSTED, "too_large", message))


def gunzip(body: bytes, max_bytes: int) -> bytes:
    """Decompress, never making more than ``max_bytes``. Raises RefusedError."""
    parts: list[bytes] = []
    left = max_bytes
    while body:
        inflater = zlib.decompressobj(_GZIP)
        try:
            parts.append(inflater.decompress(body, left + 1))
        except zlib.error as error:
            raise _bad_gzip(str(error)) from error
        left -= len(parts[-1])
        if left < 0:
            raise _too_large(max_bytes)
        if not inflater.eof:
            raise _bad_gzip("it ends too early")
        body = inflater.unused_data  # gzip files may be concatenated
    return b"".join(parts)


def _bad_gzip(why: str) -> RefusedError:
    return RefusedError(Refusal(400, GRPC_INVALID_ARGUMENT, "gzip", f"The body is not gzip: {why}."))


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
    headers: Headers = []
    if refusal.retry_after_s is not None:
        headers.append((b"retry-after", str(refusal.retry_after_s).encode()))
    if refusal.http_status == 405:
        headers.append((b"allow", b"POST"))
    if refusal.http_status == 413:
        headers.append((b"connection", b"close"))  # the rest of the body may not have been read
    if encoding == PROTOBUF:
        body = Status(code=refusal.grpc_code, message=refusal.message).SerializeToString()
        return body, [(b"content-type", PROTOBUF), *headers]
    body = json.dumps({"code": refusal.grpc_code, "message": refusal.message}).encode()
    return body, [(b"content-type", JSON), *headers]


async def _send(send: Send, status: int, body: bytes, headers: Headers) -> None:
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
