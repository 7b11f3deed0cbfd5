"""One service of the world: an HTTP server that serves the steps it is named for and calls the next one.

Runs in a process of its own, forked by ``zygote`` with a ``ServiceSpec``. Paths: ``POST /process/{step}``,
``GET /health``, ``GET /breakers``, ``POST /breakers/reset``.

A plain ASGI application on uvicorn: there are four paths, and nine of these processes share a small machine.
"""

import json
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import asdict, dataclass
from typing import Any, cast
from urllib.parse import parse_qs

import anyio
import uvloop

from homeostat.core.errors import BadRequestError
from homeostat.core.ports import Clock
from homeostat.runtime import SystemClock
from homeostat.world.customers import ErrorScope
from homeostat.world.flags import FlagPoller
from homeostat.world.messages import StepRequest, encode_results
from homeostat.world.serving import Server, make_server
from homeostat.world.steps import StepServer
from homeostat.world.telemetry import Telemetry
from homeostat.world.wire import HttpClient

log = logging.getLogger(__name__)

REQUEST_BYTES_MAX = 256 << 10
CONCURRENCY_MAX = 1_000
GRACEFUL_S = 1
"""How long requests in flight may take to finish after SIGTERM."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """All that a service process is told when it starts."""

    name: str
    port: int
    seed: int
    otlp_endpoint: str | None
    flags_url: str | None
    error_scope: str
    error_customers: tuple[str, ...]
    rate_limit_per_s: float
    cache_ttl_s: float
    flags_poll_ms: int
    export_interval_ms: int

    def encode(self) -> str:
        """As one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> "ServiceSpec":
        """From one line of JSON, as ``encode`` wrote it."""
        raw = cast(dict[str, Any], json.loads(text))
        raw["error_customers"] = tuple(raw["error_customers"])
        return cls(**raw)


class ServiceApp:
    """The ASGI application."""

    def __init__(self, name: str, steps: StepServer, flags: FlagPoller, clock: Clock) -> None:
        self._name = name
        self._steps = steps
        self._flags = flags
        self._clock = clock
        self._started = clock.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        method, path = str(scope["method"]), str(scope["path"])
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in cast(list[tuple[bytes, bytes]], scope["headers"])
        }
        if method == "POST" and path.startswith("/process/"):
            status, body, extra = await self._process(path, headers, receive)
        else:
            status, body, extra = self._other(method, path, bytes(scope["query_string"]).decode("latin-1"))
        await _answer(send, status, body, extra)

    async def _process(
        self, path: str, headers: Mapping[str, str], receive: Receive
    ) -> tuple[int, bytes, dict[str, str]]:
        correlation = headers.get("x-correlation-id", "")
        echo = {"x-correlation-id": correlation} if correlation else {}
        try:
            request = StepRequest.decode(await _body(receive))
        except BadRequestError as error:
            return 400, _json({"detail": str(error)}), echo
        if path != f"/process/{request.hops[0].slug}":
            return 400, _json({"detail": f"{path} is not where step {request.hops[0].step!r} is served."}), echo
        answer = await self._steps.serve(path, request, headers)
        if answer.retry_after_s is not None:
            echo["retry-after"] = str(answer.retry_after_s)
        return answer.status, encode_results(answer.results), echo

    def _other(self, method: str, path: str, query: str) -> tuple[int, bytes, dict[str, str]]:
        if (method, path) == ("GET", "/health"):
            uptime_s = round(self._clock.monotonic() - self._started, 3)
            flags = self._flags.values.by_key()
            return 200, _json({"service": self._name, "pid": os.getpid(), "uptime_s": uptime_s, "flags": flags}), {}
        if (method, path) == ("GET", "/breakers"):
            return 200, _json({"breakers": self._steps.breakers()}), {}
        if (method, path) == ("POST", "/breakers/reset"):
            towards = parse_qs(query).get("service", [None])[0]
            return 200, _json({"reset": self._steps.reset_breakers(towards)}), {}
        return 404, _json({"detail": f"{self._name} serves POST /process/<step> and GET /health."}), {}


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequestError("The caller hung up before the request was complete. Send it again.")
        part = cast(bytes, message.get("body", b""))
        size += len(part)
        if size > REQUEST_BYTES_MAX:
            raise BadRequestError(f"A request may have {REQUEST_BYTES_MAX} bytes. Send fewer steps.")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


async def _answer(send: Send, status: int, body: bytes, extra: Mapping[str, str]) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in extra.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def listen_on(port: int) -> socket.socket:
    """A listening socket on a port that the supervisor has reserved (bound, with SO_REUSEADDR, not listening)."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(512)
    return listener


async def serve(spec: ServiceSpec) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in flight and send the last spans."""
    clock = SystemClock()
    client = HttpClient()
    telemetry = Telemetry(spec.name, spec.otlp_endpoint, spec.export_interval_ms, clock)
    flags = FlagPoller(spec.flags_url, spec.name, spec.flags_poll_ms, client)
    steps = StepServer(
        service=spec.name,
        seed=spec.seed,
        scope=ErrorScope(spec.error_scope),
        error_customers=spec.error_customers,
        rate_limit_per_s=spec.rate_limit_per_s,
        cache_ttl_s=spec.cache_ttl_s,
        flags=flags,
        client=client,
        telemetry=telemetry,
        clock=clock,
    )
    app = ServiceApp(spec.name, steps, flags, clock)
    server = make_server(app, graceful_s=GRACEFUL_S, concurrency_max=CONCURRENCY_MAX)
    listener = listen_on(spec.port)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(flags.run)
            tasks.start_soon(_end_on_signal, server)
            await server.serve(sockets=[listener])
            tasks.cancel_scope.cancel()
    finally:
        await client.close()
        await anyio.to_thread.run_sync(telemetry.close)


async def _end_on_signal(server: Server) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            server.should_exit = True


def run(spec: ServiceSpec) -> None:
    """The whole life of a service process."""
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {spec.name} %(levelname)s %(message)s", force=True)
    uvloop.run(serve(spec))
