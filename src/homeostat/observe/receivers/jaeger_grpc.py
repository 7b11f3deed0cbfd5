"""Jaeger's collector over gRPC (port 14250): ``jaeger.api_v2.CollectorService/PostSpans``.

``grpc`` is imported when the receiver starts, as for OTLP.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread

from homeostat.core.errors import HomeostatError
from homeostat.net import bind, cannot_listen
from homeostat.observe.receivers import Refuse, Submit
from homeostat.observe.receivers.jaeger_proto import batches_of
from homeostat.observe.receivers.jaeger_translate import to_otlp
from homeostat.observe.receivers.refusal import refusal_of

if TYPE_CHECKING:
    import grpc.aio

_SERVICE: Final = "jaeger.api_v2.CollectorService"
_SETTINGS: Final = "receivers.host or receivers.jaeger_grpc_port"
_GRACE_S: Final = 2.0
_CALLS_MAX: Final = 64  # at once: gRPC has read them before we see them
_MESSAGE_BYTES_MAX: Final = 4 << 20  # of Jaeger's own collector, whose clients send batches much smaller
_INLINE_BYTES_MAX: Final = 8 << 10  # more than this is translated in a thread, away from the event loop
_WORKERS_MAX: Final = 1  # at once: each holds several times what came in


class _Collector:
    """The handler of ``CollectorService/PostSpans``."""

    def __init__(self, submit: Submit, refuse: Refuse) -> None:
        self._submit = submit
        self._refuse = refuse
        self._workers = anyio.CapacityLimiter(_WORKERS_MAX)

    async def post_spans(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        import grpc

        try:
            await self._submit(await self._translated(request))
        except HomeostatError as error:
            refusal = refusal_of(error)
            self._refuse(refusal.reason)
            codes = {code.value[0]: code for code in grpc.StatusCode}
            await context.abort(codes[refusal.grpc_code], refusal.message)
            raise AssertionError("abort() raises") from error
        return b""  # an empty PostSpansResponse

    async def _translated(self, request: bytes) -> bytes:
        if len(request) <= _INLINE_BYTES_MAX:
            return to_otlp(batches_of(request))
        return await anyio.to_thread.run_sync(lambda: to_otlp(batches_of(request)), limiter=self._workers)


@asynccontextmanager
async def serving(
    host: str, port: int, submit: Submit, refuse: Refuse, *, max_request_bytes: int
) -> AsyncGenerator[int]:
    """Serve until the block is left; gives the bound port. Raises PortTakenError, ListenError."""
    import grpc.aio

    server = grpc.aio.server(
        maximum_concurrent_rpcs=_CALLS_MAX,
        options=(
            ("grpc.max_receive_message_length", min(max_request_bytes, _MESSAGE_BYTES_MAX)),
            ("grpc.so_reuseport", 0),  # with it two processes could share the port and split the telemetry
        ),
    )
    handler = grpc.unary_unary_rpc_method_handler(_Collector(submit, refuse).post_spans)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"PostSpans": handler}),))
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
