"""Scripted traffic as a RedReader: what detection and healing are tested with for hours of virtual time.

Services call each other in a chain of dependencies; every request of an entry service becomes one request of each
service below. Requests arrive by chance (Poisson), fail by chance, and take a log-normal time in each service; an
error and a millisecond below are also an error and a millisecond above, as in real traces. A second of telemetry
becomes visible piece by piece, ``delay_s`` after its end of each piece, as batches of an exporter do.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from homeostat.core.ports import Clock
from homeostat.core.red import BUCKETS_PER_OCTAVE, HISTOGRAM_BUCKETS, Edge, RedPoint

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

PIECES = 2  # a second arrives in this many batches
BLOCK_S = 20  # so much is made at once, which is faster than piece by piece
KEEP_S = 1_200  # what a rollup of one-second buckets would still hold, at least as long as anyone here looks back
REQUESTS, ERRORS, DURATION_US, DOWN_REQUESTS, DOWN_ERRORS, DOWN_DURATION_US = range(6)
HISTOGRAM = 6  # first column of the histogram
COLUMNS = HISTOGRAM + HISTOGRAM_BUCKETS


@dataclass(frozen=True, slots=True)
class SimService:
    """One service when all is well. ``entry_rate``: requests a second that come from outside."""

    name: str
    calls: tuple[str, ...] = ()
    entry_rate: float = 0.0
    error_rate: float = 0.0  # of its own making, 0..1
    median_ms: float = 10.0  # of its own time
    spread: float = 0.5  # standard deviation of the logarithm
    operations: tuple[str, ...] = ("handle",)


@dataclass(frozen=True, slots=True)
class Disturbance:
    """From ``start_s`` to ``end_s`` (virtual seconds) a service behaves otherwise. None leaves a value as it is."""

    service: str
    start_s: float
    end_s: float = math.inf
    error_rate: float | None = None
    added_ms: float | None = None
    added_share: float = 1.0  # of the requests that get ``added_ms``
    silent: bool = False  # it answers nobody: callers fail, and it sends no spans
    operation: str | None = None  # only this one

    def active(self, moment_s: Floats) -> Flags:
        """At which of these moments it acts."""
        return (moment_s >= self.start_s) & (moment_s < self.end_s)


@dataclass(frozen=True, slots=True)
class _Block:
    """What was made ahead for the pieces from ``first_piece`` on: counts by piece, series and column."""

    first_piece: int
    counts: Ints  # [piece, series, COLUMNS]
    edges: Ints  # [piece, edge, requests|errors|microseconds]
    visible_at: Floats  # [piece, service]


@dataclass(frozen=True, slots=True)
class _Sent:
    """One piece on its way: every service's batch becomes visible at a time of its own."""

    second: int
    counts: Ints  # [series, COLUMNS]
    edges: Ints  # [edge, 3]
    visible_at: Floats  # [service]
    waiting: Flags  # [service]


