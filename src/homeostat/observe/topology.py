"""Who calls whom: server spans joined with the client spans that they answer, across requests and processes.

Used by ``observe.red`` under its lock. A call's two halves come from two processes, in any order, usually within
seconds: each half waits for the other for at least ``WAIT_S`` and at most twice as long, within a bound.
"""

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.core.red import Edge
from homeostat.observe.red_buckets import Buckets, Keys, Sums, Timed, add_up
from homeostat.observe.red_delta import EDGE_BITS, Growing
from homeostat.observe.waiting import WAIT_S, WAITING_MAX, Call, WaitingCalls
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.schema import (
    KIND_CLIENT,
    KIND_CONSUMER,
    KIND_PRODUCER,
    KIND_SERVER,
    STATUS_ERROR,
    column,
    id_words,
)

_CALLEE: Final = (1 << EDGE_BITS) - 1
_TRACE_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)

_AGES: Final = ("young", "old")
_NOWHERE: Final = np.int64(-1)

Numbers = npt.NDArray[np.int64]


def edge_key(caller: int, callee: int) -> int:
    """An edge as a number, from the numbers of its services."""
    return caller << EDGE_BITS | callee


class _WaitingClients:
    """Services by span, in two generations: the older one is forgotten when the younger one is full or old."""

    def __init__(self) -> None:
        self._young: dict[int, int] = {}
        self._old: dict[int, int] = {}
        self._since_s = 0

    def turn(self, coming: int, now_s: int) -> None:
        """Make room for so many."""
        if len(self._young) + coming > WAITING_MAX or abs(now_s - self._since_s) >= WAIT_S:
            self._old, self._young, self._since_s = self._young, {}, now_s

    def put_all(self, keys: Sequence[int], services: Sequence[int]) -> None:
        self._young.update(zip(keys, services, strict=False))

    def get(self, key: int) -> int | None:
        service = self._young.get(key)
        return service if service is not None else self._old.get(key)

    def generations(self) -> tuple[dict[int, int], dict[int, int]]:
        """The younger and the older one."""
        return self._young, self._old

    def begin(self, young: dict[int, int], old: dict[int, int], now_s: int) -> None:
        """With those that waited when this was saved."""
        self._young, self._old, self._since_s = young, old, now_s


@dataclass(frozen=True, slots=True)
class _Calls:
    """Server and consumer spans, one entry each."""

    callee: Numbers
    end_s: Numbers
    error: npt.NDArray[np.float64]
    duration_ms: npt.NDArray[np.float64]

    def take(self, rows: Numbers) -> "_Calls":
        """Some of them."""
        return _Calls(self.callee[rows], self.end_s[rows], self.error[rows], self.duration_ms[rows])

    def tuples(self) -> list[Call]:
        """As they wait for their callers."""
        columns = (self.end_s, self.callee, self.error, self.duration_ms)
        return list(zip(*(values.tolist() for values in columns), strict=True))

    @classmethod
    def of(cls, calls: list[Call]) -> "_Calls":
        """Back from waiting."""
        end_s, callee, error, duration_ms = zip(*calls, strict=True)
        return cls(np.array(callee), np.array(end_s), np.array(error), np.array(duration_ms))


