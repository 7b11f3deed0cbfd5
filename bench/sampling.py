"""``script/bench sampling``: whole traces under late spans, disorder and kills, and whether weighted counts are true.

A million spans of 100,000 traces of 12 services arrive in the order of a network that is none: 3 % of the spans come
up to 40 s late. A log is kept as the store keeps it; five times all memory is lost and the log is replayed from the
last checkpoint. Only the sampler's own CPU counts, not the making of spans.
"""

import argparse
import json
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.core.sampling import SamplingConfig
from homeostat.observe.sampling.sampler import Sampler
from homeostat.store.telemetry.schema import SPAN_SCHEMA, trace_keys

SERVICES: Final = 12
OPERATIONS: Final = 5  # of each service
LENGTH_S: Final = 60.0
LATE_SHARE: Final = 0.03
REQUEST_SPANS: Final = 2_000
REQUESTS_PER_CHECKPOINT: Final = 40
ATTRIBUTES: Final = (
    *("http.request.method", "http.route", "http.response.status_code", "server.address", "region", "tenant"),
    *("user.id", "order.id", "db.system", "cache", "attempt", "version"),
)
Counts = npt.NDArray[np.int64]


@dataclass
class Made:
    """All spans in the order in which they arrive, and when."""

    spans: pa.Table
    arrival_s: npt.NDArray[np.float64]
    service: Counts
    traces: int


def make(traces: int, seed: int) -> Made:
    """Traces of 1 to 30 spans (10 on average) that walk through the services; 2 % fail, 1 % take over a second."""
    chance = np.random.default_rng(seed)
    sizes = np.minimum(1 + chance.poisson(9, traces), 30)
    total = int(sizes.sum())
    trace = np.repeat(np.arange(traces), sizes)
    place = np.arange(total) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    root = (SERVICES * chance.random(traces) ** 2).astype(np.int64)  # some services are asked far more than others
    service = np.where(place == 0, root[trace], (root[trace] + place * 7) % SERVICES)
    operation = service * OPERATIONS + chance.integers(OPERATIONS, size=total)
    began_s = np.sort(chance.random(traces)) * LENGTH_S
    duration_ms = np.where(chance.random(traces) < 0.01, 1500.0, chance.lognormal(3, 1, traces))[trace] / (1 + place)
    failed = (chance.random(traces) < 0.02)[trace] & (place == sizes[trace] - 1)
    arrival_s = began_s[trace] + duration_ms / 1000 + chance.exponential(0.1, total)
    late = chance.random(total) < LATE_SHARE
    arrival_s[late] += chance.random(int(late.sum())) * 40
    order = np.argsort(arrival_s)
    table = _table(chance, trace, place, service, operation, began_s, duration_ms, failed)
    return Made(table.take(pa.array(order)).combine_chunks(), arrival_s[order], service[order], traces)


def _table(
    chance: np.random.Generator, trace: Counts, place: Counts, service: Counts, *more: npt.NDArray
) -> pa.Table:
    operation, began_s, duration_ms, failed = more
    total = len(trace)
    high, low = (chance.integers(1, 2**63, size=int(trace[-1]) + 1, dtype=np.uint64)[trace] for _ in range(2))
    ids = np.stack([high, low], axis=1).astype(">u8")
    span_ids = (trace * 64 + place + 1).astype(">u8")
    parents = pa.array(
        [None if p == 0 else b for p, b in zip(place, _eights(span_ids - 1), strict=True)], pa.binary(8)
    )
    names = pa.array([f"operation {number}" for number in range(SERVICES * OPERATIONS)])
    services = pa.array([f"service-{number}" for number in range(SERVICES)])
    resources = pa.array([f'{{"service.name": "service-{number}"}}' for number in range(SERVICES)])
    values = pa.array([f"value-{number}" for number in range(1000)]).take(
        pa.array(chance.integers(1000, size=total * len(ATTRIBUTES)))
    )
    keys = pa.array(ATTRIBUTES).take(pa.array(np.tile(np.arange(len(ATTRIBUTES)), total)))
    offsets = pa.array(np.arange(total + 1, dtype=np.int32) * len(ATTRIBUTES))
    given = {
        "trace_id": pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), total, [None, pa.py_buffer(ids)]),
        "span_id": pa.FixedSizeBinaryArray.from_buffers(pa.binary(8), total, [None, pa.py_buffer(span_ids)]),
        "parent_span_id": parents,
        "service": pa.DictionaryArray.from_arrays(pa.array(service.astype(np.int32)), services),
        "resource": pa.DictionaryArray.from_arrays(pa.array(service.astype(np.int32)), resources),
        "name": pa.DictionaryArray.from_arrays(pa.array(operation.astype(np.int32)), names),
        "start_ns": pa.array(((1.78e9 + began_s[trace]) * 1e9).astype(np.int64) + place),
        "duration_ns": pa.array((duration_ms * 1e6).astype(np.int64)),
        "status_code": pa.array(np.where(failed, 2, 0).astype(np.int8)),
        "attributes": pa.MapArray.from_arrays(offsets, keys, values),
    }
    columns = [given[one.name] if one.name in given else _nothing(one, total) for one in SPAN_SCHEMA]
    return pa.Table.from_arrays(columns, schema=SPAN_SCHEMA)


