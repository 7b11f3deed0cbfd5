"""Counters of every span for Prometheus: the names of the collector's span metrics, and those of IAC Dharma.

Called by ``api.metrics``. Sampled out or not, every span counts; the first ``OPERATIONS_MAX`` operations have series
of their own, the others are counted for their service as ``OTHER``: what is scraped stays bounded, and no counter
ever falls.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from homeostat.api.exposition import Exposition
from homeostat.core.red import HISTOGRAM_BUCKETS, bucket_upper_ms
from homeostat.core.totals import SPAN_METRIC_EDGES_MS, SpanTotals

OPERATIONS_MAX: Final = 400
OTHER: Final = "<other>"

_KINDS: Final = ("unspecified", "internal", "server", "client", "producer", "consumer")
_UPPER_MS: Final = tuple(bucket_upper_ms(index) for index in range(HISTOGRAM_BUCKETS - 1))  # the last has no end
_TRACE_EDGES_MS: Final = (5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4)
_ROUNDING: Final = 1e-9
_WORDS: Final = "Spans that serve somebody (server, consumer, or the root of a trace)"

Counts = npt.NDArray[np.int64]


def span_metrics(out: Exposition, totals: SpanTotals, thresholds_ms: Iterable[float] = ()) -> None:
    """Add every family. Each threshold (of an SLO) is an edge of the histogram, beside the collector's edges."""
    rows = _rows(totals)
    calls = [
        ({**labels, "status_code": code}, int(count))
        for labels, requests, errors, _, _ in rows
        for code, count in (("STATUS_CODE_UNSET", requests - errors), ("STATUS_CODE_ERROR", errors))
    ]
    out.family("traces_span_metrics_calls_total", "counter", f"{_WORDS}.", calls)
    edges = _Edges.of([*SPAN_METRIC_EDGES_MS, *thresholds_ms])
    out.bucketed(
        "traces_span_metrics_duration_milliseconds",
        f"{_WORDS}: how long they took.",
        edges.bounds_ms,
        [(labels, edges.counts(histogram), total_ms) for labels, _, _, total_ms, histogram in rows],
    )
    _contract_names(out, totals)


def _contract_names(out: Exposition, totals: SpanTotals) -> None:
    traces = list(zip(totals.services, totals.traces_histogram, totals.traces_duration_sum_ms, strict=True))
    traces = [row for row in traces if row[1].any()]
    out.family(
        "observability_traces_total",
        "counter",
        "Traces, by the service of their root span.",
        [({"service": service}, int(histogram.sum())) for service, histogram, _ in traces],
    )
    out.family(
        "observability_spans_total",
        "counter",
        "Spans, by kind.",
        [({"span_kind": kind}, count) for kind, count in zip(_KINDS, totals.kinds, strict=True)],
    )
    out.bucketed(
        "observability_trace_duration_seconds",
        "Duration of root spans, by service.",
        [bound / 1000 for bound in _TRACE_EDGES.bounds_ms],
        [
            ({"service": service}, _TRACE_EDGES.counts(histogram), total_ms / 1000)
            for service, histogram, total_ms in traces
        ],
    )


Row = tuple[dict[str, str], int, int, float, Counts]
"""Labels, requests, errors, milliseconds, histogram."""


def _rows(totals: SpanTotals) -> list[Row]:
    """One row for each of the first operations, and one per service for all others."""
    rows: list[Row] = []
    others: dict[str, list[int]] = {}
    for place, (service, operation) in enumerate(totals.operations):
        if place < OPERATIONS_MAX:
            rows.append(_row(totals, service, operation, [place]))
        else:
            others.setdefault(service, []).append(place)
    rows += [_row(totals, service, OTHER, places) for service, places in others.items()]
    return _distinct([row for row in rows if row[1]])


def _row(totals: SpanTotals, service: str, operation: str, places: list[int]) -> Row:
    return (
        {"service_name": service, "span_name": operation},
        int(totals.requests[places].sum()),
        int(totals.errors[places].sum()),
        float(totals.duration_sum_ms[places].sum()),
        totals.histogram[places].sum(axis=0),
    )


def _distinct(rows: list[Row]) -> list[Row]:
    """Rows of the same labels as one (an operation may itself be called ``OTHER``)."""
    by_labels: dict[tuple[str, ...], Row] = {}
    for row in rows:
        key = tuple(row[0].values())
        known = by_labels.get(key)
        by_labels[key] = row if known is None else _sum(known, row)
    return list(by_labels.values())


def _sum(one: Row, other: Row) -> Row:
    return one[0], one[1] + other[1], one[2] + other[2], one[3] + other[3], one[4] + other[4]


@dataclass(frozen=True, slots=True)
class _Edges:
    """Upper edges in milliseconds, and where each lies among our own buckets."""

    bounds_ms: Sequence[float]
    below: npt.NDArray[np.int64]  # buckets wholly at or below the edge
    share: npt.NDArray[np.float64]  # of the next bucket

    @classmethod
    def of(cls, bounds_ms: Iterable[float]) -> "_Edges":
        bounds = sorted(set(bounds_ms))
        below = [bisect_right(_UPPER_MS, bound) for bound in bounds]
        lower = [_UPPER_MS[count - 1] if count else 0.0 for count in below]
        share = [
            (bound - low) / (_UPPER_MS[count] - low) if count < len(_UPPER_MS) else 0.0
            for bound, low, count in zip(bounds, lower, below, strict=True)
        ]
        return cls(bounds, np.array(below, dtype=np.int64), np.array(share))

    def counts(self, histogram: Counts) -> list[int]:
        """How many lie at or below each edge, and how many there are in all.

        Within a bucket in proportion, as ``histogram_quantile`` does; rounded down, so that no count ever falls.
        """
        running = np.concatenate([[0], np.cumsum(histogram), [int(histogram.sum())]])
        low, high = running[self.below], running[self.below + 1]
        counts = low + np.floor(self.share * (high - low) + _ROUNDING).astype(np.int64)
        return [*counts.tolist(), int(running[-1])]


_TRACE_EDGES: Final = _Edges.of(_TRACE_EDGES_MS)
