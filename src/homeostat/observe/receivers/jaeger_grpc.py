"""Jaeger's collector over gRPC (port 14250): ``jaeger.api_v2.CollectorService/PostSpans``."""

from contextlib import AbstractAsyncContextManager
from typing import Final

import anyio
import anyio.to_thread

from homeostat.observe.receivers import Refuse, Submit, grpc_server
from homeostat.observe.receivers.jaeger_proto import batches_of
from homeostat.observe.receivers.jaeger_translate import to_otlp
from homeostat.observe.receivers.room import Place, Room

_SERVICE: Final = "jaeger.api_v2.CollectorService"
_SETTINGS: Final = "receivers.host or receivers.jaeger_grpc_port"
_MESSAGE_BYTES_MAX: Final = 4 << 20  # of Jaeger's own collector, whose clients send batches much smaller
_INLINE_BYTES_MAX: Final = 8 << 10  # more than this is translated in a thread, away from the event loop
_WORKERS_MAX: Final = 1  # at once: each holds several times what came in


def serving(
    host: str, port: int, submit: Submit, refuse: Refuse, *, max_request_bytes: int, room: Room | None = None
) -> AbstractAsyncContextManager[int]:
    """Serve until the block is left; gives the bound port. Raises PortTakenError, ListenError."""
    workers = anyio.CapacityLimiter(_WORKERS_MAX)

    async def post_spans(request: bytes, place: Place) -> bytes:
        if len(request) <= _INLINE_BYTES_MAX:
            translated = _translated(request)
        else:
            translated = await anyio.to_thread.run_sync(_translated, request, limiter=workers)
        place.take(len(translated))
        await submit(translated)
        return b""  # an empty PostSpansResponse

    bytes_max = min(max_request_bytes, _MESSAGE_BYTES_MAX)
    services = {_SERVICE: ("PostSpans", post_spans)}
    return grpc_server.serving(
        host, port, services, refuse, max_request_bytes=bytes_max, settings=_SETTINGS, room=room
    )


def _translated(request: bytes) -> bytes:
    return to_otlp(batches_of(request))
