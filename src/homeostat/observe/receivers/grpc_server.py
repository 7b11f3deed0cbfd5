"""gRPC for the receivers that speak it (``otlp_grpc``, ``jaeger_grpc``): unary calls on raw bytes, within bounds.

gRPC would read every request that is on its way before it asks us, and refuse what is too much without saying that
it may be sent again. So each call is taken as a stream (on the wire the same): we read its message when there is
room for it, and refuse in OTLP's words when there is none. ``grpc`` is imported when a receiver starts, not before:
it costs a tenth of a second.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from homeostat.core.errors import HomeostatError
from homeostat.net import bind, cannot_listen, in_address
from homeostat.observe.receivers import Refuse
from homeostat.observe.receivers.refusal import (
    GRPC_DEADLINE_EXCEEDED,
    GRPC_INVALID_ARGUMENT,
    GRPC_UNAVAILABLE,
    Refusal,
    RefusedError,
    refusal_of,
)
from homeostat.observe.receivers.room import Place, Room

if TYPE_CHECKING:
    import grpc.aio

Handle = Callable[[bytes, Place], Awaitable[bytes]]
"""Turns a request into its response; what it makes of it is held in the place too. Raises HomeostatError."""

Services = Mapping[str, tuple[str, Handle]]
"""By full name: the one method that is taken, and what it does."""

_STATUS_DETAILS: Final = "grpc-status-details-bin"
_GRACE_S: Final = 2.0
_CALLS_MAX: Final = 256  # at once; each of the others is refused before its message is read
_READING_BYTES_MAX: Final = 128 << 20  # of messages being read, were each of the largest
_READERS_MIN: Final = 2
_READERS_MAX: Final = 64
_HELD_BYTES_MAX: Final = 128 << 20  # of messages that have been read and are not taken yet
_LARGEST_AT_ONCE: Final = 4
_UNREAD_BYTES: Final = 256 << 10  # of each call may come before we read its message
_TURN_S: Final = 5.0  # how long a call waits for its turn to be read
_READ_S: Final = 20.0  # how long reading one message may take


def _details(refusal: Refusal) -> bytes:
    """google.rpc.Status with RetryInfo: with it the specification allows a retry, without it forbids one."""
    status = Status(code=refusal.grpc_code, message=refusal.message)
    if refusal.retry_after_s is not None:
        info = AnyMessage()
        info.Pack(RetryInfo(retry_delay=Duration(seconds=refusal.retry_after_s)))
        status.details.append(info)
    return status.SerializeToString()


def readers_max(max_request_bytes: int) -> int:
    """How many messages may be read at once."""
    return min(_READERS_MAX, max(_READERS_MIN, _READING_BYTES_MAX // max_request_bytes))


def reading_bytes(max_request_bytes: int) -> int:
    """How much one server may hold for messages that are being read: each counts as the largest until it is whole."""
    return readers_max(max_request_bytes) * max_request_bytes


class Turns:
    """Who may read now, and how much may be held. One for all services of a receiver."""

    def __init__(self, max_request_bytes: int, room: Room | None = None) -> None:
        held_max = max(_HELD_BYTES_MAX, _LARGEST_AT_ONCE * max_request_bytes)
        bytes_max = held_max + reading_bytes(max_request_bytes)
        self._room = room or Room(requests_max=_CALLS_MAX, bytes_max=bytes_max)
        self._calls = Room(requests_max=_CALLS_MAX, bytes_max=0)  # each may have sent what we have not read
        self._max_bytes = max_request_bytes
        self._readers = anyio.CapacityLimiter(readers_max(max_request_bytes))

    @contextmanager
    def place(self) -> Generator[Place]:
        """Room for one call. Raises RefusedError when there are too many."""
        with self._calls.place(), self._room.place() as place:
            yield place

    async def read(self, context: grpc.aio.ServicerContext[bytes, bytes], place: Place) -> bytes:
        """The call's message. Raises RefusedError."""
        try:
            with anyio.fail_after(_TURN_S):
                await self._readers.acquire_on_behalf_of(place)
        except TimeoutError as error:
            message = "Too many requests are being read already. Retry in a moment."
            raise RefusedError(Refusal(503, GRPC_UNAVAILABLE, "overloaded", message, retry_after_s=1)) from error
        try:
            place.take(self._max_bytes)  # it says its size only with its last byte
            message = await self._message(context)
        finally:
            self._readers.release_on_behalf_of(place)
        place.give_back()
        place.take(len(message))
        return message

    async def _message(self, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        try:
            with anyio.fail_after(_READ_S):
                message: Any = await context.read()
        except TimeoutError as error:
            text = f"The message took longer than {_READ_S:.0f} s to arrive. Send smaller batches."
            raise RefusedError(Refusal(408, GRPC_DEADLINE_EXCEEDED, "too_slow", text)) from error
        if not isinstance(message, bytes):  # the end of the stream, of which the stubs do not know
            raise RefusedError(Refusal(400, GRPC_INVALID_ARGUMENT, "cut_off", "There is no message in the call."))
        return message


class _Method:
    """The handler of one method."""

    def __init__(self, handle: Handle, refuse: Refuse, turns: Turns) -> None:
        self._handle = handle
        self._refuse = refuse
        self._turns = turns

    async def call(self, _: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        import grpc

        try:
            with self._turns.place() as place:
                return await self._handle(await self._turns.read(context, place), place)
        except HomeostatError as error:
            refusal = refusal_of(error)
            self._refuse(refusal.reason)
            codes = {code.value[0]: code for code in grpc.StatusCode}
            await context.abort(codes[refusal.grpc_code], refusal.message, ((_STATUS_DETAILS, _details(refusal)),))
            raise AssertionError("abort() raises") from error


@asynccontextmanager
async def serving(
    host: str,
    port: int,
    services: Services,
    refuse: Refuse,
    *,
    max_request_bytes: int,
    settings: str,
    room: Room | None = None,
) -> AsyncGenerator[int]:
    """Serve until the block is left; gives the bound port. ``settings`` names where host and port come from.

    Raises PortTakenError, ListenError.
    """
    import grpc.aio

    server = grpc.aio.server(
        options=(
            ("grpc.max_receive_message_length", max_request_bytes),
            ("grpc.so_reuseport", 0),  # with it two processes could share the port and split the telemetry
            ("grpc.http2.bdp_probe", 0),  # it would let the window grow to megabytes of what nobody has asked for
            ("grpc.http2.lookahead_bytes", _UNREAD_BYTES),
            ("grpc.max_concurrent_streams", _CALLS_MAX),  # of one connection
        ),
    )
    turns = Turns(max_request_bytes, room)
    for service, (name, handle) in services.items():
        method = grpc.stream_unary_rpc_method_handler(_Method(handle, refuse, turns).call)
        methods: dict[str, Any] = {name: method}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    try:
        bound = server.add_insecure_port(f"{in_address(host)}:{port}")
    except RuntimeError as error:
        bind(host, port, settings=settings).close()  # gRPC does not say why; this does
        raise cannot_listen(host, port, error, settings) from error
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(_GRACE_S)
