"""One signal's way to disk: log, hot buffer, catalogue and segments. Three of them make the telemetry store.

``observe.intake`` calls ``append`` and ``add`` from the lane's thread; ``flush`` runs in the flush thread; ``parts``
and ``ask`` may be called by anybody. What differs between traces, metrics and logs is a ``LaneSpec``.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Generic, TypeVar

import anyio
import anyio.to_thread
import pyarrow as pa

from homeostat.core.config import StorageConfig
from homeostat.core.errors import StoreCorruptError, StoreError
from homeostat.core.models import StorageStatus
from homeostat.core.ports import Clock
from homeostat.store.telemetry import disk, layout
from homeostat.store.telemetry.attachments import OnSeal
from homeostat.store.telemetry.catalogue import Catalogue
from homeostat.store.telemetry.hot import HotBuffer, Sealed
from homeostat.store.telemetry.layout import Layout, SegmentFile, SegmentInfo, delete_segment
from homeostat.store.telemetry.maintenance import CompactionPolicy, expired, to_compact
from homeostat.store.telemetry.quarantine import is_passing
from homeostat.store.telemetry.rows import to_ns
from homeostat.store.telemetry.shared import Sink
from homeostat.store.telemetry.status import status_of
from homeostat.store.telemetry.trouble import Trouble, of_append, of_flush
from homeostat.store.telemetry.wal import WriteAheadLog
from homeostat.store.telemetry.wal_format import Record

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")
S = TypeVar("S", bound=SegmentFile)

_READERS_MAX: Final = 2  # concurrent queries: they share two cores with everything else
_VIEWS_MAX: Final = 3  # a query that loses a file to compaction looks again, this often


@dataclass(frozen=True, slots=True)
class FlushPolicy:
    """When hot rows become a segment, and the log before them can go."""

    rows: int = 65_536
    bytes: int = 64 << 20
    age_s: float = 60.0  # of the oldest row, or request, that no checkpoint covers
    log_bytes: int = 256 << 20  # of requests behind the last checkpoint, whatever became of their rows
    sealed_max: int = 2  # waiting parts; beyond, the intake waits for the disk


@dataclass(frozen=True, slots=True)
class LaneSpec(Generic[S]):
    """What makes a lane that of one signal."""

    name: str  # traces | metrics | logs
    folder: str  # within ``telemetry/``; "": there itself
    kind: int  # of its records in the log
    message: str  # what its requests are, for people
    layout: Layout
    open_segment: Callable[[Path, SegmentInfo], S]
    flush: FlushPolicy = field(default_factory=FlushPolicy)
    compaction: CompactionPolicy = field(default_factory=CompactionPolicy)

    def folder_in(self, storage: Path) -> Path:
        """The lane's directory within a data directory."""
        return storage / "telemetry" / self.folder


