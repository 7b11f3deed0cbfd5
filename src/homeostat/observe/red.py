"""RED metrics of every span, folded as batches arrive, with a memory of some hours (``core.ports.RedReader``).

``observe.intake`` folds from its thread; ``observe.rollups`` puts what is persisted behind it, and reads. A span
counts in the second in which it ended.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.core.ports import Clock
from homeostat.core.red import BUCKETS_PER_OCTAVE, HISTOGRAM_BUCKETS, SLOW_ONLY, Edge, RedPoint, RedReach
from homeostat.core.totals import SpanTotals
from homeostat.observe.red_buckets import MINUTE_S, Buckets, Keys, Sums, Timed, add_up
from homeostat.observe.red_delta import BUCKET_BITS, Delta, SealedDelta
from homeostat.observe.span_totals import Totals
from homeostat.observe.topology import Topology, edge_key
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.rollup_schema import Cells
from homeostat.store.telemetry.schema import (
    KIND_CLIENT,
    KIND_CONSUMER,
    KIND_PRODUCER,
    KIND_SERVER,
    STATUS_ERROR,
    column,
)

OTHER: Final = "<other>"
"""What operations (and services) beyond the bound are counted under."""

RED_COLUMNS: Final = (
    "trace_id",
    "span_id",
    "parent_span_id",
    "service",
    "name",
    "kind",
    "scope",
    "start_ns",
    "duration_ns",
    "status_code",
)
"""What ``Red.fold`` reads of a span."""

SECONDS_KEPT: Final = 30 * 60
_MINUTES_KEPT: Final = 24 * 60
_LATE_S: Final = 60  # the first batch may tell of so long before it; a span from last week does not make a week known
_FUTURE_S_MAX: Final = 2  # a clock that is further ahead is not believed: its spans count in the present second
_BUCKET_MASK: Final = (1 << BUCKET_BITS) - 1
assert HISTOGRAM_BUCKETS <= 1 << BUCKET_BITS
ALL_MINUTES: Final = 1 << 33  # later than any second: all of it is by the minute
_COLUMNS: Final = 6  # requests, errors, duration, downstream requests, errors, duration; durations in ms


@dataclass(frozen=True, slots=True)
class MinuteRows:
    """Minutes of one series, one row each."""

    start_s: Keys
    sums: Sums  # (minutes, 6)
    histogram: npt.NDArray[np.int64]  # (minutes, HISTOGRAM_BUCKETS)


@dataclass(frozen=True, slots=True)
class RedLimits:
    """Bounds of the memory: about 60 bytes for each row."""

    services: int = 1_000
    operations: int = 4_096  # pairs of service and operation
    rows: int = 1_000_000
    minutes: int = _MINUTES_KEPT


class _Names:
    """Numbers for services and for pairs (service, operation). They only grow, up to their bounds."""

    def __init__(self, limits: RedLimits) -> None:
        self._limits = limits
        self.services: list[str] = []
        self._service_number: dict[str, int] = {}
        self.operations: list[str] = []  # by pair
        self.service_of_pair: list[int] = []
        self._pair_number: dict[tuple[int, str], int] = {}

    def service(self, name: str) -> int:
        """The number of a service."""
        number = self._service_number.get(name)
        if number is None:
            if len(self.services) >= self._limits.services and name != OTHER:
                return self.service(OTHER)
            number = self._service_number[name] = len(self.services)
            self.services.append(name)
        return number

    def service_number(self, name: str) -> int | None:
        """The number of a service, or None when it has not been seen."""
        return self._service_number.get(name)

    def pair(self, service: int, operation: str) -> int:
        """The number of an operation of a service."""
        number = self._pair_number.get((service, operation))
        if number is None:
            if len(self.operations) >= self._limits.operations and operation != OTHER:
                return self.pair(service, OTHER)
            number = self._pair_number[service, operation] = len(self.operations)
            self.operations.append(operation)
            self.service_of_pair.append(service)
        return number


def histogram_index(duration_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The exponential bucket of each duration (``core.red``): bucket i holds (2^((i-1)/8), 2^(i/8)] microseconds."""
    micros = np.maximum(duration_ns, 1) / 1000.0
    index = np.ceil(np.log2(micros) * BUCKETS_PER_OCTAVE)
    return np.clip(index, 0, HISTOGRAM_BUCKETS - 1).astype(np.int64)


