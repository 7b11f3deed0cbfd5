"""The telemetry path as one part: receivers, intake, rollups and store. ``app`` runs it; benches and tests too.

async with running(config.receivers, config.storage, clock) as pipeline:
    ...pipeline.red, pipeline.store, pipeline.http_port...
"""

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final

import anyio
import anyio.to_thread
import pyarrow as pa

from homeostat.core.config import ReceiverConfig, StorageConfig
from homeostat.core.models import IngestCounters, StorageStatus
from homeostat.core.ports import Clock, Random
from homeostat.core.sampling import SamplingConfig
from homeostat.observe.counters import Counters
from homeostat.observe.intake import Batch, Decode, Intake
from homeostat.observe.keeper import KeepAll
from homeostat.observe.lanes import (
    IS_COMPILED,
    Flusher,
    Stores,
    decode_logs,
    decode_metrics,
    decode_sampled_traces,
    decode_traces,
    thread,
)
from homeostat.observe.listening import listen
from homeostat.observe.memory import keep_blocks
from homeostat.observe.presence import Presence
from homeostat.observe.receivers.foreign import ForeignPorts
from homeostat.observe.receivers.submit import Submitters
from homeostat.observe.red import RED_COLUMNS, Red, RedLimits
from homeostat.observe.repeats import Repeats
from homeostat.observe.rollup_restoring import restore
from homeostat.observe.rollups import Rollups
from homeostat.observe.sampling.sampler import Sampler
from homeostat.observe.trace_keeper import TraceKeeper
from homeostat.runtime import system_random
from homeostat.store.telemetry.lane import FlushPolicy, Lane
from homeostat.store.telemetry.log_store import EmbeddedLogStore
from homeostat.store.telemetry.metric_store import EmbeddedMetricStore
from homeostat.store.telemetry.status import status_of
from homeostat.store.telemetry.store import EmbeddedTelemetryStore
from homeostat.task_groups import single_error

logger = logging.getLogger(__name__)

_RED_RESTORED: Final = timedelta(minutes=15)
_RED_MEMORY: Final = RedLimits(minutes=180)  # files answer for what is older


OnSpans = Callable[[pa.Table], None]
"""Is shown every batch of spans, in the intake's thread: must be quick, and must not raise. Attributes may be
serialized still."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A running telemetry path."""

    red: Rollups
    store: EmbeddedTelemetryStore
    metrics: EmbeddedMetricStore
    logs: EmbeddedLogStore
    intake: Intake  # of traces
    submitters: Submitters
    http_port: int | None  # None: that receiver is off
    grpc_port: int | None
    foreign: ForeignPorts  # of Jaeger's and Zipkin's protocols
    _counters: Counters
    _keeper: TraceKeeper

    @property
    def lanes(self) -> list[Lane[Any]]:
        """Every lane of the store."""
        return [self.store, self.metrics, self.logs]

    def refuse(self, reason: str, count: int = 1) -> None:
        """Count what was refused elsewhere (by the scraper)."""
        self._counters.refuse(reason, count)

    def lane_bytes(self) -> dict[str, int]:
        """Bytes on disk by lane: traces, metrics, logs. Looks at the disk. Raises OSError."""
        return {lane.spec.name: lane.used_bytes() for lane in self.lanes}

    def storage_status(self) -> StorageStatus:
        """How the store is. Looks at the disk: a millisecond, not for a tight loop."""
        return status_of(self.lanes)

    @property
    def counters(self) -> IngestCounters:
        """What has come in since the start."""
        return self._counters.snapshot(
            stored=self.store.spans_stored,
            sampled_out=self._keeper.spans_dropped,
            kept_undecided=self._keeper.traces_kept_undecided,
            services=len(self.red.services()),
        )


def _decode_and_show(decode: Decode, on_spans: OnSpans, requests: Sequence[bytes]) -> Batch:
    batch = decode(requests)
    on_spans(batch.rows)
    return batch


@asynccontextmanager
async def running(
    receivers: ReceiverConfig,
    storage: StorageConfig,
    clock: Clock,
    *,
    policy: FlushPolicy | None = None,
    sampling: SamplingConfig | None = None,
    chance: Random | None = None,
    on_spans: OnSpans | None = None,
) -> AsyncGenerator[Pipeline]:
    """Open the store, replay its log, listen. Raises PortTakenError, ListenError, StoreError, OSError.

    Without ``sampling`` every trace is kept. ``chance`` is what senders can't guess of it; default: the system's.
    On leaving: no more is taken, what was taken is acknowledged, decided and written to segments.
    """
    keep_blocks()
    counters, red = Counters(clock), Red(clock, _RED_MEMORY)
    stores = await anyio.to_thread.run_sync(lambda: Stores.opened(storage, clock, policy))
    store = stores.traces
    flusher = Flusher(stores.all, int(storage.max_gib * (1 << 30)))
    presence = Presence(storage.path / "telemetry" / "presence.json", clock, int(storage.retention.total_seconds()))
    rollups = Rollups(red, store.catalogue, presence, clock, storage.retention)
    seed = (chance or system_random()).randrange(1 << 62)
    sampler = Sampler(sampling, seed=seed) if sampling is not None and sampling.enabled else None
    keeper = TraceKeeper(red, rollups, presence, clock, sampler)
    store.undecided = keeper.undecided
    decode = decode_sampled_traces if sampler is not None and sampler.sees_serialized else decode_traces
    if not IS_COMPILED:
        logger.warning("Spans cost about twice the CPU here: there was no C compiler when Homeostat was installed.")
    if on_spans is not None:
        decode = partial(_decode_and_show, decode, on_spans)
    intake = Intake(store, decode, keeper, counters, flusher.notice, Repeats(clock, seed=seed))
    others = [
        Intake(stores.metrics, decode_metrics(clock), KeepAll(), counters, flusher.notice),
        Intake(stores.logs, decode_logs(clock), KeepAll(), counters, flusher.notice, Repeats(clock, seed=seed)),
    ]
    submitters = Submitters(intake.submit, *(other.submit for other in others))
    with single_error():
        async with AsyncExitStack() as stack:
            stack.callback(stores.close)
            stack.callback(rollups.close)
            await stack.enter_async_context(thread(flusher.run, flusher.stop))
            await anyio.to_thread.run_sync(_restore, store, red, intake, keeper, presence, clock)
            for other in others:
                await anyio.to_thread.run_sync(other.replay)
            for lane in (intake, *others):
                await stack.enter_async_context(thread(lane.run, lane.stop))
            ports = await listen(stack, receivers, submitters, counters.refuse)
            yield Pipeline(
                red=rollups,
                store=store,
                metrics=stores.metrics,
                logs=stores.logs,
                intake=intake,
                submitters=submitters,
                http_port=ports.otlp_http,
                grpc_port=ports.otlp_grpc,
                foreign=ports.foreign,
                _counters=counters,
                _keeper=keeper,
            )


def _restore(
    store: EmbeddedTelemetryStore, red: Red, intake: Intake, keeper: TraceKeeper, presence: Presence, clock: Clock
) -> None:
    """RED as it was at the last checkpoint, and everything that the log holds."""
    attachments = store.catalogue.state.attachments
    began_s = int(clock.now().timestamp())
    red.begin_delta()
    keeper.restore(store.catalogue.attachment_dir, attachments)
    if not attachments and store.catalogue.state.checkpoint:
        presence.forget()  # there was a checkpoint, and nothing is left of what it counted
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