class Topology:
    """Edges per second, in ``buckets``: requests, errors, duration in ms of the callee's spans."""

    def __init__(self, buckets: Buckets) -> None:
        self.buckets = buckets
        self.delta: Growing | None = None  # what is counted is added to it as well
        self._clients = _WaitingClients()
        self._servers = WaitingCalls()

    def fold(self, spans: pa.Table, end_s: Numbers, service: Numbers, now_s: int) -> None:
        """Join what a batch brings. ``end_s`` and ``service`` (its number): one entry per span."""
        kind = column(spans, "kind").to_numpy()
        trace = id_words(column(spans, "trace_id"))[:, 1] * _TRACE_FACTOR
        client = np.flatnonzero((kind == KIND_CLIENT) | (kind == KIND_PRODUCER))
        own, caller = (id_words(column(spans, "span_id"))[:, 0] ^ trace)[client], service[client]
        parent, calls = _servers(spans, kind, trace, end_s, service)
        place = _find(own, parent)
        joined = np.flatnonzero(place != _NOWHERE)
        self._count(caller[place[joined]], calls.take(joined))
        answered = np.zeros(len(client), dtype=np.bool_)
        answered[place[joined]] = True
        waiting = ~answered | (kind[client] == KIND_PRODUCER)  # a message may have many consumers
        alone = np.flatnonzero(place == _NOWHERE)[:WAITING_MAX]
        self._join_servers(parent[alone].tolist(), calls.take(alone), now_s)
        self._join_clients(own[waiting].tolist()[:WAITING_MAX], caller[waiting].tolist(), now_s)

    def _join_servers(self, parents: list[int], calls: _Calls, now_s: int) -> None:
        """Server spans whose client span came before, or has still to come."""
        self._servers.turn(len(parents), now_s)
        callers = [self._clients.get(parent) for parent in parents]
        known = np.array([caller is not None for caller in callers], dtype=np.bool_)
        self._count(np.array([caller for caller in callers if caller is not None]), calls.take(np.flatnonzero(known)))
        late = np.flatnonzero(~known)
        self._servers.put((parents[row] for row in late.tolist()), calls.take(late).tuples())

    def _join_clients(self, keys: list[int], services: list[int], now_s: int) -> None:
        """Client spans whose server span came before, or has still to come."""
        self._clients.turn(len(keys), now_s)
        self._clients.put_all(keys, services)
        waiting = self._servers.known(keys)
        if not waiting:
            return
        callers_by_key = dict(zip(keys, services, strict=False))
        callers: list[int] = []
        calls: list[Call] = []
        for key in waiting:
            answers = self._servers.pop(key)
            callers += [callers_by_key[key]] * len(answers)
            calls += answers
        if calls:
            self._count(np.array(callers), _Calls.of(calls))

    def _count(self, callers: Numbers, calls: _Calls) -> None:
        if not len(callers):
            return
        keys: Keys = (callers.astype(np.int64) << EDGE_BITS) | calls.callee
        sums: Sums = np.stack([np.ones(len(keys)), calls.error, calls.duration_ms], axis=1)
        counted = Timed(calls.end_s, keys, sums).added_up()
        for part in counted.by_second():
            self.buckets.add(*part)
        if self.delta is not None:
            self.delta.add(counted)

    def snapshot(self, services: Sequence[str]) -> bytes:
        """Both kinds of halves that wait, for ``restore``. ``services``: the names by number."""
        arrays: dict[str, npt.NDArray[np.generic]] = {"services": np.array(services or [""], dtype=np.str_)}
        for age, clients in zip(_AGES, self._clients.generations(), strict=True):
            arrays[f"{age}_clients"] = np.fromiter(clients, np.uint64, len(clients))
            arrays[f"{age}_callers"] = np.fromiter(clients.values(), np.int32, len(clients))
        for age, servers in zip(_AGES, self._servers.generations(), strict=True):
            pairs = [(key, call) for key, calls in servers.items() for call in calls]
            arrays[f"{age}_servers"] = np.array([key for key, _ in pairs], dtype=np.uint64)
            arrays[f"{age}_calls"] = np.array([call for _, call in pairs], dtype=np.float64).reshape(-1, 4)
        file = io.BytesIO()
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType] (the stubs take its keywords for options)
        return file.getvalue()

    def restore(self, data: bytes, number: Callable[[str], int], now_s: int) -> None:
        """What ``snapshot`` gave. ``number``: a service's number by its name. Raises ValueError for anything else."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                numbers = [number(name) for name in arrays["services"].tolist()]
                clients = [_clients_of(arrays[f"{age}_clients"], arrays[f"{age}_callers"], numbers) for age in _AGES]
                servers = [_servers_of(arrays[f"{age}_servers"], arrays[f"{age}_calls"], numbers) for age in _AGES]
        except (OSError, KeyError, IndexError, zipfile.BadZipFile, EOFError) as error:
            raise ValueError(f"not a topology that was saved: {error}") from error
        self._clients.begin(clients[0], clients[1], now_s)
        self._servers.begin(servers[0], servers[1], now_s)

    def edges(self, start_s: int, end_s: int, services: Sequence[str]) -> list[Edge]:
        """Calls over ``[start_s, end_s)``, by caller and callee. ``services``: the names by number."""
        keys, sums = add_up(*self.buckets.total(start_s, end_s))
        found = [
            Edge(services[key >> EDGE_BITS], services[key & _CALLEE], round(row[0]), round(row[1]), float(row[2]))
            for key, row in zip(map(int, keys), sums, strict=True)
        ]
        return sorted(found, key=lambda edge: (edge.caller, edge.callee))


def _clients_of(
    keys: npt.NDArray[np.uint64], callers: npt.NDArray[np.int32], numbers: Sequence[int]
) -> dict[int, int]:
    return {key: numbers[caller] for key, caller in zip(keys.tolist(), callers.tolist(), strict=True)}


def _servers_of(
    keys: npt.NDArray[np.uint64], calls: npt.NDArray[np.float64], numbers: Sequence[int]
) -> dict[int, list[Call]]:
    found: dict[int, list[Call]] = {}
    for key, (second, callee, error, duration_ms) in zip(keys.tolist(), calls.tolist(), strict=True):
        found.setdefault(key, []).append((int(second), numbers[int(callee)], error, duration_ms))
    return found


def _servers(
    spans: pa.Table, kind: npt.NDArray[np.int8], trace: npt.NDArray[np.uint64], end_s: Numbers, service: Numbers
) -> tuple[npt.NDArray[np.uint64], _Calls]:
    """The server and consumer spans that have a parent: keys of their parents, and the calls."""
    parent = column(spans, "parent_span_id")
    has_parent = pc.is_valid(parent).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(((kind == KIND_SERVER) | (kind == KIND_CONSUMER)) & has_parent)
    error = (column(spans, "status_code").to_numpy()[rows] == STATUS_ERROR).astype(np.float64)
    duration_ms = column(spans, "duration_ns").to_numpy()[rows] / 1e6
    keys = (id_words(parent)[:, 0] ^ trace)[rows]
    return keys, _Calls(service[rows], end_s[rows], error, duration_ms)


def _find(keys: npt.NDArray[np.uint64], wanted: npt.NDArray[np.uint64]) -> Numbers:
    """Where each wanted key is among the keys, or ``_NOWHERE``."""
    if not len(keys):
        return np.full(len(wanted), _NOWHERE)
    order = np.argsort(keys)
    place = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
    return np.where(keys[order[place]] == wanted, order[place], _NOWHERE)