class Red:
    """The rollups. Thread-safe."""

    def __init__(self, clock: Clock, limits: RedLimits | None = None) -> None:
        limits = limits or RedLimits()
        self._clock = clock
        self._lock = threading.Lock()
        self._names = _Names(limits)
        kept = {"seconds_kept": SECONDS_KEPT, "minutes_kept": limits.minutes, "rows_max": limits.rows}
        self._counts = Buckets(_COLUMNS, **kept)
        self._histograms = Buckets(1, **kept)
        self._topology = Topology(Buckets(3, **kept))
        self._delta: Delta | None = None
        self._latest_s: int | None = None
        self._first_s: int | None = None  # the oldest second of which there was any span
        self._known_from_s: int | None = None
        self._last_seen: dict[int, int] = {}  # service number -> second
        self._totals = Totals()

    # -- writing ---------------------------------------------------------------------------------------------

    def fold(self, spans: pa.Table) -> None:
        """Count every span of a batch."""
        if not spans.num_rows:
            return
        now_s = int(self._clock.now().timestamp())
        batch = _Batch.of(spans, now_s)
        services = self._number_services(batch)
        pairs = self._number_pairs(batch, services)
        counts, histograms = _count_parts(batch, pairs), _histogram_parts(batch, pairs)
        service_of_span = services[batch.service_codes]
        roots = np.flatnonzero(batch.is_root)
        root_buckets = histogram_index(batch.duration_ns[roots])
        with self._lock:
            self._totals.add(counts, histograms)
            self._totals.add_spans(batch.kind, service_of_span[roots], root_buckets, batch.duration_ns[roots])
            for second, keys, sums in counts.by_second():
                self._counts.add(second, keys, sums)
            for second, keys, sums in histograms.by_second():
                self._histograms.add(second, keys, sums)
            if self._delta is not None:
                self._delta.counts.add(counts)
                self._delta.histograms.add(histograms)
            self._topology.fold(spans, batch.end_s, service_of_span, now_s)
            self._note_seen(batch, service_of_span, now_s)
            for buckets in (self._counts, self._histograms, self._topology.buckets):
                buckets.tidy(now_s)

    def restored(self, from_s: int) -> None:
        """What has been folded so far is from before the start, and whole from this Unix second on."""
        with self._lock:
            if self._first_s is not None:
                self._known_from_s = max(from_s, self._first_s)

    def _note_seen(self, batch: "_Batch", service_of_span: npt.NDArray[np.int64], now_s: int) -> None:
        newest, oldest = int(batch.end_s.max()), int(batch.end_s.min())
        self._first_s = oldest if self._first_s is None else min(oldest, self._first_s)
        if self._known_from_s is None:
            self._known_from_s = max(oldest, now_s - _LATE_S)
        self._latest_s = newest if self._latest_s is None else max(self._latest_s, newest)
        for service in np.unique(service_of_span).tolist():
            self._last_seen[service] = max(newest, self._last_seen.get(service, 0))

    def _number_services(self, batch: "_Batch") -> npt.NDArray[np.int64]:
        """The number of each entry of the batch's dictionary of services."""
        with self._lock:
            return np.array([self._names.service(name) for name in batch.services], dtype=np.int64)

    def _number_pairs(self, batch: "_Batch", services: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The pair of each span."""
        width = max(1, len(batch.operations))
        unique, place = np.unique(batch.service_codes * width + batch.operation_codes, return_inverse=True)
        with self._lock:
            numbers = [self._names.pair(int(services[key // width]), batch.operations[key % width]) for key in unique]
        return np.array(numbers, dtype=np.int64)[place]

    # -- what is persisted, for ``rollups`` -------------------------------------------------------------------

    def begin_delta(self) -> None:
        """From now on remember what is folded until ``seal_delta`` asks for it."""
        with self._lock:
            self._begin_delta()

    def _begin_delta(self) -> Delta:
        self._delta = Delta()
        self._topology.delta = self._delta.edges
        return self._delta

    def seal_delta(self, seq: int) -> SealedDelta:
        """What was folded since the last time. ``seq``: the newest request in it."""
        with self._lock:
            sealed = self._sealed(self._delta or Delta(), seq)
            self._begin_delta()
        return sealed

    def open_delta(self, before_s: int) -> SealedDelta | None:
        """What has been folded since the last ``seal_delta``, if any of it is from before this second."""
        with self._lock:
            delta = self._delta
            if delta is None:
                return None
            oldest = [part.oldest_s for part in (delta.counts, delta.edges) if part.oldest_s is not None]
            return self._sealed(delta, 0) if oldest and min(oldest) < before_s else None

    def _sealed(self, delta: Delta, seq: int) -> SealedDelta:
        parts = (delta.counts, delta.histograms, delta.edges)
        return SealedDelta(
            seq=seq,
            seconds_from_s=ALL_MINUTES if any(part.is_by_minute for part in parts) else self._seconds_from_s(),
            services=tuple(self._names.services),
            operations=tuple(self._names.operations),
            service_of_pair=tuple(self._names.service_of_pair),
            counts=delta.counts.whole(),
            histograms=delta.histograms.whole(),
            edges=delta.edges.whole(),
        )

    def waiting_halves(self) -> bytes:
        """The halves of calls that wait for the other half, for ``restore_waiting``."""
        with self._lock:
            return self._topology.snapshot(self._names.services)

    def restore_waiting(self, data: bytes) -> None:
        """What ``waiting_halves`` gave before a restart. Raises ValueError when it is something else."""
        with self._lock:
            self._topology.restore(data, self._names.service, int(self._clock.now().timestamp()))

    def restore_begin(self, kept_from_s: int, seconds_from_s: int) -> None:
        """What is before ``kept_from_s`` is kept elsewhere, what is before ``seconds_from_s`` is by the minute."""
        with self._lock:
            for buckets in self._all_buckets():
                buckets.begin(kept_from_s, seconds_from_s)

    def restore_rows(self, cells: Cells) -> None:
        """Sums that were persisted, of operations."""
        with self._lock:
            pairs = [self._names.pair(self._names.service(service), name) for service, name in cells.names]
            pair = np.array(pairs, dtype=np.int64)
            for part in Timed(cells.time_s, pair[cells.series], cells.sums).added_up().by_second():
                self._counts.add(*part)
            keys = pair[cells.bucket_series] << BUCKET_BITS | cells.bucket
            counts = cells.bucket_count.astype(np.float64)[:, None]
            for part in Timed(cells.bucket_time_s, keys, counts).added_up().by_second():
                self._histograms.add(*part)

    def restore_edges(self, callers: Sequence[str], callees: Sequence[str], edges: Timed) -> None:
        """Edges that were persisted; the keys of ``edges`` say which of the callers and callees a row is about."""
        with self._lock:
            pairs = zip(callers, callees, strict=True)
            keys = [edge_key(self._names.service(caller), self._names.service(callee)) for caller, callee in pairs]
            key = np.array(keys, dtype=np.int64)
            for part in Timed(edges.seconds, key[edges.keys], edges.sums).added_up().by_second():
                self._topology.buckets.add(*part)

    def restore_seen(self, service: str, second: int) -> None:
        """A span of the service ended in this second."""
        with self._lock:
            number = self._names.service(service)
            self._last_seen[number] = max(second, self._last_seen.get(number, 0))
            self._latest_s = max(second, self._latest_s or 0)
            self._first_s = second if self._first_s is None else min(second, self._first_s)

    def _all_buckets(self) -> tuple[Buckets, Buckets, Buckets]:
        return self._counts, self._histograms, self._topology.buckets

    def _seconds_from_s(self) -> int:
        return max(buckets.seconds_from_s for buckets in self._all_buckets())

    @property
    def kept_from_s(self) -> int:
        """What is older has been let go from memory. The beginning of a minute."""
        with self._lock:
            return max(buckets.kept_from_s for buckets in self._all_buckets())

    # -- reading ---------------------------------------------------------------------------------------------

    def forget_totals(self) -> None:
        """Begin ``totals`` anew: what a start reads back was counted before it."""
        with self._lock:
            self._totals = Totals()

    def totals(self) -> SpanTotals:
        """Everything since the start."""
        with self._lock:
            services, owner = self._names.services, self._names.service_of_pair
            names = [(services[owner[pair]], operation) for pair, operation in enumerate(self._names.operations)]
            return self._totals.snapshot(names, services)

    def services(self) -> list[str]:
        """Every service seen within the retention of the rollups, sorted."""
        oldest = int(self._clock.now().timestamp()) - _MINUTES_KEPT * 60
        with self._lock:
            return sorted(self._names.services[number] for number, seen in self._last_seen.items() if seen >= oldest)

    def latest_s(self) -> int | None:
        """The newest Unix second for which spans have been folded; None before the first."""
        return self._latest_s

    def reach(self) -> RedReach:
        """How far back the rollups are whole, and how finely."""
        with self._lock:
            known_from_s = self._known_from_s
            if known_from_s is not None:
                known_from_s = max(known_from_s, self._counts.kept_from_s, self._histograms.kept_from_s)
            return RedReach(known_from_s, self._seconds_from_s())

    def window(self, start_s: int, end_s: int) -> list[RedPoint]:
        """One point per service over ``[start_s, end_s)``; services without spans in it are left out."""
        with self._lock:
            owner = np.array(self._names.service_of_pair, dtype=np.int64)
            counts = self._counts.total(start_s, end_s)
            histograms = self._histograms.total(start_s, end_s)
            names = list(self._names.services)
        return _points([(name, None) for name in names], owner, counts, histograms, (start_s, end_s))

    def operations(self, start_s: int, end_s: int) -> list[RedPoint]:
        """One point per (service, operation) over ``[start_s, end_s)``."""
        with self._lock:
            counts = self._counts.total(start_s, end_s)
            histograms = self._histograms.total(start_s, end_s)
            services, owner = self._names.services, self._names.service_of_pair
            names = [(services[owner[pair]], operation) for pair, operation in enumerate(self._names.operations)]
        return _points(names, np.arange(len(names)), counts, histograms, (start_s, end_s))

    def series(self, service: str, start_s: int, end_s: int, step_s: int) -> list[RedPoint]:
        """Points of one service, one per step; a step without spans has ``requests == 0``."""
        with self._lock:
            wanted = self._pairs_of(service, None)
            counts = list(self._counts.between(start_s, end_s))
            histograms = list(self._histograms.between(start_s, end_s))
        points = {
            at: RedPoint(service=service, operation=None, start_s=at, end_s=min(at + step_s, end_s))
            for at in range(start_s, end_s, step_s)
        }
        times, sums, dense = _stepped(wanted, counts, histograms, start_s, step_s)
        for row, at in enumerate(times.tolist()):
            points[at] = point(service, None, (at, min(at + step_s, end_s)), sums[row], dense[row])
        return list(points.values())

    def minutes(self, service: str, operation: str | None, start_s: int, end_s: int) -> MinuteRows:
        """The minutes that begin in ``[start_s, end_s)`` in which it had spans, oldest first."""
        with self._lock:
            wanted = self._pairs_of(service, operation)
            counts = list(self._counts.by_minute(start_s, end_s))
            histograms = list(self._histograms.by_minute(start_s, end_s))
        return MinuteRows(*_stepped(wanted, counts, histograms, start_s - start_s % MINUTE_S, MINUTE_S))

    def _pairs_of(self, service: str, operation: str | None) -> Keys:
        """The pairs of this service (and operation)."""
        number = self._names.service_number(service)
        owner = np.array(self._names.service_of_pair, dtype=np.int64)
        wanted = owner == (-1 if number is None else number)
        if operation is not None:
            wanted &= np.array([name == operation for name in self._names.operations], dtype=np.bool_)
        return np.flatnonzero(wanted).astype(np.int64)

    def edges(self, start_s: int, end_s: int) -> list[Edge]:
        """Who called whom over ``[start_s, end_s)``."""
        with self._lock:
            return self._topology.edges(start_s, end_s, self._names.services)


@dataclass(frozen=True, slots=True)
class _Batch:
    """The numbers of a batch that folding needs, one entry per span."""

    services: list[str]
    service_codes: npt.NDArray[np.int64]
    operations: list[str]
    operation_codes: npt.NDArray[np.int64]
    end_s: npt.NDArray[np.int64]
    duration_ns: npt.NDArray[np.int64]
    is_entry: npt.NDArray[np.bool_]
    is_downstream: npt.NDArray[np.bool_]
    is_error: npt.NDArray[np.bool_]
    is_root: npt.NDArray[np.bool_]
    kind: npt.NDArray[np.int8]

    @classmethod
    def of(cls, spans: pa.Table, now_s: int) -> "_Batch":
        """Read the columns. Ends in the future count as ``now_s``."""
        spans = spans.select([name for name in RED_COLUMNS if name not in {"trace_id", "span_id"}])
        spans = spans.unify_dictionaries()
        service, operation = column(spans, "service"), column(spans, "name")
        kind = column(spans, "kind").to_numpy()
        is_root = pc.is_null(column(spans, "parent_span_id")).to_numpy(zero_copy_only=False)
        counts = ~_is_slow_only(column(spans, "scope"))
        duration_ns = column(spans, "duration_ns").to_numpy()
        end_s = (column(spans, "start_ns").to_numpy() + duration_ns) // 1_000_000_000
        return cls(
            services=service.dictionary.to_pylist(),
            service_codes=service.indices.to_numpy().astype(np.int64),
            operations=operation.dictionary.to_pylist(),
            operation_codes=operation.indices.to_numpy().astype(np.int64),
            end_s=np.where(end_s > now_s + _FUTURE_S_MAX, now_s, end_s),
            duration_ns=duration_ns,
            is_entry=((kind == KIND_SERVER) | (kind == KIND_CONSUMER) | is_root) & counts,
            is_downstream=((kind == KIND_CLIENT) | (kind == KIND_PRODUCER)) & counts,
            is_error=column(spans, "status_code").to_numpy() == STATUS_ERROR,
            is_root=is_root,
            kind=kind,
        )


def _is_slow_only(scope: pa.DictionaryArray) -> npt.NDArray[np.bool_] | np.bool_:
    """Costs nothing where there are none, which is nearly always."""
    code = scope.dictionary.index(SLOW_ONLY).as_py()
    return np.bool_(False) if code < 0 else scope.indices.to_numpy() == code


def _count_parts(batch: _Batch, pairs: npt.NDArray[np.int64]) -> Timed:
    counted = np.flatnonzero(batch.is_entry | batch.is_downstream)
    entry, downstream = batch.is_entry[counted], batch.is_downstream[counted]
    error, duration_ms = batch.is_error[counted], batch.duration_ns[counted] / 1e6
    sums: Sums = np.stack(
        [
            entry.astype(np.float64),
            (entry & error).astype(np.float64),
            entry * duration_ms,
            downstream.astype(np.float64),
            (downstream & error).astype(np.float64),
            downstream * duration_ms,
        ],
        axis=1,
    )
    return Timed(batch.end_s[counted], pairs[counted], sums).added_up()


def _histogram_parts(batch: _Batch, pairs: npt.NDArray[np.int64]) -> Timed:
    entry = np.flatnonzero(batch.is_entry)
    keys = pairs[entry] << BUCKET_BITS | histogram_index(batch.duration_ns[entry])
    return Timed(batch.end_s[entry], keys, np.ones((len(entry), 1))).added_up()


def point(
    service: str, operation: str | None, window: tuple[int, int], sums: Sums, histogram: npt.NDArray[np.int64]
) -> RedPoint:
    """The six sums and the histogram of one window as a point."""
    requests, errors, duration, down_requests, down_errors, down_duration = sums.tolist()
    return RedPoint(
        service=service,
        operation=operation,
        start_s=window[0],
        end_s=window[1],
        requests=round(requests),
        errors=round(errors),
        duration_sum_ms=duration,
        downstream_requests=round(down_requests),
        downstream_errors=round(down_errors),
        downstream_duration_sum_ms=down_duration,
        histogram=tuple(histogram.tolist()),
    )


def _points(
    names: Sequence[tuple[str, str | None]],
    owner_of_pair: npt.NDArray[np.int64],
    counts: tuple[Keys, Sums],
    histograms: tuple[Keys, Sums],
    window: tuple[int, int],
) -> list[RedPoint]:
    """One point for each owner (a service, or a pair itself) that has any row."""
    keys, sums = counts
    if not len(keys):
        return []
    owners, added = add_up(owner_of_pair[keys], sums)
    histogram_keys, histogram_sums = histograms
    first_cell = np.zeros(int(owner_of_pair.max()) + 1, dtype=np.int64)
    first_cell[owners] = np.arange(len(owners)) * HISTOGRAM_BUCKETS
    cells = first_cell[owner_of_pair][histogram_keys >> BUCKET_BITS] + (histogram_keys & _BUCKET_MASK)
    counts_by_cell = np.bincount(cells, weights=histogram_sums[:, 0], minlength=len(owners) * HISTOGRAM_BUCKETS)
    dense = counts_by_cell.astype(np.int64).reshape(-1, HISTOGRAM_BUCKETS)
    points = [
        point(names[owner][0], names[owner][1], window, added[row], dense[row])
        for row, owner in enumerate(owners.tolist())
    ]
    return sorted(points, key=lambda point: (point.service, point.operation or ""))


def _stepped(
    pairs: Keys,
    counts: Sequence[tuple[int, Keys, Sums]],
    histograms: Sequence[tuple[int, Keys, Sums]],
    start_s: int,
    step_s: int,
) -> tuple[Keys, Sums, npt.NDArray[np.int64]]:
    """First second, sums and histogram of each step in which the pairs have any row, oldest first."""
    _, steps, sums = _rows_of(counts, pairs, pairs + 1, _COLUMNS)
    present, place = np.unique((steps - start_s) // step_s, return_inverse=True)
    added = [np.bincount(place, weights=values, minlength=len(present)) for values in sums.T]
    keys, steps, times = _rows_of(histograms, pairs << BUCKET_BITS, (pairs + 1) << BUCKET_BITS, 1)
    cells = np.searchsorted(present, (steps - start_s) // step_s) * HISTOGRAM_BUCKETS + (keys & _BUCKET_MASK)
    dense = np.bincount(cells, weights=times[:, 0], minlength=len(present) * HISTOGRAM_BUCKETS)
    by_row: Sums = np.stack(added, axis=1).astype(np.float64)
    return present * step_s + start_s, by_row, dense.astype(np.int64).reshape(-1, HISTOGRAM_BUCKETS)


def _rows_of(
    parts: Sequence[tuple[int, Keys, Sums]], begins: Keys, ends: Keys, columns: int
) -> tuple[Keys, Keys, Sums]:
    """Keys, seconds and sums of the rows whose keys lie in one of the ranges. Within a part keys are sorted."""
    found: list[tuple[Keys, Sums]] = []
    seconds: list[int] = []
    for second, keys, sums in parts:
        first = np.searchsorted(keys, begins)
        counts = np.searchsorted(keys, ends) - first
        before = np.cumsum(counts)
        if not len(before) or not before[-1]:
            continue
        rows = np.arange(before[-1]) + np.repeat(first - before + counts, counts)
        found.append((keys[rows], sums[rows]))
        seconds.append(second)
    if not found:
        none = np.zeros(0, dtype=np.int64)
        return none, none, np.zeros((0, columns))
    times = np.repeat(np.array(seconds, dtype=np.int64), [len(keys) for keys, _ in found])
    return np.concatenate([keys for keys, _ in found]), times, np.concatenate([sums for _, sums in found])
