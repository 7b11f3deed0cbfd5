"""RED with a memory: what ``red`` holds of the last hours, and what was persisted before. ``core.ports.RedHistory``.

At each checkpoint of the trace log everything that was counted since the one before is written as a rollup, named in
the same step: after a crash the files hold what is before the checkpoint, and the log brings the rest. Answers take
what is older than memory from files (and from rollups on their way there), the rest from memory; the beginning of a
minute divides them. Made by ``pipeline``; ``trace_keeper`` writes, everybody reads.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

import pyarrow as pa

from homeostat.core.errors import StoreCorruptError, StoreError
from homeostat.core.ports import Clock
from homeostat.core.red import Edge, RedMinutes, RedPoint, RedReach
from homeostat.core.totals import SpanTotals
from homeostat.observe.presence import Presence
from homeostat.observe.red import Red
from homeostat.observe.red_buckets import MINUTE_S
from homeostat.observe.red_delta import SealedDelta
from homeostat.observe.rollup_reading import (
    HISTOGRAM_COLUMNS,
    MINUTE_COLUMNS,
    STEP_COLUMNS,
    Durations,
    add,
    edges_of,
    minutes_of,
    points_of,
    steps_of,
    together,
    within,
)
from homeostat.store.telemetry.attachments import ROLE_ROLLUP, Attachment
from homeostat.store.telemetry.catalogue import Catalogue
from homeostat.store.telemetry.rollup_files import (
    EDGES,
    OPERATIONS,
    SERVICES,
    Rollup,
    parse_names,
    read_all,
    read_edges,
    read_range,
)
from homeostat.store.telemetry.rollup_merge import merge, to_merge
from homeostat.store.telemetry.rollup_schema import ROLLUP_SCHEMA, Series

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_VIEWS_MAX: Final = 4  # a question that loses a file to a merge looks again, this often


@dataclass(slots=True)
class _Written:
    """A rollup on its way to disk. It counts from here until the catalogue names its files."""

    delta: SealedDelta
    names: frozenset[str] = field(default_factory=frozenset[str])

    def is_in(self, named: set[str]) -> bool:
        """Whether the catalogue, which names these files, names it."""
        return bool(self.names) and self.names <= named


@dataclass(frozen=True, slots=True)
class _View:
    """What there is beside memory."""

    rollups: tuple[Rollup, ...]
    deltas: tuple[SealedDelta, ...]


class Rollups:
    """Thread-safe."""

    def __init__(
        self, red: Red, catalogue: Catalogue, presence: Presence, clock: Clock, retention: timedelta
    ) -> None:
        self._red = red
        self._catalogue = catalogue
        self._presence = presence
        self._clock = clock
        self._retention_s = int(retention.total_seconds())
        self._lock = threading.Lock()
        self._pending: list[_Written] = []
        self._unreadable: dict[Rollup, str] = {}
        self._merger = ThreadPoolExecutor(1, thread_name_prefix="rollups")
        self._merging: Future[tuple[list[Rollup], Rollup]] | None = None

    # -- writing: ``seal`` in the intake thread, ``write`` in the flush thread ---------------------------------

    def seal(self, seq: int) -> "_Written":
        """Close what was counted up to this request; from now on it is to be written."""
        with self._lock:
            written = _Written(self._red.seal_delta(seq))
            self._pending.append(written)
        return written

    def write(self, written: "_Written", directory: Path) -> list[Attachment]:
        """Write it durably. Raises OSError."""
        names = written.delta.write(directory)
        with self._lock:
            written.names = frozenset(names)
            named = set(self._rollup_names())
            self._pending = [one for one in self._pending if not one.is_in(named) and (names or one is not written)]
        return [Attachment(name=name, role=ROLE_ROLLUP) for name in names]

    def tend(self) -> None:
        """Put a finished merge in its place, begin the next, let old rollups go. In the flush thread."""
        if self._merging is not None:
            if not self._merging.done():
                return
            self._take_merged(self._merging)
        now_s = self._now_s()
        rollups = parse_names(self._rollup_names())
        expired = [rollup for rollup in rollups if rollup.to_s < now_s - self._retention_s - MINUTE_S]
        if expired:
            self._replace(expired, [])
            rollups = tuple(rollup for rollup in rollups if rollup not in expired)
        sources, level = to_merge([one for one in rollups if one not in self._unreadable], now_s)
        if sources:
            seconds_from_s = self._red.reach().seconds_from_s
            self._merging = self._merger.submit(self._merge, sources, level, seconds_from_s)

    @property
    def merging(self) -> "Future[tuple[list[Rollup], Rollup]] | None":
        """The merge that is under way: its sources and what becomes of them."""
        return self._merging

    def _merge(self, sources: list[Rollup], level: int, seconds_from_s: int) -> tuple[list[Rollup], Rollup]:
        return sources, merge(self._catalogue.attachment_dir, sources, level, seconds_from_s)

    def _take_merged(self, merging: "Future[tuple[list[Rollup], Rollup]]") -> None:
        self._merging = None
        try:
            sources, merged = merging.result()
        except (OSError, StoreCorruptError, pa.ArrowException) as error:
            logger.warning("Rollups are not merged now: %s", error)
            return
        self._replace(sources, [Attachment(name=name, role=ROLE_ROLLUP) for name in merged.names])

    def _replace(self, old: Sequence[Rollup], new: Sequence[Attachment]) -> None:
        with self._lock:  # nobody may take what is in files for something that is still on its way to them
            named = set(self._rollup_names())
            self._pending = [one for one in self._pending if not one.is_in(named)]
            self._catalogue.replace_attachments({name for one in old for name in one.names}, new)

    def close(self) -> None:
        """Wait for a merge that is under way; note that nobody counts any more."""
        self._merger.shutdown(wait=True, cancel_futures=True)
        self._presence.end()

    # -- reading ------------------------------------------------------------------------------------------------

    def totals(self) -> SpanTotals:
        """Everything since the start."""
        return self._red.totals()

    def services(self) -> list[str]:
        """Every service seen within a day, sorted."""
        return self._red.services()

    def latest_s(self) -> int | None:
        """The newest Unix second for which spans have been counted; None before the first."""
        return self._red.latest_s()

    def reach(self) -> RedReach:
        """How far back the rollups are whole, how finely, and when nobody counted."""
        recent = self._red.reach()
        since_s = self._presence.since_s
        if recent.known_from_s is None or since_s is None:
            return recent
        known_from_s = max(min(since_s, recent.known_from_s), self._now_s() - self._retention_s)
        gaps = [*self._presence.gaps(known_from_s)]
        gaps += [(rollup.from_s, rollup.to_s + MINUTE_S) for rollup in self._unreadable]
        return RedReach(known_from_s, recent.seconds_from_s, tuple(sorted(gaps)))

    def window(self, start_s: int, end_s: int) -> list[RedPoint]:
        """One point per service over ``[start_s, end_s)``; services without spans in it are left out."""
        return self._points(SERVICES, start_s, end_s, self._red.window)

    def operations(self, start_s: int, end_s: int) -> list[RedPoint]:
        """One point per (service, operation) over ``[start_s, end_s)``."""
        return self._points(OPERATIONS, start_s, end_s, self._red.operations)

    def _points(
        self, kind: str, start_s: int, end_s: int, recent: Callable[[int, int], list[RedPoint]]
    ) -> list[RedPoint]:
        def answer(bound_s: int) -> list[RedPoint]:
            if start_s >= bound_s:
                return recent(start_s, end_s)
            older = self._rows(kind, start_s, min(end_s, bound_s), None, ROLLUP_SCHEMA.names)
            newer = recent(bound_s, end_s) if end_s > bound_s else []
            return together(points_of(older, (start_s, end_s), by_service=kind == SERVICES), newer, (start_s, end_s))

        return self._ask(answer)

    def series(self, service: str, start_s: int, end_s: int, step_s: int) -> list[RedPoint]:
        """Points of one service, one per step; a step without spans has ``requests == 0``."""

        def answer(bound_s: int) -> list[RedPoint]:
            newer = self._red.series(service, start_s, end_s, step_s)
            if start_s >= bound_s:
                return newer
            older = self._rows(SERVICES, start_s, min(end_s, bound_s), (service, ""), STEP_COLUMNS)
            found = {one.start_s: one for one in newer}
            for one in steps_of(older, service, start_s, end_s, step_s):
                recent = found[one.start_s]
                found[one.start_s] = add(recent, one, (one.start_s, one.end_s)) if recent.histogram else one
            return list(found.values())

        return self._ask(answer)

    def minutes(
        self,
        service: str,
        start_s: int,
        end_s: int,
        *,
        operation: str | None = None,
        histograms: bool = True,
        within_ms: float | None = None,
    ) -> RedMinutes:
        """The whole minutes that begin in ``[start_s, end_s)``, without those that had no request."""
        start_s = -(-start_s // MINUTE_S) * MINUTE_S
        kind, series = (SERVICES, (service, "")) if operation is None else (OPERATIONS, (service, operation))

        def answer(bound_s: int) -> RedMinutes:
            older: list[pa.Table] = []
            if start_s < bound_s:
                counts_durations = histograms or within_ms is not None
                columns = MINUTE_COLUMNS + HISTOGRAM_COLUMNS if counts_durations else MINUTE_COLUMNS
                older = self._rows(kind, start_s, min(end_s, bound_s), series, columns)
            newer = self._red.minutes(service, operation, max(start_s, bound_s), end_s)
            wanted = Durations(histograms=histograms, within_ms=within_ms)
            return minutes_of(older, newer, (service, operation), (start_s, end_s), wanted)

        return self._ask(answer)

    def edges(self, start_s: int, end_s: int) -> list[Edge]:
        """Who called whom over ``[start_s, end_s)``."""

        def answer(bound_s: int) -> list[Edge]:
            newer = self._red.edges(max(start_s, bound_s), end_s) if end_s > bound_s else []
            if start_s >= bound_s:
                return newer
            return edges_of(self._edge_rows(start_s, min(end_s, bound_s)), newer)

        return self._ask(answer)

    def _ask(self, question: Callable[[int], Answer]) -> Answer:
        """Ask until memory and files have not moved meanwhile."""
        for _ in range(_VIEWS_MAX):
            bound_s = self._red.kept_from_s
            try:
                answer = question(bound_s)
            except FileNotFoundError:
                continue
            if self._red.kept_from_s == bound_s:
                return answer
        raise StoreError("Rollups are merged more quickly than they are read. Ask again.")

    # -- what is not in memory ---------------------------------------------------------------------------------

    def _rows(
        self, kind: str, start_s: int, end_s: int, series: Series | None, columns: Sequence[str]
    ) -> list[pa.Table]:
        """Rows that begin in ``[start_s, end_s)``, of one series or of all."""

        def of_file(rollup: Rollup) -> pa.Table | None:
            path = self._catalogue.attachment_dir / rollup.name(kind)
            return read_all(path, columns) if series is None else read_range(path, series, series, columns)

        view = self._view(start_s, end_s)
        tables = [self._readable(of_file, rollup) for rollup in view.rollups if kind in rollup.kinds]
        for delta in view.deltas:
            rows = delta.service_rows if kind == SERVICES else delta.operation_rows
            if series is not None:
                rows = _only(rows, series)
            tables.append(rows.select(list(columns)))
        found = [within(table, start_s, end_s) for table in tables if table is not None]
        return [table for table in found if table.num_rows]

    def _edge_rows(self, start_s: int, end_s: int) -> list[pa.Table]:
        def of_file(rollup: Rollup) -> pa.Table:
            return read_edges(self._catalogue.attachment_dir / rollup.name(EDGES), start_s, end_s)

        view = self._view(start_s, end_s)
        tables = [self._readable(of_file, rollup) for rollup in view.rollups if EDGES in rollup.kinds]
        tables += [delta.edge_rows for delta in view.deltas]
        return [within(table, start_s, end_s) for table in tables if table is not None]

    def _readable(self, read: Callable[[Rollup], pa.Table | None], rollup: Rollup) -> pa.Table | None:
        """What a file says; a file that can't be read is left out, and its time is unknown from then on."""
        try:
            return read(rollup)
        except StoreCorruptError as error:
            if rollup not in self._unreadable:
                self._unreadable[rollup] = str(error)
                logger.error("%s", error)
            return None

    def _view(self, start_s: int, end_s: int) -> _View:
        with self._lock:
            pending = list(self._pending)
            late = self._red.open_delta(end_s)
            names = self._rollup_names()
        named = set(names)
        deltas = [one.delta for one in pending if not one.is_in(named)]
        rollups = tuple(rollup for rollup in parse_names(names) if rollup.overlaps(start_s, end_s))
        return _View(rollups, tuple(deltas if late is None else [*deltas, late]))

    def _rollup_names(self) -> tuple[str, ...]:
        return tuple(one.name for one in self._catalogue.state.attachments if one.role == ROLE_ROLLUP)

    def _now_s(self) -> int:
        return int(self._clock.now().timestamp())


def _only(table: pa.Table, series: Series) -> pa.Table:
    """The rows of one series. ``series`` need not be among them."""
    service, operation = table["service"].to_pylist(), table["operation"].to_pylist()
    return table.filter(pa.array([pair == series for pair in zip(service, operation, strict=True)], pa.bool_()))
