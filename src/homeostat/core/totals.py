"""Everything that was counted since the start, as counters that only grow: what a Prometheus wants to scrape."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class SpanTotals:
    """Made by ``observe.span_totals``, shown by ``api.span_metrics``. Kept or sampled out, every span counts.

    Rows of ``operations`` are those of ``requests``, ``errors``, ``duration_sum_ms`` and ``histogram`` (buckets of
    ``core.red``): spans that serve somebody, as in ``RedPoint``. Rows of ``services`` are those of ``traces_*``:
    root spans by their service.
    """

    operations: tuple[tuple[str, str], ...]  # (service, operation), in the order in which they were first seen
    requests: npt.NDArray[np.int64]
    errors: npt.NDArray[np.int64]
    duration_sum_ms: npt.NDArray[np.float64]
    histogram: npt.NDArray[np.int64]  # shape (operations, HISTOGRAM_BUCKETS)
    services: tuple[str, ...]
    traces_duration_sum_ms: npt.NDArray[np.float64]
    traces_histogram: npt.NDArray[np.int64]  # shape (services, HISTOGRAM_BUCKETS)
    kinds: tuple[int, ...]  # spans by the OTLP number of their kind, 0..5
