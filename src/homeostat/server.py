"""Runs Homeostat in this process until it is told to stop: the parts from ``app``, the API over them, one web server.

Called by ``homeostat up``. Once it answers it writes ``ready.json`` into the data directory, for scripts to wait for.
"""

import gc
import json
import logging
import os
import signal
import socket
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio

from homeostat.announce import Listening, address_of, announcement
from homeostat.api.app import create_api
from homeostat.api.context import Context
from homeostat.api.event_parts import EventParts
from homeostat.api.flags import flags_router
from homeostat.api.jaeger_query import jaeger_query_app
from homeostat.api.ofrep import ofrep_router
from homeostat.api.parts import ApiParts
from homeostat.api.prometheus_app import prometheus_app
from homeostat.api.server import serving
from homeostat.app import Homeostat, running
from homeostat.core.config import Config
from homeostat.core.ports import Clock
from homeostat.net import bind
from homeostat.observe.memory import leave_alone
from homeostat.observe.receivers.prometheus_write import PATH as WRITE_PATH
from homeostat.observe.receivers.zipkin_http import PATH as ZIPKIN_PATH
from homeostat.runtime import SystemClock
from homeostat.serving import serving as serving_http
from homeostat.store.lock import locked
from homeostat.web import static_dir

log = logging.getLogger(__name__)

READY_FILE = "ready.json"

COLLECT_AFTER = (20_000, 20, 50)
"""Generations of the garbage collector. An answer of 10,000 spans makes 100,000 objects without a single cycle: at
Python's default of 700 the collector walks them again and again, and takes more time than the answer."""


def serve(config: Config, *, verbose: bool) -> None:
    """Run until SIGINT or SIGTERM. Raises PortTakenError, StoreError or ConfigError before anything is started."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    gc.freeze()  # what was imported stays
    gc.set_threshold(*COLLECT_AFTER)
    anyio.run(_serve, config, backend_options={"use_uvloop": True})


async def _serve(config: Config) -> None:
    clock = SystemClock()
    with (
        locked(config.storage.path),
        bind(config.server.host, config.server.port, settings="server.host or server.port") as listener,
        _bound(config.server.host, config.server.jaeger_query_port, "server.jaeger_query_port") as jaeger,
        _bound(config.server.host, config.server.prometheus_port, "server.prometheus_port") as prometheus,
    ):
        async with (
            running(config, clock) as homeostat,
            _api(homeostat, listener) as context,
            _jaeger_query(homeostat, jaeger),
            _prometheus(context, prometheus),
        ):
            groups = _listening(homeostat, jaeger, prometheus)
            further = {"jaeger_query": _url_of(jaeger), "prometheus": _url_of(prometheus)}
            ready = _ready(homeostat, listener, clock) | further
            leave_alone()
            with _announced(config.storage.path / READY_FILE, ready, groups):
                await _told_to_stop()
    print("Stopped. Everything acknowledged is on disk.")


@contextmanager
def _bound(host: str, port: int | None, setting: str) -> Generator[socket.socket | None]:
    """A further listening socket; None where its port is off."""
    if port is None:
        yield None
        return
    with bind(host, port, settings=f"server.host or {setting}") as listener:
        yield listener


def _url_of(listener: socket.socket | None) -> str | None:
    if listener is None:
        return None
    host, port = listener.getsockname()[:2]
    return address_of(host, port, "http")


@asynccontextmanager
async def _jaeger_query(homeostat: Homeostat, listener: socket.socket | None) -> AsyncGenerator[None]:
    """Serve Jaeger's query interface beside the API, where it is on."""
    if listener is None:
        yield
        return
    server, observed = homeostat.config.server, homeostat.observed
    app = jaeger_query_app(
        observed.store, observed.red, homeostat.clock, host=server.host, allowed_hosts=server.allowed_hosts
    )
    async with serving_http(app, listener):
        yield


@asynccontextmanager
async def _api(homeostat: Homeostat, listener: socket.socket) -> AsyncGenerator[Context]:
    api = create_api(api_parts(homeostat))
    async with serving(api, listener):
        yield api.state.context


