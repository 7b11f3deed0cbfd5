"""OTLP over gRPC (port 4317): ``TraceService/Export`` on raw bytes, so that nothing is parsed twice.

``grpc`` is imported when the receiver starts, not before: it costs a tenth of a second.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from homeostat.core.errors import HomeostatError
from homeostat.net import bind, cannot_listen
from homeostat.observe.receivers import Refuse, Submit
from homeostat.observe.receivers.otlp_http import partial_response
from homeostat.observe.receivers.refusal import Refusal, refusal_of

if TYPE_CHECKING:
    import grpc.aio

_SERVICE: Final = "opentelemetry.proto.collector.trace.v1.TraceService"
_STATUS_DETAILS: Final = "grpc-status-details-bin"
_SETTINGS: Final = "receivers.host or receivers.otlp_grpc_port"
_GRACE_S: Final = 2.0
_BYTES_MAX: Final = 1 << 30  # of requests at once, were each of the largest: gRPC has read them before we see them
_CALLS_MIN: Final = 16
_CALLS_MAX: Final = 256


def _details(refusal: Refusal) -> bytes:
    """google.rpc.Status with RetryInfo: with it the specification allows a retry, without it forbids one."""
    status = Status(code=refusal.grpc_code, message=refusal.message)
    if refusal.retry_after_s is not None:
        info = AnyMessage()
        info.Pack(RetryInfo(retry_delay=Duration(seconds=refusal.retry_after_s)))
        status.details.append(info)
    return status.SerializeToString()


class _Export:
    """The handler of ``TraceService/Export``."""

    def __init__(self, submit: Submit, refuse: Refuse) -> None:
        self._submit = submit
        self._refuse = refuse

    async def export(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        import grpc

        try:
            return partial_response(await self._submit(request))
        except HomeostatError as error:
            refusal = refusal_of(error)
            self._refuse(refusal.reason)
            codes = {code.value[0]: code for code in grpc.StatusCode}
            await context.abort(codes[refusal.grpc_code], refusal.message, ((_STATUS_DETAILS, _details(refusal)),))
            raise AssertionError("abort() raises") from error


def calls_max(max_request_bytes: int) -> int:
    """How many exports may be under way at once; gRPC refuses more with RESOURCE_EXHAUSTED before it reads them."""
    return min(_CALLS_MAX, max(_CALLS_MIN, _BYTES_MAX // max_request_bytes))


@asynccontextmanager
async def serving(
    host: str, port: int, submit: Submit, refuse: Refuse, *, max_request_bytes: int
) -> AsyncGenerator[int]:
    """Serve until the block is left; gives the bound port. Raises PortTakenError, ListenError."""
    import grpc.aio

    server = grpc.aio.server(
        maximum_concurrent_rpcs=calls_max(max_request_bytes),
        options=(
            ("grpc.max_receive_message_length", max_request_bytes),
            ("grpc.so_reuseport", 0),  # with it two processes could share the port and split the telemetry
        ),
    )
    handler = grpc.unary_unary_rpc_method_handler(_Export(submit, refuse).export)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Export": handler}),))
    address = f"[{host}]" if ":" in host else host
    try:
        bound = server.add_insecure_port(f"{address}:{port}")
    except RuntimeError as error:
        bind(host, port, settings=_SETTINGS).close()  # gRPC does not say why; this does
        raise cannot_listen(host, port, error, _SETTINGS) from error
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(_GRACE_S)
