"""The threads of the three lanes: one intake each, and one that writes segments for all. Used by ``pipeline``."""

import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import anyio
import anyio.to_thread

from homeostat.core.config import StorageConfig
from homeostat.core.ports import Clock
from homeostat.observe.decode import traces
from homeostat.observe.decode.common import Decoded
from homeostat.observe.decode.logs import logs_decoder
from homeostat.observe.decode.metrics import metrics_decoder
from homeostat.observe.intake import Batch, Decode
from homeostat.runtime import SystemIds
from homeostat.store.clickhouse.shared import SharedStore, open_configured
from homeostat.store.telemetry.lane import FlushPolicy, Lane
from homeostat.store.telemetry.log_store import EmbeddedLogStore
from homeostat.store.telemetry.metric_store import EmbeddedMetricStore
from homeostat.store.telemetry.retention import keep_within
from homeostat.store.telemetry.store import EmbeddedTelemetryStore

_FLUSH_RETRY_S: Final = 2.0

IS_COMPILED: Final = traces.Walk is not None
"""Whether spans are decoded by the compiled walk."""


@dataclass(frozen=True, slots=True)
class Stores:
    """The three lanes of a data directory."""

    traces: EmbeddedTelemetryStore
    metrics: EmbeddedMetricStore
    logs: EmbeddedLogStore
    shared: SharedStore | None = None  # where they keep what they take, beside others'

    @classmethod
    def opened(cls, config: StorageConfig, clock: Clock, policy: FlushPolicy | None = None) -> "Stores":
        """Open all of them. Raises OSError or StoreError. ``policy`` is for all; default: each its own."""
        shared = open_configured(config, SystemIds())
        stores = cls(
            EmbeddedTelemetryStore(config, clock, policy),
            EmbeddedMetricStore(config, clock, policy),
            EmbeddedLogStore(config, clock, policy),
            shared,
        )
        if shared is not None:
            shared.attach(stores.traces, stores.metrics, stores.logs)
        return stores

    @property
    def all(self) -> list[Lane[Any]]:
        """Traces first."""
        return [self.traces, self.metrics, self.logs]

    def close(self) -> None:
        """Close the logs of all."""
        for lane in self.all:
            lane.close()
        if self.shared is not None:
            self.shared.engine.close()


def decode_traces(requests: Sequence[bytes]) -> Batch:
    """The decoder of the lane of traces."""
    return _batch(traces.decode(requests))


def decode_sampled_traces(requests: Sequence[bytes]) -> Batch:
    """The same where traces are sampled: attributes may stay serialized until the keeper lets spans go."""
    return _batch(traces.decode_for_sampling(requests))


def decode_metrics(clock: Clock) -> Decode:
    """The decoder of the lane of metrics."""
    decoder = metrics_decoder(clock)
    return lambda requests: _batch(decoder(requests))


def decode_logs(clock: Clock) -> Decode:
    """The decoder of the lane of logs."""
    decoder = logs_decoder(clock)
    return lambda requests: _batch(decoder(requests))


def _batch(decoded: Decoded) -> Batch:
    return Batch(decoded.table, decoded.outcomes)


class Flusher:
    """The thread that turns sealed parts of the hot buffers into segments, one at a time."""

    def __init__(self, lanes: Sequence[Lane[Any]], max_bytes: int) -> None:
        self._lanes = lanes
        self._max_bytes = max_bytes
        self._wake = threading.Event()
        self._stopping = False

    def notice(self) -> None:
        """Called after everything that may have sealed a part."""
        if any(lane.sealed_count for lane in self._lanes):
            self._wake.set()

    def stop(self) -> None:
        """``run`` returns after one last flush."""
        self._stopping = True
        self._wake.set()

    def run(self) -> None:
        """The thread's body. A disk that is full is tried again."""
        while not self._stopping:
            self._wake.wait()
            self._wake.clear()
            while not self._flush() and not self._stopping:
                self._wake.wait(_FLUSH_RETRY_S)
                self._wake.clear()
        self._flush()

    def _flush(self) -> bool:
        done = [lane.flush() for lane in self._lanes]  # each of them, whatever becomes of the others
        keep_within(self._lanes, self._max_bytes)
        return all(done)


@asynccontextmanager
async def thread(body: Callable[[], None], stop: Callable[[], None]) -> AsyncGenerator[None]:
    """Run ``body`` in a thread of its own; on leaving, ``stop`` it and wait for its end."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(anyio.to_thread.run_sync, body, limiter=anyio.CapacityLimiter(1)))
        try:
            yield
        finally:
            stop()
