"""The telemetry path as one part: receivers, intake, rollups and store. ``app`` runs it; benches and tests too.

async with running(config.receivers, config.storage, clock) as pipeline:
    ...pipeline.red, pipeline.store, pipeline.http_port...
"""

import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final

import anyio
import anyio.to_thread

from homeostat.core.config import ReceiverConfig, StorageConfig
from homeostat.core.errors import TelemetryRejectedError
from homeostat.core.models import IngestCounters, StorageStatus
from homeostat.core.ports import Clock
from homeostat.observe.counters import Counters
from homeostat.observe.decode import traces
from homeostat.observe.intake import Batch, Intake, Receipt
from homeostat.observe.listening import listen
from homeostat.observe.memory import keep_blocks
from homeostat.observe.presence import Presence
from homeostat.observe.receivers import Submit
from homeostat.observe.receivers.foreign import ForeignPorts
from homeostat.observe.receivers.submit import Submitters
from homeostat.observe.red import RED_COLUMNS, Red, RedLimits
from homeostat.observe.rollup_restoring import restore
from homeostat.observe.rollups import Rollups
from homeostat.observe.tasks import single_error
from homeostat.observe.trace_keeper import TraceKeeper
from homeostat.store.telemetry.lane import Lane
from homeostat.store.telemetry.status import status_of
from homeostat.store.telemetry.store import EmbeddedTelemetryStore, FlushPolicy

_FLUSH_RETRY_S: Final = 2.0
_RED_RESTORED: Final = timedelta(minutes=15)
_RED_MEMORY: Final = RedLimits(minutes=180)  # files answer for what is older


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A running telemetry path."""

    red: Rollups
    store: EmbeddedTelemetryStore
    intake: Intake
    http_port: int | None  # None: that receiver is off
    grpc_port: int | None
    foreign: ForeignPorts  # of Jaeger's and Zipkin's protocols
    _counters: Counters

    @property
    def lanes(self) -> list[Lane[Any]]:
        """Every lane of the store."""
        return [self.store]

    def storage_status(self) -> StorageStatus:
        """How the store is. Looks at the disk: a millisecond, not for a tight loop."""
        return status_of(self.lanes)

    @property
    def counters(self) -> IngestCounters:
        """What has come in since the start."""
        return self._counters.snapshot(stored=self.store.spans_stored, services=len(self.red.services()))


class _Flusher:
    """The thread that turns sealed parts of the hot buffers into segments, one at a time."""

    def __init__(self, lanes: Sequence[Lane[Any]]) -> None:
        self._lanes = lanes
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
        return all(done)


def _decode_traces(requests: Sequence[bytes]) -> Batch:
    decoded = traces.decode(requests)
    return Batch(decoded.spans, decoded.outcomes)


@asynccontextmanager
async def running(
    receivers: ReceiverConfig, storage: StorageConfig, clock: Clock, *, policy: FlushPolicy | None = None
) -> AsyncGenerator[Pipeline]:
    """Open the store, replay its log, listen. Raises PortTakenError, ListenError, StoreError, OSError.

    On leaving: no more is taken, what was taken is acknowledged and written to segments.
    """
    keep_blocks()
    counters, red = Counters(clock), Red(clock, _RED_MEMORY)
    store = await anyio.to_thread.run_sync(lambda: EmbeddedTelemetryStore(storage, clock, policy))
    flusher = _Flusher([store])
    presence = Presence(storage.path / "telemetry" / "presence.json", clock, int(storage.retention.total_seconds()))
    rollups = Rollups(red, store.catalogue, presence, clock, storage.retention)
    intake = Intake(store, _decode_traces, TraceKeeper(red, rollups, presence), counters, flusher.notice)
    with single_error():
        async with AsyncExitStack() as stack:
            stack.callback(store.close)
            stack.callback(rollups.close)
            await stack.enter_async_context(_thread(flusher.run, flusher.stop))
            await anyio.to_thread.run_sync(_restore, store, red, intake, presence, clock)
            await stack.enter_async_context(_thread(intake.run, intake.stop))
            submitters = Submitters(intake.submit, _not_kept("Metrics"), _not_kept("Logs"))
            ports = await listen(stack, receivers, submitters, counters.refuse)
            yield Pipeline(rollups, store, intake, ports.otlp_http, ports.otlp_grpc, ports.foreign, counters)


def _restore(store: EmbeddedTelemetryStore, red: Red, intake: Intake, presence: Presence, clock: Clock) -> None:
    """RED as it was at the last checkpoint, and everything that the log holds."""
    attachments = store.catalogue.state.attachments
    began_s = int(clock.now().timestamp())
    red.begin_delta()
    if attachments or presence.past:
        restore(red, store.catalogue.attachment_dir, attachments, began_s)
        intake.replay()
    else:  # a store from before there were rollups: its newest segments, as far back as a start can read them
        for spans in store.recent_spans(_RED_RESTORED, RED_COLUMNS):
            intake.count(spans)
        intake.replay()
        red.restored(store.recent_from_s)
    presence.begin(began_s, alive_until_s=red.latest_s())
    red.forget_totals()


@asynccontextmanager
async def _thread(body: Callable[[], None], stop: Callable[[], None]) -> AsyncGenerator[None]:
    """Run ``body`` in a thread of its own; on leaving, ``stop`` it and wait for its end."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(anyio.to_thread.run_sync, body, limiter=anyio.CapacityLimiter(1)))
        try:
            yield
        finally:
            stop()


def _not_kept(what: str) -> Submit:
    async def refuse(payload: bytes) -> Receipt:
        raise TelemetryRejectedError(f"{what} are not kept here: {len(payload)} bytes were not taken.")

    return refuse
