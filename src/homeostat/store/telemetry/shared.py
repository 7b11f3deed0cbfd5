"""What a lane needs of a store that several processes share (ClickHouse), beside its own segments.

``store.clickhouse`` implements these; ``observe.lanes`` gives them to the stores. A lane with a ``Sink`` writes no
segments any more: what its log holds goes there, and questions ask there as well as in memory and in old segments.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.store.telemetry.log_rows import Position
from homeostat.store.telemetry.log_search import LogFilter
from homeostat.store.telemetry.matching import SpanFilter
from homeostat.store.telemetry.metric_segment import MetricEntry

Place = tuple[int, bytes]
"""As in ``search``: start of the first matching span (Unix ns) and trace id."""


class Sink(Protocol):
    """Takes sealed parts of a lane. From the flush thread."""

    def write(self, tables: Sequence[pa.Table], *, first_seq: int, last_seq: int) -> None:
        """Keep the rows of the requests ``[first_seq, last_seq]``, durably; safe to repeat with the same arguments.

        Raises StoreError: nothing is lost, the same part comes again.
        """
        ...


class SharedSpans(Protocol):
    """Spans that are stored elsewhere. Every method raises StoreError when it can't be asked now."""

    def first_matches(self, wanted: SpanFilter, before: Place, count: int) -> tuple[list[tuple[bytes, int]], Place]:
        """The ``count`` traces with the highest places below ``before``, and a bound of the places of all others."""
        ...

    def best(self, wanted: SpanFilter, score: str, limit: int) -> list[tuple[bytes, int]]:
        """Traces with the highest score (a column: ``start_ns`` or ``duration_ns``) of a matching span."""
        ...

    def spans(self, trace_ids: Sequence[bytes], columns: Sequence[str]) -> pa.Table:
        """All rows of these traces: columns of ``SPAN_SCHEMA``."""
        ...

    def services_since(self, since_ns: int) -> list[str]:
        """Services of the spans that started since then; the first by name where there are too many (logged)."""
        ...

    def operations_since(self, since_ns: int, service: str) -> list[tuple[str, int]]:
        """Name and kind of a service's operations since then; the first by name where there are too many (logged)."""
        ...


class SharedMetrics(Protocol):
    """Metric points that are stored elsewhere. Every method raises StoreError when it can't be asked now."""

    def entries(self, since_ns: int, contains: str) -> list[MetricEntry]:
        """Metrics with a point since then whose name holds the text, case-insensitive. Rows are counted as 0."""
        ...

    def points(self, name: str, service: str | None, time: tuple[int, int]) -> pa.Table:
        """The points of a metric with times in ``[time[0], time[1])``: ``METRIC_SCHEMA``.

        Raises BadRequestError for more than can be held.
        """
        ...


class SharedLogs(Protocol):
    """Log records that are stored elsewhere. Every method raises StoreError when it can't be asked now."""

    def newest(self, wanted: LogFilter, limit: int, after: Position | None) -> pa.Table:
        """The ``limit + 1`` newest matching records and all of each moment among them: ``LOG_SCHEMA``.

        Those of the moment of ``after`` come on top.
        """
        ...

    def counts(self, wanted: LogFilter, step_ns: int, steps: int) -> npt.NDArray[np.int64]:
        """How many match, by step from ``wanted.start_ns`` on and severity: shape ``(steps, 25)``."""
        ...

    def as_stored(self, table: pa.Table) -> pa.Table:
        """Rows in memory as they will be read back, so that a record keeps its id when it moves there."""
        ...