class Lane(Generic[S]):
    """One directory: ``wal/``, ``segments/`` and ``attachments/``. Raises OSError when it can't be opened."""

    def __init__(
        self, spec: LaneSpec[S], config: StorageConfig, clock: Clock, policy: FlushPolicy | None = None
    ) -> None:
        self.spec = spec
        self.policy = policy or spec.flush
        self._config = config
        self._clock = clock
        root = spec.folder_in(config.path)
        self.segment_dir, self._wal_dir, self._aside_dir = root / "segments", root / "wal", root / "unreadable"
        self._aside: list[StoreCorruptError] = []
        self.catalogue = Catalogue(self.segment_dir, spec.layout, root / "attachments")
        state = self.catalogue.state
        self.min_free_bytes = config.min_free_mib << 20
        self._wal = WriteAheadLog(
            self._wal_dir,
            after_seq=state.checkpoint,
            replay_from=state.replay_from,
            min_free_bytes=self.min_free_bytes,
        )
        self.checkpoint = state.checkpoint  # as this process found it: a replayed request up to it is settled
        self.on_seal: OnSeal | None = None
        self.sink: Sink | None = None  # where sealed parts go instead of segments
        self.moving = threading.Lock()  # held while rows are both in memory and in the sink
        self._hot = HotBuffer()
        self._hot_lock = threading.Lock()  # a view never misses a part that is just becoming a segment
        self._segments = self._open_all()
        self._flush_lock = threading.Lock()
        self._open_since: float | None = None  # monotonic: the oldest request or row that no checkpoint covers
        self._open_log_bytes = 0
        self._append_trouble: Trouble | None = None  # of the last append
        self._flush_trouble: Trouble | None = None  # of the last flush
        self._readers: anyio.CapacityLimiter | None = None
        self._rows_stored = 0
        self.room = threading.Condition()  # notified when a sealed part has become a segment

    # -- writing, from the intake thread --------------------------------------------------------------------

    def replay(self) -> Iterator[Record]:
        """What was acknowledged and a restart still needs, in order. To be read to its end before ``append``.

        What is not beyond ``checkpoint`` has been settled already: its rows are in segments or were not to be kept,
        but for those that somebody held back when the checkpoint was made.
        """
        yield from self._wal.replay()

    def keep_aside(self, record: Record, why: str) -> None:
        """Keep an acknowledged request that can't be taken in in a file of its own, durably, and report it.

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
            f"An acknowledged request can't be taken in ({why}). It is kept as {path} ({self.spec.message})."
        )
        logger.error("%s", problem)
        self._aside.append(problem)

    def append(self, payloads: Sequence[bytes]) -> int:
        """Make requests durable; returns the sequence number of the last. Raises StoreFullError or StoreError."""
        try:
            seq = self._wal.append(payloads, self.spec.kind)
        except StoreError as error:
            self._append_trouble = of_append(error)
            raise
        self._append_trouble = None
        self._open_log_bytes += sum(map(len, payloads))
        return seq

    def add(self, rows: pa.Table, last_seq: int) -> None:
        """Make rows visible; with them, the requests up to ``last_seq`` have been dealt with."""
        if self._open_since is None and (rows.num_rows or self.on_seal is not None):
            self._open_since = self._clock.monotonic()
        self._hot.add(rows, last_seq)

    @property
    def is_due(self) -> bool:
        """It is time to ``seal``: there is enough, or it has waited long enough."""
        if self._open_since is None or self._hot.last_seq < self.checkpoint:
            return False  # a restart is still reading what was held back: nobody may forget any of it before the end
        if self._hot.open_rows >= self.policy.rows or self._hot.open_bytes >= self.policy.bytes:
            return True
        if self.on_seal is not None and self._open_log_bytes >= self.policy.log_bytes:
            return True
        return self._clock.monotonic() - self._open_since >= self.policy.age_s

    def seal(self) -> None:
        """What has been added so far is to become a segment; the log starts a new file at the same point.

        Without rows there is a checkpoint all the same if somebody has ``on_seal`` to say what it covers.
        """
        was_open, self._open_since = self._open_since is not None, None
        last_seq = max(self._hot.last_seq, self.checkpoint)
        extras = self.on_seal(last_seq) if self.on_seal is not None and was_open else None
        if not self._hot.open_rows and extras is None:
            return
        self._hot.seal(last_seq, extras)
        self._wal.rotate()
        self._open_log_bytes = 0
        if extras is not None and extras.replay_from <= last_seq:
            self._open_since = self._clock.monotonic()  # somebody holds requests back: the log can't let go yet

    @property
    def sealed_count(self) -> int:
        """Parts that wait to become segments."""
        return self._hot.sealed_count

    @property
    def last_seq(self) -> int:
        """The newest sequence number that was given to a request."""
        return self._wal.last_seq

    def close(self) -> None:
        """Close the log. Whatever is in no segment is replayed at the next start."""
        self._wal.close()

    # -- segments, from the flush thread --------------------------------------------------------------------

    def flush(self) -> bool:
        """Turn sealed parts into segments; compact, delete what is too old. False when that failed: try later."""
        with self._flush_lock:
            try:
                while (sealed := self._hot.oldest_sealed()) is not None:
                    with self.moving:
                        self._flush_one(sealed)
                    with self.room:
                        self.room.notify_all()
                self._retain()
                self._compact(self.spec.compaction)
            except Exception as error:
                trouble = of_flush(error, self.segment_dir)
                if trouble != self._flush_trouble:  # once, not at every attempt
                    logger.exception("%s", trouble.detail)
                self._flush_trouble = trouble
                return False
            self._flush_trouble = None
        return True

    def _flush_one(self, sealed: Sealed) -> None:
        written: list[SegmentInfo] = []
        if sealed.rows and self.sink is not None:
            self.sink.write(sealed.tables, first_seq=self.catalogue.state.checkpoint + 1, last_seq=sealed.last_seq)
        elif sealed.rows:
            written.append(self._write(sealed.tables, sealed.last_seq))
        extras, replay_from = sealed.extras, None
        attachments = extras.write(self.catalogue.attachment_dir) if extras is not None else ()
        if extras is not None:
            replay_from = min(extras.replay_from, sealed.last_seq + 1)
        self.catalogue.advance(written, checkpoint=sealed.last_seq, replay_from=replay_from, attachments=attachments)
        with self._hot_lock:
            self._segments = self._open_all()
            self._hot.drop(sealed)
        self._rows_stored += sealed.rows
        self._wal.discard(self.catalogue.state.replay_from - 1)

    def _write(self, tables: Sequence[pa.Table], last_seq: int) -> SegmentInfo:
        return layout.write(self.segment_dir, self.catalogue.next_name(last_seq), tables, last_seq, self.spec.layout)

    def _retain(self) -> None:
        oldest_ns = to_ns(self._clock.now()) - int(self._config.retention.total_seconds() * 1e9)
        self.remove(expired(self.segments, oldest_ns=oldest_ns), [])

    def _compact(self, policy: CompactionPolicy) -> None:
        names = self.spec.layout.schema.names
        while sources := to_compact(self.segments, policy):
            tables: list[pa.Table] = []
            for info in sources:
                try:
                    tables.append(self.spec.open_segment(self.segment_dir, info).read(names))
                except (StoreCorruptError, FileNotFoundError) as error:
                    if is_passing(error):
                        logger.warning("Segments are not compacted now: %s", error)
                        return
                    self._set_aside(info, error)
            if len(tables) < len(sources):
                continue  # without those that can't be read, others may be worth it
            self.remove(sources, [self._write(tables, max(info.last_seq for info in sources))])
            return

    def _set_aside(self, info: SegmentInfo, error: Exception) -> None:
        with self._hot_lock:
            self._segments = [segment for segment in self._segments if segment.info.name != info.name]
        self.catalogue.set_aside(info.name, error.__cause__ or error)

    def remove(self, removed: Sequence[SegmentInfo], added: Sequence[SegmentInfo]) -> None:
        """Take segments out (and what they were merged into, in). From the flush thread."""
        if not removed:
            return
        names = {info.name for info in removed}
        self.catalogue.replace(names, added)
        with self._hot_lock:
            self._segments = self._open_all()
        for name in names:
            delete_segment(self.segment_dir, name)

    def adopt(self, rows: pa.Table) -> None:
        """Make rows that were never in the log a segment. Nothing else may run. Raises OSError."""
        if rows.num_rows:
            added = self._write([rows], self.catalogue.state.checkpoint)
            self.catalogue.replace((), [added])
            with self._hot_lock:
                self._segments = self._open_all()

    def compact(self, policy: CompactionPolicy) -> int:
        """Merge what the policy finds worth it; returns how many segments are gone. Nothing else may run."""
        before = len(self.segments)
        with self._flush_lock:
            while to_compact(self.segments, policy):
                self._compact(policy)
        return before - len(self.segments)

    def _open_all(self) -> list[S]:
        """All segments, to be read, from the newest to the oldest."""
        return [self.spec.open_segment(self.segment_dir, info) for info in reversed(self.catalogue.state.segments)]

    # -- reading ---------------------------------------------------------------------------------------------

    def parts(self) -> tuple[list[pa.Table], list[S]]:
        """Everything that is stored now: hot tables and segments, each from the newest to the oldest."""
        with self._hot_lock:
            return self._hot.tables(), self._segments

    async def ask(self, question: Callable[[], Answer]) -> Answer:
        """Answer in a worker thread. ``question`` takes a new view each time: segments may vanish meanwhile."""

        def answer() -> Answer:
            for _ in range(_VIEWS_MAX - 1):
                try:
                    return question()
                except FileNotFoundError:
                    continue  # a segment was compacted away since the view was taken
            return question()

        if self._readers is None:
            self._readers = anyio.CapacityLimiter(_READERS_MAX)
        try:
            return await anyio.to_thread.run_sync(answer, limiter=self._readers)
        except FileNotFoundError as error:
            raise StoreError(f"Segments vanish while they are read ({error}). Ask again.") from error

    # -- how it is -------------------------------------------------------------------------------------------

    @property
    def segments(self) -> tuple[SegmentInfo, ...]:
        """What the catalogue names, from the oldest to the newest."""
        return self.catalogue.state.segments

    @property
    def rows_stored(self) -> int:
        """Rows that this process has put into segments."""
        return self._rows_stored

    @property
    def problems(self) -> list[StoreCorruptError]:
        """What could not be read back."""
        return [*self._wal.problems, *self.catalogue.problems, *self._aside]

    @property
    def troubles(self) -> list[Trouble]:
        """Why the last append, and the last flush, failed."""
        return [trouble for trouble in (self._append_trouble, self._flush_trouble) if trouble is not None]

    def used_bytes(self) -> int:
        """Size of everything on disk. Raises OSError."""
        return sum(map(disk.used_bytes, (self.segment_dir, self._wal_dir, self.catalogue.attachment_dir)))

    def status(self) -> StorageStatus:
        """How the lane is now. Looks at the disk: not for a tight loop."""
        return status_of([self])
