"""The embedded telemetry store: log, hot buffer and segments as one. Implements ``core.ports.TelemetryStore``.

``observe.intake`` calls ``append`` and ``add`` from its thread; ``flush`` runs in a thread of its own; the reading
methods may be awaited by anybody and do their work in worker threads.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

import anyio
import anyio.to_thread
import pyarrow as pa

from homeostat.core.config import StorageConfig
from homeostat.core.errors import BadRequestError, StoreCorruptError, StoreError
from homeostat.core.models import StorageStatus, Trace, TracePage, TraceQuery
from homeostat.core.ports import Clock
from homeostat.store.telemetry import disk
from homeostat.store.telemetry.catalogue import Catalogue
from homeostat.store.telemetry.hot import HotBuffer, Sealed
from homeostat.store.telemetry.maintenance import to_compact, to_delete
from homeostat.store.telemetry.quarantine import is_passing
from homeostat.store.telemetry.query import (
    examples,
    examples_filter,
    find_many,
    find_trace,
    operations_since,
    services_since,
)
from homeostat.store.telemetry.rows import to_ns
from homeostat.store.telemetry.schema import SPAN_SCHEMA
from homeostat.store.telemetry.search import find_traces
from homeostat.store.telemetry.segment import Segment, SegmentInfo, delete_segment, write_segment
from homeostat.store.telemetry.sources import View
from homeostat.store.telemetry.trouble import FAILING, FULL, Trouble, of_append, of_flush
from homeostat.store.telemetry.wal import WriteAheadLog
from homeostat.store.telemetry.wal_format import KIND_TRACES, Record

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_READERS_MAX: Final = 2  # concurrent queries: they share two cores with everything else
_RECENT_ROWS_MAX: Final = 500_000  # what a restart can fold within a second
_TRACES_MAX: Final = 1_000  # read at once
_VIEWS_MAX: Final = 3  # a query that loses a file to compaction looks again, this often


@dataclass(frozen=True, slots=True)
class FlushPolicy:
    """When hot spans become a segment."""

    rows: int = 98_304
    bytes: int = 64 << 20
    age_s: float = 60.0  # of the oldest of them
    sealed_max: int = 2  # waiting parts; beyond, the intake waits for the disk


class EmbeddedTelemetryStore:
    """One directory: ``wal/`` and ``segments/``."""

    def __init__(self, config: StorageConfig, clock: Clock, policy: FlushPolicy | None = None) -> None:
        self._config = config
        self._clock = clock
        self.policy = policy or FlushPolicy()
        root = config.path / "telemetry"
        self._segment_dir = root / "segments"
        self._wal_dir = root / "wal"
        self._aside_dir = root / "unreadable"
        self._aside: list[StoreCorruptError] = []
        self._catalogue = Catalogue(self._segment_dir)
        self._min_free_bytes = config.min_free_mib << 20
        self._wal = WriteAheadLog(
            self._wal_dir, after_seq=self._catalogue.state.checkpoint, min_free_bytes=self._min_free_bytes
        )
        self._hot = HotBuffer()
        self._view_lock = threading.Lock()
        self._segments = self._catalogue.segments()
        self._flush_lock = threading.Lock()
        self._oldest_hot_at: float | None = None  # monotonic
        self._append_trouble: Trouble | None = None  # of the last append
        self._flush_trouble: Trouble | None = None  # of the last flush
        self._readers: anyio.CapacityLimiter | None = None
        self._spans_stored = 0
        self._recent_from_ns = 0
        self.room = threading.Condition()  # notified when a sealed part has become a segment

    # -- writing, from the intake thread --------------------------------------------------------------------

    def replay(self) -> Iterator[Record]:
        """What was acknowledged and is in no segment yet. To be read to its end, and ``add``ed, before ``append``."""
        yield from self._wal.replay()

    def keep_aside(self, record: Record, why: str) -> None:
        """Keep an acknowledged request that can't be stored as spans in a file of its own, durably, and report it.

        Raises StoreError: then it must stay in the log.
        """
        path = self._aside_dir / f"{record.seq:020d}.otlp"
        temporary = path.with_suffix(".tmp")
        try:
            self._aside_dir.mkdir(exist_ok=True)
            temporary.write_bytes(record.payload)
            disk.publish(temporary, path)
        except OSError as error:
            raise StoreError(f"Request {record.seq} can't be kept aside as {path}: {error}. Make room.") from error
        problem = StoreCorruptError(
            f"An acknowledged request can't be taken in ({why}). It is kept as {path} (ExportTraceServiceRequest)."
        )
        logger.error("%s", problem)
        self._aside.append(problem)

    def append(self, payloads: Sequence[bytes]) -> int:
        """Make requests durable; returns the sequence number of the last. Raises StoreFullError or StoreError."""
        try:
            seq = self._wal.append(payloads, KIND_TRACES)
        except StoreError as error:
            self._append_trouble = of_append(error)
            raise
        self._append_trouble = None
        return seq

    def add(self, spans: pa.Table, last_seq: int) -> None:
        """Make the spans of the requests up to ``last_seq`` visible. Seals the buffer when it is large enough."""
        if self._oldest_hot_at is None and spans.num_rows:
            self._oldest_hot_at = self._clock.monotonic()
        self._hot.add(spans, last_seq)
        if self._hot.open_rows >= self.policy.rows or self._hot.open_bytes >= self.policy.bytes:
            self.seal()

    def seal(self) -> None:
        """What has been added so far is to become a segment; the log starts a new file at the same point."""
        if self._hot.seal():
            self._wal.rotate()
        self._oldest_hot_at = None

    @property
    def is_stale(self) -> bool:
        """The oldest hot span has waited long enough for a segment."""
        oldest = self._oldest_hot_at
        return oldest is not None and self._clock.monotonic() - oldest >= self.policy.age_s

    @property
    def sealed_count(self) -> int:
        """Parts that wait to become segments."""
        return self._hot.sealed_count

    def close(self) -> None:
        """Close the log. Whatever is in no segment is replayed at the next start."""
        self._wal.close()

    # -- segments, from the flush thread --------------------------------------------------------------------

    def flush(self) -> bool:
        """Turn sealed parts into segments; compact and delete. False when that failed: try again later."""
        with self._flush_lock:
            try:
                while (sealed := self._hot.oldest_sealed()) is not None:
                    self._flush_one(sealed)
                    with self.room:
                        self.room.notify_all()
                self._retain()
                self._compact()
            except (OSError, pa.ArrowException) as error:
                trouble = of_flush(error, self._segment_dir)
                if trouble != self._flush_trouble:  # once, not at every attempt
                    logger.error("%s", trouble.detail, exc_info=error)
                self._flush_trouble = trouble
                return False
            self._flush_trouble = None
        return True

    def _flush_one(self, sealed: Sealed) -> None:
        name = self._catalogue.next_name(sealed.last_seq)
        info = write_segment(self._segment_dir, name, sealed.tables, sealed.last_seq)
        self._catalogue.replace((), [info], checkpoint=sealed.last_seq)
        with self._view_lock:
            self._segments = self._catalogue.segments()
            self._hot.drop(sealed)
        self._spans_stored += info.rows
        self._wal.discard(sealed.last_seq)

    def _retain(self) -> None:
        oldest_ns = to_ns(self._clock.now()) - int(self._config.retention.total_seconds() * 1e9)
        max_bytes = int(self._config.max_gib * (1 << 30))
        self._remove(to_delete(self._catalogue.state.segments, oldest_ns=oldest_ns, max_bytes=max_bytes), [])

    def _compact(self) -> None:
        while sources := to_compact(self._catalogue.state.segments):
            tables: list[pa.Table] = []
            for info in sources:
                try:
                    tables.append(Segment(self._segment_dir, info).read(SPAN_SCHEMA.names))
                except (StoreCorruptError, FileNotFoundError) as error:
                    if is_passing(error):
                        logger.warning("Segments are not compacted now: %s", error)
                        return
                    self._set_aside(info, error)
            if len(tables) < len(sources):
                continue  # without those that can't be read, others may be worth it
            last_seq = max(info.last_seq for info in sources)
            merged = write_segment(self._segment_dir, self._catalogue.next_name(last_seq), tables, last_seq)
            self._remove(sources, [merged])
            return

    def _set_aside(self, info: SegmentInfo, error: Exception) -> None:
        with self._view_lock:
            self._segments = [segment for segment in self._segments if segment.info.name != info.name]
        self._catalogue.set_aside(info.name, error.__cause__ or error)

    def _remove(self, removed: Sequence[SegmentInfo], added: Sequence[SegmentInfo]) -> None:
        if not removed:
            return
        names = {info.name for info in removed}
        self._catalogue.replace(names, added)
        with self._view_lock:
            self._segments = self._catalogue.segments()
        for name in names:
            delete_segment(self._segment_dir, name)

    # -- reading ---------------------------------------------------------------------------------------------

    def view(self) -> View:
        """Everything that is stored now."""
        with self._view_lock:
            return View(self._hot.tables(), self._segments)

    async def _ask(self, question: Callable[[View], Answer]) -> Answer:
        def ask() -> Answer:
            for _ in range(_VIEWS_MAX - 1):
                try:
                    return question(self.view())
                except FileNotFoundError:
                    continue  # a segment was compacted away since the view was taken
            return question(self.view())

        if self._readers is None:
            self._readers = anyio.CapacityLimiter(_READERS_MAX)
        try:
            return await anyio.to_thread.run_sync(ask, limiter=self._readers)
        except FileNotFoundError as error:
            raise StoreError(f"Segments vanish while they are read ({error}). Ask again.") from error

    async def trace(self, trace_id: str) -> Trace | None:
        """Every stored span of a trace, or None."""
        return await self._ask(lambda view: find_trace(view, trace_id))

    async def search(self, query: TraceQuery) -> TracePage:
        """Matching traces, newest first. Raises BadRequestError for a cursor that is none."""
        return await self._ask(lambda view: find_traces(view, query))

    async def traces(self, trace_ids: Sequence[str]) -> list[Trace]:
        """Those of these traces that are stored. Raises BadRequestError for more than 1,000 ids."""
        if len(trace_ids) > _TRACES_MAX:
            raise BadRequestError(f"{len(trace_ids)} traces at once are too many. Ask for up to {_TRACES_MAX}.")
        return await self._ask(lambda view: find_many(view, trace_ids))

    async def services(self, since: datetime) -> list[str]:
        """Services with a stored span since then, sorted."""
        return await self._ask(lambda view: services_since(view, to_ns(since)))

    async def operations(self, service: str, since: datetime) -> list[tuple[str, str]]:
        """``(name, kind)`` of the stored spans of a service since then, sorted."""
        return await self._ask(lambda view: operations_since(view, service, to_ns(since)))

    async def example_traces(
        self, service: str, since: datetime, *, errors: bool, operation: str | None = None, limit: int = 3
    ) -> list[str]:
        """Ids of recent traces in which ``service`` failed (or, with ``errors=False``, was slowest)."""
        wanted = examples_filter(to_ns(since), service, operation, errors=errors)
        return await self._ask(lambda view: examples(view, wanted, slowest=not errors, limit=limit))

    def recent_spans(self, age: timedelta, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Some columns of the segments of the last minutes, newest first, up to a bound. Blocks: for the start.

        Afterwards ``recent_from_s`` says from which Unix second on that was everything.
        """
        oldest_ns = self._recent_from_ns = to_ns(self._clock.now() - age)
        rows = 0
        for segment in self._segments:
            if segment.info.max_start_ns < oldest_ns or rows > _RECENT_ROWS_MAX:
                self._recent_from_ns = max(self._recent_from_ns, segment.info.max_start_ns)
                continue
            try:
                spans = segment.read(columns)
            except StoreCorruptError as error:
                logger.error("%s", error)
                self._recent_from_ns = max(self._recent_from_ns, segment.info.max_start_ns)
                continue
            rows += spans.num_rows
            yield spans

    @property
    def recent_from_s(self) -> int:
        """From which Unix second on ``recent_spans`` gave everything."""
        return -(-self._recent_from_ns // 10**9)

    @property
    def spans_stored(self) -> int:
        """Spans that this process has put into segments."""
        return self._spans_stored

    @property
    def problems(self) -> list[StoreCorruptError]:
        """What could not be read back."""
        return [*self._wal.problems, *self._catalogue.problems, *self._aside]

    def status(self) -> StorageStatus:
        """How the store is now. Looks at the disk: not for a tight loop."""
        try:
            free = disk.free_bytes(self._segment_dir)
            used = disk.used_bytes(self._segment_dir) + disk.used_bytes(self._wal_dir)
        except OSError as error:
            return StorageStatus(state="unknown", detail=f"{error}", used_bytes=None, free_bytes=None)
        has_room = free >= self._min_free_bytes
        troubles = [trouble for trouble in (self._append_trouble, self._flush_trouble) if trouble is not None]
        troubles = [trouble for trouble in troubles if not (trouble.shows and has_room)]
        if not troubles and not has_room:
            missing = f"{free >> 20} MiB are free, {self._min_free_bytes >> 20} have to be left: make room."
            troubles.append(Trouble(missing, is_full=True))
        if troubles:
            state = FULL if any(trouble.is_full for trouble in troubles) else FAILING
            detail = " ".join(dict.fromkeys(trouble.detail for trouble in troubles))
            return StorageStatus(state=state, detail=detail, used_bytes=used, free_bytes=free)
        detail = "; ".join(map(str, self.problems)) or "Everything acknowledged is on disk."
        return StorageStatus(state="ok", detail=detail, used_bytes=used, free_bytes=free)
