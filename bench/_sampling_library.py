"""The sampler alone, between a log and segments that are in memory: ``python -m bench.sampling --library``.

A log is kept as the store keeps it; so many times all memory is lost and the log is replayed from the last
checkpoint. Only the sampler's own CPU counts, not the making of spans.
"""

import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bench._disorder import OPERATIONS, SERVICES, Made, make
from bench._sampled import figures, stored_spans
from homeostat.core.sampling import SamplingConfig
from homeostat.observe.sampling.sampler import Sampler
from homeostat.store.telemetry.schema import SPAN_SCHEMA

REQUEST_SPANS: Final = 2_000
REQUESTS_PER_CHECKPOINT: Final = 40
ATTRIBUTES: Final = (
    *("http.request.method", "http.route", "http.response.status_code", "server.address", "region", "tenant"),
    *("user.id", "order.id", "db.system", "cache", "attempt", "version"),
)


def _table(made: Made, seed: int) -> pa.Table:
    """Every span, as it was made."""
    total = made.spans
    ids, span_ids = made.ids[made.trace].astype(">u8"), made.span_ids.astype(">u8")
    parents = pa.array(
        [None if p == 0 else b for p, b in zip(made.place.tolist(), _eights(span_ids - 1), strict=True)],
        pa.binary(8),
    )
    words = {
        "service": (made.service, [f"service-{number}" for number in range(SERVICES)]),
        "resource": (made.service, [f'{{"service.name": "service-{number}"}}' for number in range(SERVICES)]),
        "name": (made.operation, [f"operation {number}" for number in range(SERVICES * OPERATIONS)]),
    }
    given = {
        "trace_id": pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), total, [None, pa.py_buffer(ids)]),
        "span_id": pa.FixedSizeBinaryArray.from_buffers(pa.binary(8), total, [None, pa.py_buffer(span_ids)]),
        "parent_span_id": parents,
        "start_ns": pa.array(((1.78e9 + made.began_s[made.trace]) * 1e9).astype(np.int64) + made.place),
        "duration_ns": pa.array((made.duration_ms * 1e6).astype(np.int64)),
        "status_code": pa.array(np.where(made.failed, 2, 0).astype(np.int8)),
        "attributes": _attributes(total, seed),
    } | {
        name: pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(texts))
        for name, (codes, texts) in words.items()
    }
    columns = [given[one.name] if one.name in given else _nothing(one, total) for one in SPAN_SCHEMA]
    return pa.Table.from_arrays(columns, schema=SPAN_SCHEMA)


def _attributes(spans: int, seed: int) -> pa.Array:
    numbers = np.random.default_rng(seed).integers(1000, size=spans * len(ATTRIBUTES))
    values = pa.array([f"value-{number}" for number in range(1000)]).take(pa.array(numbers))
    keys = pa.array(ATTRIBUTES).take(pa.array(np.tile(np.arange(len(ATTRIBUTES)), spans)))
    return pa.MapArray.from_arrays(pa.array(np.arange(spans + 1, dtype=np.int32) * len(ATTRIBUTES)), keys, values)


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


def _requests(made: Made, arrived: pa.Table) -> Iterator[tuple[float, pa.Table]]:
    for start in range(0, made.spans, REQUEST_SPANS):
        stop = min(start + REQUEST_SPANS, made.spans)
        # A copy of its own, as the decoder makes one: a slice would keep all of the others in memory.
        part = arrived.take(pa.array(np.arange(start, stop)))
        yield float(made.arrival_s[made.order[stop - 1]]), part


def measure(traces: int, restarts: int, seed: int) -> dict[str, float]:
    """Run once; flat numbers."""
    made = make(traces, seed)
    arrived = _table(made, seed).take(pa.array(made.order)).combine_chunks()
    made_rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    logged = Logged(SamplingConfig())
    requests = -(-made.spans // REQUEST_SPANS)
    kills = set(np.random.default_rng(seed + 1).choice(np.arange(10, requests), restarts, replace=False).tolist())
    pending = 0
    for number, (now_s, spans) in enumerate(_requests(made, arrived)):
        logged.submit(now_s, spans)
        pending = max(pending, logged.sampler.pending_bytes)
        if number in kills:
            logged.kill()
    stored = logged.finish(float(made.arrival_s.max()) + 60)
    rows, probability = stored_spans(made, stored)
    return {
        "traces": made.traces,
        "spans": made.spans,
        "restarts": restarts,
        **figures(made, rows, probability),
        "spans_stored_twice": stored.num_rows - len(rows),
        "spans_per_cpu_second": round(logged.spans / logged.cpu_s),
        "replayed_spans": logged.spans - made.spans,
        "snapshot_bytes": len(logged.snapshot or b""),
        "peak_pending_mb": round(pending / 2**20, 1),
        "made_rss_mb": round(made_rss_mb, 1),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
