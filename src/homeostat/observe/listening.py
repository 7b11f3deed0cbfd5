"""Starts the receivers that the configuration wants. Called by ``pipeline``, when everything behind them runs."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

from homeostat.core.config import ReceiverConfig
from homeostat.net import bind, bound_port
from homeostat.observe.receivers import Refuse, cors, foreign, grpc_server, otlp_grpc, prometheus_write
from homeostat.observe.receivers.body import room_of
from homeostat.observe.receivers.foreign import ForeignPorts
from homeostat.observe.receivers.otlp_http import OtlpHttp
from homeostat.observe.receivers.prometheus_write import PrometheusWrite
from homeostat.observe.receivers.submit import Submitters
from homeostat.serving import serving

_HTTP_SETTINGS: Final = "receivers.host or receivers.otlp_http_port"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where it is listened; None: that receiver is off."""

    otlp_http: int | None = None
    otlp_grpc: int | None = None
    foreign: ForeignPorts = field(default_factory=ForeignPorts)  # Jaeger's and Zipkin's


async def listen(stack: AsyncExitStack, receivers: ReceiverConfig, submitters: Submitters, refuse: Refuse) -> Ports:
    """Listen until the stack is left. Raises PortTakenError, ListenError."""
    max_bytes = receivers.max_request_mib << 20
    grpc_servers = (receivers.otlp_grpc_port is not None) + (receivers.jaeger_grpc_port is not None)
    room = room_of(max_bytes, reading_bytes=grpc_servers * grpc_server.reading_bytes(max_bytes))
    http_port = grpc_port = None
    if receivers.otlp_http_port is not None:
        listener = bind(receivers.host, receivers.otlp_http_port, settings=_HTTP_SETTINGS)
        http_port = bound_port(listener)
        write = PrometheusWrite(submitters.metrics, refuse, max_request_bytes=max_bytes, room=room)
        others = {prometheus_write.PATH: write}
        app = OtlpHttp(submitters, refuse, max_request_bytes=max_bytes, room=room, others=others)
        await stack.enter_async_context(serving(cors.guarded(app, refuse), listener))
    if receivers.otlp_grpc_port is not None:
        grpc_port = await stack.enter_async_context(
            otlp_grpc.serving(
                receivers.host,
                receivers.otlp_grpc_port,
                submitters,
                refuse,
                max_request_bytes=max_bytes,
                room=room,
            )
        )
    others = await foreign.listen(stack, receivers, submitters.traces, refuse, room)
    return Ports(http_port, grpc_port, others)