def _eights(ids: npt.NDArray) -> list[bytes]:
    data = ids.tobytes()
    return [data[start : start + 8] for start in range(0, len(data), 8)]


def _nothing(column: pa.Field, rows: int) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([""]))
    if pa.types.is_list(column.type):
        return pa.ListArray.from_arrays(pa.array(np.zeros(rows + 1, np.int32)), pa.array([], column.type.value_type))
    if pa.types.is_string(column.type):
        return pa.repeat(pa.scalar("", column.type), rows)
    return (
        pa.array(np.zeros(rows), column.type)
        if pa.types.is_floating(column.type)
        else pa.repeat(pa.scalar(0, column.type), rows)
    )


@dataclass
class Logged:
    """A sampler between a log and segments. What is not in a checkpoint is lost by ``kill``."""

    config: SamplingConfig
    log: list[tuple[float, pa.Table]] = field(default_factory=list)
    hot: list[pa.Table] = field(default_factory=list)
    segments: list[pa.Table] = field(default_factory=list)
    checkpoint: int = 0
    replay_from: int = 1
    snapshot: bytes | None = None
    cpu_s: float = 0.0
    spans: int = 0

    def __post_init__(self) -> None:
        self.sampler = Sampler(self.config, seed=1)

    def submit(self, now_s: float, spans: pa.Table) -> None:
        """A request arrives."""
        self.log.append((now_s, spans))
        self._take(len(self.log))
        if len(self.log) % REQUESTS_PER_CHECKPOINT == 0:
            self._seal()

    def _take(self, seq: int) -> None:
        now_s, spans = self.log[seq - 1]
        started = time.process_time()
        late = self.sampler.take(spans, seq, seq, now_s, settled=seq <= self.checkpoint)
        made = self.sampler.due(now_s)
        self.cpu_s += time.process_time() - started
        self.spans += spans.num_rows
        self.hot += [late] if late is not None else []
        self.hot += [made.spans] if made is not None else []

    def _seal(self) -> None:
        started = time.process_time()
        self.snapshot = self.sampler.snapshot()
        self.cpu_s += time.process_time() - started
        self.checkpoint = len(self.log)
        self.replay_from = self.sampler.oldest_pending_seq() or self.checkpoint + 1
        self.segments += self.hot
        self.hot = []

    def kill(self) -> None:
        """Everything in memory is gone; start again and replay."""
        self.hot = []
        self.sampler = Sampler(self.config, seed=1)
        if self.snapshot is not None:
            self.sampler.restore(self.snapshot)
        for seq in range(self.replay_from, len(self.log) + 1):
            self._take(seq)

    def finish(self, now_s: float) -> pa.Table:
        """Decide what is left; all that is stored."""
        made = self.sampler.due(now_s, force=True)
        self.hot += [made.spans] if made is not None else []
        return pa.concat_tables([*self.segments, *self.hot])


