"""The metrics of the embedded telemetry store: a lane of points, with its questions. ``core.ports.MetricStore``."""

from datetime import datetime
from typing import Final

import pyarrow as pa

from homeostat.core.config import StorageConfig
from homeostat.core.metrics import Exemplar, MetricInfo, MetricQuery, MetricSeries
from homeostat.core.ports import Clock
from homeostat.store.telemetry.lane import FlushPolicy, Lane, LaneSpec
from homeostat.store.telemetry.maintenance import CompactionPolicy
from homeostat.store.telemetry.metric_query import find_exemplars, find_metrics, find_series, steps_of
from homeostat.store.telemetry.metric_segment import METRIC_LAYOUT, MetricSegment
from homeostat.store.telemetry.rows import to_ns
from homeostat.store.telemetry.shared import SharedMetrics
from homeostat.store.telemetry.wal_format import KIND_METRICS

METRICS: Final = LaneSpec(
    name="metrics",
    folder="metrics",
    kind=KIND_METRICS,
    message="ExportMetricsServiceRequest",
    layout=METRIC_LAYOUT,
    open_segment=MetricSegment,
    flush=FlushPolicy(rows=65_536, bytes=32 << 20, age_s=120.0),
    compaction=CompactionPolicy(small_rows=100_000, merged_rows_max=200_000),
)


class EmbeddedMetricStore(Lane[MetricSegment]):
    """The lane of metric points: ``telemetry/metrics/``."""

    def __init__(self, config: StorageConfig, clock: Clock, policy: FlushPolicy | None = None) -> None:
        super().__init__(METRICS, config, clock, policy)

        self.shared: SharedMetrics | None = None

    def _parts_with(self, query: MetricQuery, time: tuple[int, int]) -> tuple[list[pa.Table], list[MetricSegment]]:
        """What is in memory first: what moves on meanwhile is there twice, not missing, and then counts once."""
        hot, segments = self.parts()
        if self.shared is not None:
            hot = [*hot, self.shared.points(query.name, query.service, time)]
        return hot, segments

    def _find_metrics(self, since_ns: int, contains: str, limit: int) -> list[MetricInfo]:
        hot, segments = self.parts()
        elsewhere = self.shared.entries(since_ns, contains) if self.shared is not None else []
        return find_metrics(hot, segments, since_ns, contains, limit, elsewhere)

    async def metrics(self, since: datetime, *, contains: str = "", limit: int = 1_000) -> list[MetricInfo]:
        """Metrics with a point since then, by name."""
        return await self.ask(lambda: self._find_metrics(to_ns(since), contains, limit))

    async def series(self, query: MetricQuery) -> list[MetricSeries]:
        """What the query asks for. Raises BadRequestError for an aggregation that the metric's type has not."""
        return await self.ask(lambda: find_series(*self._parts_with(query, steps_of(query).read_ns), query))

    async def exemplars(self, query: MetricQuery) -> list[Exemplar]:
        """Exemplars within the query's time and labels, newest first."""
        return await self.ask(
            lambda: find_exemplars(*self._parts_with(query, (to_ns(query.start), to_ns(query.end))), query)
        )