class SimTraffic:
    """core.ports.RedReader over scripted services. Virtual time comes from ``clock``; the same seed, same traffic."""

    def __init__(
        self,
        clock: Clock,
        services: Sequence[SimService],
        disturbances: Sequence[Disturbance] = (),
        *,
        seed: int = 0,
        delay_s: tuple[float, float] = (0.5, 1.2),
    ) -> None:
        self._clock = clock
        self._offset_s = math.floor(clock.now().timestamp() - clock.monotonic())
        self._services = {service.name: service for service in _checked(services)}
        self._disturbances = list(disturbances)
        self._random = np.random.default_rng(seed)
        self._delay_s = delay_s
        self._series: list[tuple[str, str | None]] = []
        self._rows: dict[str, slice] = {}
        for service in services:
            first = len(self._series)
            self._series += [(service.name, None), *((service.name, one) for one in service.operations)]
            self._rows[service.name] = slice(first, len(self._series))
        self._edge_names = [(service.name, callee) for service in services for callee in service.calls]
        self._edge_rows = {
            name: [row for row, (caller, _) in enumerate(self._edge_names) if caller == name]
            for name in self._services
        }
        self._ring = np.zeros((KEEP_S, len(self._series), COLUMNS), dtype=np.int64)
        self._edge_ring = np.zeros((KEEP_S, len(self._edge_names), 3), dtype=np.int64)
        self._latest: int | None = None
        self._block: _Block | None = None
        self._made_to = 0  # first piece that has not been made
        places = {name: place for place, name in enumerate(self._services)}
        self._whole_rows = np.array([self._rows[name].start for name in self._services])
        self._place_of_row = np.array([places[name] for name, _ in self._series])
        self._place_of_edge = np.array([places[caller] for caller, _ in self._edge_names], dtype=np.int64)
        self._sent: list[_Sent] = []
        self._advanced_to = -1.0
        self._folded = 0
        self._last_sum: tuple[tuple[int, int, int], Ints] | None = None
        self._scheduled_to = 0  # first piece whose batches have not been sent off

    # -- the script -----------------------------------------------------------------------------------------

    def disturb(self, disturbance: Disturbance) -> None:
        """Add a disturbance while time runs; it acts from now on at the earliest."""
        self._change([*self._disturbances, disturbance])

    def calm(self, service: str) -> None:
        """End every disturbance of a service now: what a fix does."""
        now = self._clock.monotonic()
        self._change(
            [replace(one, end_s=min(one.end_s, now)) if one.service == service else one for one in self._disturbances]
        )

    def _change(self, disturbances: list[Disturbance]) -> None:
        self._advance()
        self._disturbances = disturbances
        self._made_to = self._scheduled_to  # what was made ahead is made again, under the new script
        self._block = None

    # -- RedReader ------------------------------------------------------------------------------------------

    def services(self) -> list[str]:
        """Every service that has sent anything, sorted."""
        self._advance()
        return sorted(name for name, rows in self._rows.items() if self._ring[:, rows.start, REQUESTS].any())

    def latest_s(self) -> int | None:
        """The newest Unix second with a visible span."""
        self._advance()
        return None if self._latest is None else self._latest + self._offset_s

    def window(self, start_s: int, end_s: int) -> list[RedPoint]:
        """One point per service with spans in ``[start_s, end_s)``."""
        return self._points(start_s, end_s, [row for row, key in enumerate(self._series) if key[1] is None])

    def operations(self, start_s: int, end_s: int) -> list[RedPoint]:
        """One point per service and operation with spans in ``[start_s, end_s)``."""
        return self._points(start_s, end_s, [row for row, key in enumerate(self._series) if key[1] is not None])

    def series(self, service: str, start_s: int, end_s: int, step_s: int) -> list[RedPoint]:
        """Points of one service, one per step; nothing for a service that is not in the script."""
        self._advance()
        if service not in self._rows:
            return []
        row = self._rows[service].start
        return [
            self._point(row, self._sum(self._ring, start, min(start + step_s, end_s))[row], start, start + step_s)
            for start in range(start_s, end_s, step_s)
        ]

    def edges(self, start_s: int, end_s: int) -> list[Edge]:
        """Who called whom."""
        self._advance()
        sums = self._sum(self._edge_ring, start_s, end_s)
        return [
            Edge(caller, callee, int(sums[row, 0]), int(sums[row, 1]), float(sums[row, 2]) / 1000.0)
            for row, (caller, callee) in enumerate(self._edge_names)
            if sums[row, 0]
        ]

    def _points(self, start_s: int, end_s: int, rows: list[int]) -> list[RedPoint]:
        self._advance()
        # Services and operations of one window are mostly asked for one after the other.
        asked = (start_s, end_s, self._folded)
        if self._last_sum is None or self._last_sum[0] != asked:
            self._last_sum = (asked, self._sum(self._ring, start_s, end_s))
        sums = self._last_sum[1]
        return [self._point(row, sums[row], start_s, end_s) for row in rows if sums[row, REQUESTS]]

    def _sum(self, ring: Ints, start_s: int, end_s: int) -> Ints:
        """Sums over the seconds ``[start_s, end_s)`` that are still held."""
        newest = -1 if self._latest is None else self._latest
        first = max(0, newest - KEEP_S + 1, start_s - self._offset_s)
        last = min(newest + 1, end_s - self._offset_s)
        if last <= first:
            return np.zeros(ring.shape[1:], dtype=np.int64)
        low, high = first % KEEP_S, (last - 1) % KEEP_S + 1
        if low < high:
            return ring[low:high].sum(axis=0)
        return ring[low:].sum(axis=0) + ring[:high].sum(axis=0)

    def _point(self, row: int, sums: Ints, start_s: int, end_s: int) -> RedPoint:
        values: list[int] = sums.tolist()
        service, operation = self._series[row]
        return RedPoint(
            service=service,
            operation=operation,
            start_s=start_s,
            end_s=end_s,
            requests=values[REQUESTS],
            errors=values[ERRORS],
            duration_sum_ms=values[DURATION_US] / 1000.0,
            downstream_requests=values[DOWN_REQUESTS],
            downstream_errors=values[DOWN_ERRORS],
            downstream_duration_sum_ms=values[DOWN_DURATION_US] / 1000.0,
            histogram=tuple(values[HISTOGRAM:]),
        )

    # -- time -----------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Send off every piece that is over by now, and let what is due become visible."""
        now = self._clock.monotonic()
        if now == self._advanced_to:
            return
        self._advanced_to = now
        while (self._scheduled_to + 1) / PIECES <= now:
            self._schedule(self._scheduled_to)
            self._scheduled_to += 1
        for sent in self._sent:
            due = (sent.visible_at <= now) & sent.waiting
            if due.any():
                self._fold(sent, due)
        self._sent = [sent for sent in self._sent if sent.waiting.any()]

    def _schedule(self, piece: int) -> None:
        if self._block is None or piece >= self._made_to:
            self._block = self._make_block(piece)
            self._made_to = piece + BLOCK_S * PIECES
        block, index = self._block, piece - self._block.first_piece
        counts = block.counts[index]
        waiting: Flags = counts[self._whole_rows, REQUESTS] > 0
        self._sent.append(_Sent(piece // PIECES, counts, block.edges[index], block.visible_at[index], waiting))

    def _fold(self, sent: "_Sent", due: Flags) -> None:
        """Let the batches of some services (``due``, by place) become visible."""
        if self._latest is None or sent.second > self._latest:
            first = sent.second if self._latest is None else max(self._latest + 1, sent.second - KEEP_S + 1)
            for passed in range(first, sent.second + 1):
                self._ring[passed % KEEP_S] = 0
                self._edge_ring[passed % KEEP_S] = 0
            self._latest = sent.second
        slot = sent.second % KEEP_S
        self._ring[slot] += sent.counts * due[self._place_of_row][:, None]
        self._edge_ring[slot] += sent.edges * due[self._place_of_edge][:, None]
        sent.waiting[due] = False
        self._folded += 1

    # -- making ---------------------------------------------------------------------------------------------

    def _make_block(self, first_piece: int) -> _Block:
        pieces = BLOCK_S * PIECES
        start, ends = first_piece / PIECES, (first_piece + 1 + np.arange(pieces)) / PIECES
        low, high = self._delay_s
        block = _Block(
            first_piece=first_piece,
            counts=np.zeros((pieces, len(self._series), COLUMNS), dtype=np.int64),
            edges=np.zeros((pieces, len(self._edge_names), 3), dtype=np.int64),
            visible_at=ends[:, None] + low + (high - low) * self._random.random((pieces, len(self._services))),
        )
        for entry in self._services.values():
            if entry.entry_rate > 0:
                count = int(self._random.poisson(entry.entry_rate * BLOCK_S))
                self._serve(entry, start + self._random.random(count) * BLOCK_S, block)
        return block

    def _serve(self, service: SimService, moments: Floats, block: _Block) -> tuple[Flags, Floats]:
        """Let a service answer requests at these moments. Returns which failed and how long each took, in ms."""
        count = len(moments)
        piece = ((moments * PIECES).astype(np.int64) - block.first_piece).clip(0, BLOCK_S * PIECES - 1)
        operation = self._random.integers(0, len(service.operations), count)
        failed = self._random.random(count) < self._error_rate(service, moments, operation)
        took = service.median_ms * np.exp(service.spread * self._random.standard_normal(count))
        took += self._added_ms(service, moments, operation)
        silent = self._silent(service, moments)
        down_errors, down_took = np.zeros(count, dtype=np.int64), np.zeros(count)
        for row, callee in zip(self._edge_rows[service.name], service.calls, strict=True):
            below_failed, below_took = self._serve(self._services[callee], moments[~silent], block)
            down_errors[~silent] += below_failed
            down_took[~silent] += below_took
            called = (below_failed >= 0, below_failed, _microseconds(below_took))
            for column, values in enumerate(called):
                _count(block.edges, (piece[~silent], row, column), values.astype(np.int64))
        failed, took = failed | (down_errors > 0), took + down_took
        down = np.full(count, len(service.calls))
        columns = (np.ones(count), failed, _microseconds(took), down, down_errors, _microseconds(down_took))
        first = self._rows[service.name].start
        heard = ~silent
        for row in (np.full(count, first), first + 1 + operation):
            for column, values in enumerate(columns):
                _count(block.counts, (piece[heard], row[heard], column), values[heard].astype(np.int64))
            _count(block.counts, (piece[heard], row[heard], HISTOGRAM + _buckets(took[heard])), 1)
        return failed | silent, np.where(silent, 1.0, took)

    def _error_rate(self, service: SimService, moments: Floats, operation: Ints) -> Floats:
        rate = np.full(len(moments), service.error_rate)
        for one in self._disturbances:
            if one.service == service.name and one.error_rate is not None:
                rate = np.where(_hit(one, service, moments, operation), one.error_rate, rate)
        return rate

    def _added_ms(self, service: SimService, moments: Floats, operation: Ints) -> Floats:
        added = np.zeros(len(moments))
        for one in self._disturbances:
            if one.service == service.name and one.added_ms is not None:
                chosen = self._random.random(len(moments)) < one.added_share
                added += np.where(_hit(one, service, moments, operation) & chosen, one.added_ms, 0.0)
        return added

    def _silent(self, service: SimService, moments: Floats) -> Flags:
        silent = np.zeros(len(moments), dtype=np.bool_)
        for one in self._disturbances:
            if one.service == service.name and one.silent:
                silent |= one.active(moments)
        return silent


def _hit(one: Disturbance, service: SimService, moments: Floats, operation: Ints) -> Flags:
    active = one.active(moments)
    return active if one.operation is None else active & (operation == service.operations.index(one.operation))


def _count(into: Ints, index: tuple[Ints | int, ...], values: Ints | int) -> None:
    """Add ``values`` at an index; one that occurs twice counts twice, which ``into[index] += values`` would not."""
    np.add.at(into, cast("Any", index), values)  # numpy's types do not know index tuples


def _microseconds(took_ms: Floats) -> Ints:
    return (took_ms * 1000.0).astype(np.int64)


def _buckets(took_ms: Floats) -> Ints:
    exponents = np.ceil(BUCKETS_PER_OCTAVE * np.log2(np.maximum(took_ms * 1000.0, 1.0)))
    return exponents.astype(np.int64).clip(0, HISTOGRAM_BUCKETS - 1)


def _checked(services: Sequence[SimService]) -> Sequence[SimService]:
    """The services. Raises ValueError where one calls in a circle or calls a stranger."""
    known = {service.name: service for service in services}

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above or name not in known:
            raise ValueError(f"{name!r} is called in a circle or is not among the services.")
        for callee in known[name].calls:
            visit(callee, (*above, name))

    for service in services:
        visit(service.name, ())
    return services