@asynccontextmanager
async def _prometheus(context: Context, listener: socket.socket | None) -> AsyncGenerator[None]:
    """Serve metrics for a Prometheus to scrape, where their port is on."""
    if listener is None:
        yield
        return
    async with serving_http(prometheus_app(context), listener):
        yield


def api_parts(homeostat: Homeostat) -> ApiParts:
    """What the API is made of."""
    observed = homeostat.observed
    return ApiParts(
        clock=homeostat.clock,
        red=observed.red,
        telemetry=observed.store,
        state=homeostat.state,
        bus=homeostat.bus,
        health=homeostat.health,
        healer=homeostat.healer,
        storage=observed.storage_status,
        ingest=lambda: observed.counters,
        heartbeat=homeostat.heartbeat,
        background=homeostat.background,
        span_totals=observed.red.totals,
        scrapes=lambda: homeostat.scraper.states,
        lane_bytes=observed.lane_bytes,
        metrics=observed.metrics,
        logs=observed.logs,
        log_masks=homeostat.config.logs.masks,
        slos=homeostat.slos,
        events=_event_parts(homeostat),
        otlp_http_url=homeostat.otlp_http_url,
        otlp_grpc_url=homeostat.otlp_grpc_url,
        world_url=homeostat.config.world_url,
        extra_routers=(flags_router(homeostat.flags), ofrep_router(homeostat.flags)),
        static_dir=static_dir(),
        host=homeostat.config.server.host,
        allowed_hosts=homeostat.config.server.allowed_hosts,
    )


def _event_parts(homeostat: Homeostat) -> EventParts:
    correlation, observed = homeostat.correlation, homeostat.observed
    return EventParts(
        timeline=correlation.timeline,
        maintenance=correlation.maintenance,
        ids=homeostat.ids,
        outbox=correlation.outbox,
        submitters=observed.submitters,
        metrics=observed.metrics,
        logs=observed.logs,
    )


async def _told_to_stop() -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            return


def _ready(homeostat: Homeostat, listener: socket.socket, clock: Clock) -> dict[str, str | int | None]:
    host, port = listener.getsockname()[:2]
    return {
        "pid": os.getpid(),
        "url": address_of(host, port, "http"),
        "otlp_http": homeostat.otlp_http_url,
        "otlp_grpc": homeostat.otlp_grpc_url,
        "mode": homeostat.healer.mode(),
        "ready_at": clock.now().isoformat(),
    }


def _listening(
    homeostat: Homeostat, jaeger_query: socket.socket | None, prometheus: socket.socket | None
) -> tuple[Listening, ...]:
    """Every address beside the API's, in the order in which people look for them."""
    observed, host = homeostat.observed, homeostat.config.receivers.host
    foreign, metrics = observed.foreign, _url_of(prometheus)
    return (
        Listening("OTLP", ((homeostat.otlp_http_url, "HTTP"), (homeostat.otlp_grpc_url, "gRPC"))),
        Listening(
            "Jaeger",
            (
                (address_of(host, foreign.jaeger_http, "http"), "Thrift"),
                (address_of(host, foreign.jaeger_grpc), "gRPC"),
                (address_of(host, foreign.jaeger_udp_compact), "UDP compact"),
                (address_of(host, foreign.jaeger_udp_binary), "UDP binary"),
            ),
        ),
        Listening("Zipkin", ((address_of(host, foreign.zipkin, "http", ZIPKIN_PATH), ""),)),
        Listening("remote-write", ((address_of(host, observed.http_port, "http", WRITE_PATH), "Prometheus"),)),
        Listening("Jaeger query", ((_url_of(jaeger_query), "for Grafana"),)),
        Listening("metrics", ((metrics and f"{metrics}/metrics", "of Homeostat, for Prometheus"),)),
    )


@contextmanager
def _announced(ready_file: Path, ready: dict[str, str | int | None], groups: Sequence[Listening]) -> Generator[None]:
    """Say that it answers, to people and, in a file that appears whole, to scripts."""
    temporary = ready_file.with_suffix(".tmp")
    temporary.write_text(json.dumps(ready), encoding="utf-8")
    temporary.replace(ready_file)
    print(announcement(str(ready["url"]), str(ready["mode"]), groups), flush=True)
    try:
        yield
    finally:
        ready_file.unlink(missing_ok=True)
