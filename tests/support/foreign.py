"""A real telemetry path that listens on every port of Jaeger's and Zipkin's, for tests of their receivers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
from anyio.from_thread import start_blocking_portal

from homeostat.core.config import ReceiverConfig, StorageConfig
from homeostat.core.models import Trace
from homeostat.observe.pipeline import Pipeline, running
from support.spans import HandClock

RECORDED = Path(__file__).parents[1] / "unit/observe/receivers/recorded"
RECORDED_TRACE = "0102030405060708090a0b0c0d0e0f10"
PORTS = ("jaeger_grpc", "jaeger_http", "jaeger_udp_compact", "jaeger_udp_binary", "zipkin")
DEADLINE_S = 20.0


@contextmanager
def listening(folder: Path, *, min_free_mib: int = 1, **ports: int) -> Iterator[Pipeline]:
    """Run it in a thread, so that clients that block may be used."""
    wanted = ports or {f"{name}_port": 0 for name in PORTS}
    receivers = ReceiverConfig.only(max_request_mib=1, **wanted)
    path = running(receivers, StorageConfig(path=folder, min_free_mib=min_free_mib), HandClock())
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(path) as pipeline:
        yield pipeline


async def trace(pipeline: Pipeline, trace_id: str, spans: int = 1) -> Trace:
    """The trace, as soon as it has so many spans."""
    with anyio.fail_after(DEADLINE_S):
        while True:
            found = await pipeline.store.trace(trace_id)
            if found is not None and len(found.spans) >= spans:
                return found
            await anyio.sleep(0.01)


async def refused(pipeline: Pipeline, reason: str) -> int:
    """How many were refused for the reason, as soon as one was."""
    with anyio.fail_after(DEADLINE_S):
        while not (count := pipeline.counters.refused.get(reason, 0)):
            await anyio.sleep(0.01)
    return count
