"""What was stored of the spans that ``_disorder`` made: whole traces, and weighted counts. For ``bench.sampling``."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bench._disorder import SERVICES, Made
from homeostat.store.telemetry.schema import id_words


def stored_spans(made: Made, tables: pa.Table) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The rows of what is stored, each once, and the probability with which each was kept."""
    ids = np.concatenate([_numbers(chunk) for chunk in tables.column("span_id").chunks] or [np.zeros(0, np.uint64)])
    unique, first = np.unique(ids, return_index=True)
    return made.rows_of(unique), tables.column("sampling_probability").to_numpy()[first]


def _numbers(ids: pa.FixedSizeBinaryArray) -> npt.NDArray[np.uint64]:
    return id_words(ids).reshape(-1)


def figures(made: Made, rows: npt.NDArray[np.int64], probability: npt.NDArray[np.float32]) -> dict[str, float]:
    """Whether traces are whole and weighted counts true."""
    found = np.bincount(made.trace[rows], minlength=made.traces)
    kept = found > 0
    weight = 1 / probability.astype(np.float64)
    failed = np.bincount(made.trace[made.failed], minlength=made.traces) > 0
    failed_late = np.bincount(made.trace[made.failed & made.late], minlength=made.traces) > 0
    lowest, highest = np.ones(made.traces), np.zeros(made.traces)
    np.minimum.at(lowest, made.trace[rows], probability)
    np.maximum.at(highest, made.trace[rows], probability)
    root = made.is_root[rows]
    by_service = np.bincount(made.service, minlength=SERVICES)
    roots_by_service = np.bincount(made.service[made.is_root], minlength=SERVICES)
    weighted = np.bincount(made.service[rows], weights=weight, minlength=SERVICES)
    weighted_roots = np.bincount(made.service[rows][root], weights=weight[root], minlength=SERVICES)
    return {
        "half_kept": int((kept & (found != made.sizes)).sum()),
        "traces_of_two_probabilities": int((kept & (lowest != highest)).sum()),
        # Decided before the span that failed came, up to 40 s late: what it belongs to was dropped already.
        "failed_traces_not_kept": int((failed & ~kept).sum()),
        "failed_traces_not_kept_though_in_time": int((failed & ~failed_late & ~kept).sum()),
        "weighted_trace_error_percent": _percent(made.traces, float(weight[root].sum())),
        "weighted_span_error_percent": _percent(made.spans, float(weight.sum())),
        "weighted_trace_error_percent_worst_service": _worst(roots_by_service, weighted_roots),
        "weighted_span_error_percent_worst_service": _worst(by_service, weighted),
        "kept_trace_percent": round(100 * int(kept.sum()) / made.traces, 2),
        "kept_span_percent": round(100 * len(rows) / made.spans, 2),
    }


def _percent(true: float, estimate: float) -> float:
    return round(abs(estimate - true) / true * 100, 3)


def _worst(true: npt.NDArray[np.int64], estimate: npt.NDArray[np.float64]) -> float:
    return max(_percent(int(one), float(other)) for one, other in zip(true, estimate, strict=True) if one)