def _requests(made: Made) -> Iterator[tuple[float, pa.Table]]:
    for start in range(0, made.spans.num_rows, REQUEST_SPANS):
        stop = min(start + REQUEST_SPANS, made.spans.num_rows)
        # A copy of its own, as the decoder makes one: a slice would keep all of the others in memory.
        part = made.spans.take(pa.array(np.arange(start, stop)))
        yield float(made.arrival_s[stop - 1]), part


def _keys(table: pa.Table) -> npt.NDArray[np.uint64]:
    return np.concatenate([trace_keys(chunk) for chunk in table.column("trace_id").chunks])


def _half_kept(made: Made, stored: pa.Table) -> int:
    """Traces of which some spans are stored and others are not, or one twice."""
    sent, sizes = np.unique(_keys(made.spans), return_counts=True)
    kept, found = np.unique(_keys(stored), return_counts=True)
    return int((sizes[np.searchsorted(sent, kept)] != found).sum())


def _errors(made: Made, stored: pa.Table) -> dict[str, float]:
    weight = 1 / stored.column("sampling_probability").to_numpy()
    is_root = stored.column("parent_span_id").is_null().to_numpy(zero_copy_only=False)
    names = stored.column("service").to_pylist()
    service = np.array([int(name.partition("-")[2]) for name in names])
    root = made.spans.column("parent_span_id").is_null().to_numpy(zero_copy_only=False)

    def percent(true: npt.NDArray, estimate: npt.NDArray) -> float:
        return round(float(np.max(np.abs(estimate - true) / np.maximum(true, 1)) * 100), 3)

    def by_service(which: npt.NDArray, weights: npt.NDArray | None = None) -> npt.NDArray:
        return np.bincount(which, weights, minlength=SERVICES)

    return {
        "weighted_trace_error_percent": percent(np.array([made.traces]), np.array([weight[is_root].sum()])),
        "weighted_span_error_percent": percent(np.array([made.spans.num_rows]), np.array([weight.sum()])),
        "weighted_trace_error_percent_worst_service": percent(
            by_service(made.service[root]), by_service(service[is_root], weight[is_root])
        ),
        "weighted_span_error_percent_worst_service": percent(by_service(made.service), by_service(service, weight)),
    }


def measure(traces: int, restarts: int, seed: int) -> dict[str, float]:
    """Run once; flat numbers."""
    made = make(traces, seed)
    made_rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    logged = Logged(SamplingConfig())
    requests = -(-made.spans.num_rows // REQUEST_SPANS)
    kills = set(np.random.default_rng(seed + 1).choice(np.arange(10, requests), restarts, replace=False).tolist())
    pending = 0
    for number, (now_s, spans) in enumerate(_requests(made)):
        logged.submit(now_s, spans)
        pending = max(pending, logged.sampler.pending_bytes)
        if number in kills:
            logged.kill()
    stored = logged.finish(float(made.arrival_s[-1]) + 60)
    return {
        "traces": made.traces,
        "spans": made.spans.num_rows,
        "restarts": restarts,
        "half_kept": _half_kept(made, stored),
        **_errors(made, stored),
        "kept_trace_percent": round(100 * len(np.unique(_keys(stored))) / made.traces, 2),
        "kept_span_percent": round(100 * stored.num_rows / made.spans.num_rows, 2),
        "spans_per_cpu_second": round(logged.spans / logged.cpu_s),
        "replayed_spans": logged.spans - made.spans.num_rows,
        "snapshot_bytes": len(logged.snapshot or b""),
        "peak_pending_mb": round(pending / 2**20, 1),
        "made_rss_mb": round(made_rss_mb, 1),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def main(argv: list[str] | None = None) -> None:
    """Print the numbers, one line each or as one JSON object."""
    parser = argparse.ArgumentParser(prog="bench.sampling", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one flat JSON object")
    parser.add_argument("--traces", type=int, default=100_000, help="of ten spans each (default 100,000)")
    parser.add_argument("--restarts", type=int, default=5, help="kills on the way (default 5)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    numbers = measure(options.traces, options.restarts, options.seed)
    if options.json:
        print(json.dumps(numbers))
        return
    for name, value in numbers.items():
        print(f"{name:45} {value:>14,}")


if __name__ == "__main__":
    main()
