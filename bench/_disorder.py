"""Traces as a bad network delivers them, for ``bench.sampling``: late spans, and none in the order it was made in.

Traces of 1 to 30 spans (10 on average) walk through twelve services, of which some are asked far more than others;
two of a hundred fail and one takes longer than a second. Three of a hundred spans come up to 40 s late, in a minute's
load.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span, Status

SERVICES: Final = 12
OPERATIONS: Final = 5  # of each service
SPANS_MAX: Final = 30
LENGTH_S: Final = 60.0
LATE_SHARE: Final = 0.03
LATE_S: Final = 40.0
SLOW_MS: Final = 1500.0
_ID_STEP: Final = 64  # span ids of a trace: its number times this, plus a place from 1 on
_TENANTS: Final = 1000

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Made:
    """Every span, one row of each array, in the order in which they were made: trace by trace, the root first."""

    traces: int
    sizes: Numbers  # spans of each trace
    trace: Numbers  # number of each span's trace
    place: Numbers  # 0 is the root; the parent is the span before
    service: Numbers
    operation: Numbers  # of all services' operations
    began_s: npt.NDArray[np.float64]  # of each trace, since the beginning
    duration_ms: npt.NDArray[np.float64]
    failed: npt.NDArray[np.bool_]
    late: npt.NDArray[np.bool_]
    arrival_s: npt.NDArray[np.float64]
    ids: npt.NDArray[np.uint64]  # (traces, 2): high and low half of each trace's id
    tenant: Numbers

    @property
    def spans(self) -> int:
        """How many in all."""
        return len(self.trace)

    @cached_property
    def order(self) -> Numbers:
        """The rows in the order in which they arrive."""
        return np.argsort(self.arrival_s, kind="stable")

    @cached_property
    def span_ids(self) -> npt.NDArray[np.uint64]:
        """One number for each span, no two alike."""
        return (self.trace * _ID_STEP + self.place + 1).astype(np.uint64)

    @property
    def is_root(self) -> npt.NDArray[np.bool_]:
        """The first span of each trace."""
        return self.place == 0

    @property
    def serves(self) -> npt.NDArray[np.bool_]:
        """What rates count as a request: spans that serve somebody, and roots."""
        return self.place % 2 == 0

    def rows_of(self, span_ids: npt.NDArray[np.uint64]) -> Numbers:
        """The rows of some spans. Raises ValueError for an id that none of them has."""
        rows = np.minimum(np.searchsorted(self.span_ids, span_ids), self.spans - 1)
        if not (self.span_ids[rows] == span_ids).all():
            raise ValueError("There are spans that nobody made.")
        return rows


def make(traces: int, seed: int) -> Made:
    """So many traces; the same for the same seed."""
    chance = np.random.default_rng(seed)
    sizes = np.minimum(1 + chance.poisson(9, traces), SPANS_MAX)
    total = int(sizes.sum())
    trace = np.repeat(np.arange(traces), sizes)
    place = np.arange(total) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    root = (SERVICES * chance.random(traces) ** 2).astype(np.int64)
    service = np.where(place == 0, root[trace], (root[trace] + place * 7) % SERVICES)
    operation = service * OPERATIONS + chance.integers(OPERATIONS, size=total)
    began_s = np.sort(chance.random(traces)) * LENGTH_S
    is_slow = chance.random(traces) < 0.01
    duration_ms = np.where(is_slow, SLOW_MS, chance.lognormal(3, 1, traces))[trace] / (1 + place)
    failed = (chance.random(traces) < 0.02)[trace] & (place == sizes[trace] - 1)
    arrival_s = began_s[trace] + duration_ms / 1000 + chance.exponential(0.1, total)
    late = chance.random(total) < LATE_SHARE
    arrival_s[late] += chance.random(int(late.sum())) * LATE_S
    return Made(
        traces=traces,
        sizes=sizes,
        trace=trace,
        place=place,
        service=service,
        operation=operation,
        began_s=began_s,
        duration_ms=duration_ms,
        failed=failed,
        late=late,
        arrival_s=arrival_s,
        ids=chance.integers(1, 2**63, size=(traces, 2), dtype=np.uint64),
        tenant=chance.integers(_TENANTS, size=total),
    )


class Requests:
    """The spans as OTLP requests of so many each, by service as a collector sends them; made when asked for."""

    def __init__(self, made: Made, start_ns: int, spans_per_request: int = 500) -> None:
        self._made = made
        self._start_ns = start_ns
        self._size = spans_per_request
        self._resources = [_resource(number) for number in range(SERVICES)]
        self._tenants = [_attributes(number) for number in range(_TENANTS)]

    @property
    def count(self) -> int:
        """How many."""
        return -(-self._made.spans // self._size)

    def __iter__(self) -> Iterator[tuple[Numbers, bytes]]:
        """The rows in a request, and the request."""
        for start in range(0, self._made.spans, self._size):
            rows = self._made.order[start : start + self._size]
            yield rows, self._request(rows)

    def _request(self, rows: Numbers) -> bytes:
        request = ExportTraceServiceRequest()
        scopes: dict[int, ScopeSpans] = {}
        for row in rows.tolist():
            service = int(self._made.service[row])
            if service not in scopes:
                resource_spans = request.resource_spans.add()
                resource_spans.resource.MergeFromString(self._resources[service])
                scopes[service] = resource_spans.scope_spans.add()
            self._fill(scopes[service].spans.add(), row)
        return request.SerializeToString()

    def _fill(self, span: Span, row: int) -> None:
        made = self._made
        trace, place = int(made.trace[row]), int(made.place[row])
        number = trace * _ID_STEP + place + 1
        span.trace_id = made.ids[trace].astype(">u8").tobytes()
        span.span_id = number.to_bytes(8, "big")
        if place:
            span.parent_span_id = (number - 1).to_bytes(8, "big")
        span.name = f"operation {made.operation[row]}"
        span.kind = Span.SPAN_KIND_CLIENT if place % 2 else Span.SPAN_KIND_SERVER
        span.start_time_unix_nano = self._start_ns + int(made.began_s[trace] * 1e9) + place * 1000
        span.end_time_unix_nano = span.start_time_unix_nano + int(made.duration_ms[row] * 1e6)
        if made.failed[row]:
            span.status.code = Status.STATUS_CODE_ERROR
        span.MergeFromString(self._tenants[made.tenant[row]])


def _resource(service: int) -> bytes:
    made = ExportTraceServiceRequest().resource_spans.add().resource
    for key, value in (("service.name", f"service-{service}"), ("host.name", "bench")):
        made.attributes.add(key=key).value.string_value = value
    return made.SerializeToString()


def _attributes(tenant: int) -> bytes:
    """Eight attributes, as part of a serialized span."""
    span = Span()
    values = {
        "http.request.method": ("GET", "POST", "PUT")[tenant % 3],
        "http.route": f"/api/v1/things/{tenant % 20}",
        "server.address": f"10.0.{tenant % 4}.{tenant % 250}",
        "region": ("eu-1", "us-2", "ap-3")[tenant // 3 % 3],
        "tenant": f"t{tenant % 50}",
        "user.id": f"u{tenant * 7919 % 100_003}",
        "version": "1.4.2",
    }
    for key, value in values.items():
        span.attributes.add(key=key).value.string_value = value
    span.attributes.add(key="attempt").value.int_value = 1
    return span.SerializeToString()
