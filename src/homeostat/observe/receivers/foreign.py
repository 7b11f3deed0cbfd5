"""Starts the receivers of Jaeger's and Zipkin's protocols that the configuration wants, for ``observe.pipeline``."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from homeostat.core.config import ReceiverConfig
from homeostat.net import bind, bound_port
from homeostat.observe.receivers import Refuse, Submit, cors, jaeger_grpc, jaeger_udp
from homeostat.observe.receivers.jaeger_http import JaegerHttp
from homeostat.observe.receivers.room import Room
from homeostat.observe.receivers.zipkin_http import ZipkinHttp
from homeostat.serving import Application, serving


@dataclass(frozen=True, slots=True)
class ForeignPorts:
    """The bound ports. None: that receiver is off."""

    jaeger_grpc: int | None = None
    jaeger_http: int | None = None
    jaeger_udp_compact: int | None = None
    jaeger_udp_binary: int | None = None
    zipkin: int | None = None


async def listen(
    stack: AsyncExitStack, receivers: ReceiverConfig, traces: Submit, refuse: Refuse, room: Room
) -> ForeignPorts:
    """Start them; they end with the stack. ``traces`` takes an OTLP request, ``refuse`` counts by reason.

    ``room`` is that of all receivers.

    Raises PortTakenError, ListenError.
    """
    host, max_bytes = receivers.host, receivers.max_request_mib << 20
    http = partial(_listen_http, stack, host, refuse)
    udp = partial(_listen_udp, stack, host, traces, refuse)
    grpc_port = receivers.jaeger_grpc_port
    if grpc_port is not None:
        server = jaeger_grpc.serving(host, grpc_port, traces, refuse, max_request_bytes=max_bytes, room=room)
        grpc_port = await stack.enter_async_context(server)
    jaeger, zipkin = (app(traces, refuse, max_request_bytes=max_bytes, room=room) for app in (JaegerHttp, ZipkinHttp))
    return ForeignPorts(
        jaeger_grpc=grpc_port,
        jaeger_http=await http(receivers.jaeger_http_port, "jaeger_http_port", jaeger),
        jaeger_udp_compact=await udp(
            receivers.jaeger_udp_compact_port, "jaeger_udp_compact_port", jaeger_udp.COMPACT
        ),
        jaeger_udp_binary=await udp(receivers.jaeger_udp_binary_port, "jaeger_udp_binary_port", jaeger_udp.BINARY),
        zipkin=await http(receivers.zipkin_port, "zipkin_port", zipkin),
    )


def _settings(name: str) -> str:
    return f"receivers.host or receivers.{name}"


async def _listen_http(
    stack: AsyncExitStack, host: str, refuse: Refuse, port: int | None, name: str, app: Application
) -> int | None:
    if port is None:
        return None
    listener = bind(host, port, settings=_settings(name))
    await stack.enter_async_context(serving(cors.guarded(app, refuse), listener))
    return bound_port(listener)


async def _listen_udp(
    stack: AsyncExitStack,
    host: str,
    traces: Submit,
    refuse: Refuse,
    port: int | None,
    name: str,
    protocol: jaeger_udp.Protocol,
) -> int | None:
    if port is None:
        return None
    agent = jaeger_udp.serving(host, port, protocol, traces, refuse, settings=_settings(name))
    return await stack.enter_async_context(agent)
