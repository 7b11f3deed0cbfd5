"""Everything that was counted since the start, as counters that only grow: what a Prometheus wants to scrape."""

from dataclasses import dataclass
from typing import Final

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


SPAN_METRIC_EDGES_MS: Final = (
    *(0.1, 0.5, 1.0),
    *(2.0, 4.0, 6.0, 8.0, 10.0, 50.0, 100.0, 200.0, 400.0, 800.0, 1e3, 1.4e3, 2e3, 5e3, 1e4, 1.5e4),
)
"""Upper edges of the exposed duration histogram: those of the OpenTelemetry Collector's span metrics, and three
below them. The thresholds of objectives are edges as well."""
