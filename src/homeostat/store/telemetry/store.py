"""The traces of the embedded telemetry store: a lane of spans, with its questions. ``core.ports.TelemetryStore``.

Written by ``observe.intake`` as every lane is; the reading methods may be awaited by anybody and do their work in
worker threads.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar

import pyarrow as pa

from homeostat.core.config import StorageConfig
from homeostat.core.errors import BadRequestError, StoreCorruptError
from homeostat.core.models import Span, Trace, TracePage, TraceQuery
from homeostat.core.ports import Clock
from homeostat.core.trace_columns import TraceColumns
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.lane import FlushPolicy, Lane, LaneSpec
from homeostat.store.telemetry.query import (
    examples,
    examples_filter,
    find_many,
    find_trace,
    operations_since,
    rows_of_trace,
    services_since,
)
from homeostat.store.telemetry.rows import to_ns, trace_of
from homeostat.store.telemetry.schema import SPAN_SCHEMA
from homeostat.store.telemetry.search import find_traces
from homeostat.store.telemetry.segment import SPAN_LAYOUT, Segment
from homeostat.store.telemetry.shared import SharedSpans
from homeostat.store.telemetry.sources import View
from homeostat.store.telemetry.trace_columns import TEXT_COLUMNS, TRACE_COLUMNS, columns_of, spans_with
from homeostat.store.telemetry.wal_format import KIND_TRACES

__all__ = ["EmbeddedTelemetryStore", "FlushPolicy", "TRACES"]

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_RECENT_ROWS_MAX: Final = 500_000  # what a restart can fold within a second
_TRACES_MAX: Final = 1_000  # read at once

TRACES: Final = LaneSpec(
    name="traces",
    folder="",
    kind=KIND_TRACES,
    message="ExportTraceServiceRequest",
    layout=SPAN_LAYOUT,
    open_segment=Segment,
)


class EmbeddedTelemetryStore(Lane[Segment]):
    """The lane of spans: ``telemetry/wal`` and ``telemetry/segments``."""

    def __init__(self, config: StorageConfig, clock: Clock, policy: FlushPolicy | None = None) -> None:
        super().__init__(TRACES, config, clock, policy)
        self._recent_from_ns = 0
        self.shared: SharedSpans | None = None
        self.undecided: Callable[[], list[pa.Table]] = list
        """Spans that are neither kept nor let go yet, newest first. Whoever asks for a trace by its id sees them, so
        that a trace is there as soon as it was acknowledged; a search does not, or what it has found might vanish."""

    def view(self, *, undecided: bool = False) -> View:
        """Everything that is stored now; ``undecided``: and what may still not be kept."""
        early = self.undecided() if undecided else []  # first: what moves on meanwhile is there twice, not missing
        hot, segments = self.parts()
        return View([*early, *hot], segments, self.shared)

    async def _ask_view(self, question: Callable[[View], Answer], *, undecided: bool = False) -> Answer:
        return await self.ask(lambda: question(self.view(undecided=undecided)))

    async def trace(self, trace_id: str) -> Trace | None:
        """Every stored span of a trace, or None."""
        return await self._ask_view(lambda view: find_trace(view, trace_id), undecided=True)

    async def trace_columns(self, trace_id: str) -> TraceColumns | None:
        """Every stored span of a trace as columns, or None."""

        def question(view: View) -> TraceColumns | None:
            rows = rows_of_trace(view, trace_id, TRACE_COLUMNS)
            return columns_of(trace_id.lower(), rows) if rows is not None else None

        return await self._ask_view(question, undecided=True)

    async def span(self, trace_id: str, span_id: str) -> Span | None:
        """One stored span with all that is known of it, or None."""
        wanted = pa.scalar(bytes.fromhex(span_id), SPAN_SCHEMA.field("span_id").type)

        def question(view: View) -> Span | None:
            rows = rows_of_trace(view, trace_id, SPAN_SCHEMA.names)
            if rows is None:
                return None
            found = trace_of(trace_id, rows.filter(pc.equal(rows.column("span_id"), wanted)))
            return found.spans[0] if found is not None else None

        return await self._ask_view(question, undecided=True)

    async def spans_with(self, trace_id: str, text: str) -> list[str] | None:
        """Ids of the spans of a trace in which a text occurs, by start; None: there is no such trace."""

        def question(view: View) -> list[str] | None:
            rows = rows_of_trace(view, trace_id, TEXT_COLUMNS)
            return spans_with(rows, text) if rows is not None and rows.num_rows else None

        return await self._ask_view(question, undecided=True)

    async def search(self, query: TraceQuery) -> TracePage:
        """Matching traces, newest first. Raises BadRequestError for a cursor that is none."""
        return await self._ask_view(lambda view: find_traces(view, query))

    async def traces(self, trace_ids: Sequence[str]) -> list[Trace]:
        """Those of these traces that are stored. Raises BadRequestError for more than 1,000 ids."""
        if len(trace_ids) > _TRACES_MAX:
            raise BadRequestError(f"{len(trace_ids)} traces at once are too many. Ask for up to {_TRACES_MAX}.")
        return await self._ask_view(lambda view: find_many(view, trace_ids), undecided=True)

    async def services(self, since: datetime) -> list[str]:
        """Services with a stored span since then, sorted."""
        return await self._ask_view(lambda view: services_since(view, to_ns(since)))

    async def operations(self, service: str, since: datetime) -> list[tuple[str, str]]:
        """``(name, kind)`` of the stored spans of a service since then, sorted."""
        return await self._ask_view(lambda view: operations_since(view, service, to_ns(since)))

    async def example_traces(
        self, service: str, since: datetime, *, errors: bool, operation: str | None = None, limit: int = 3
    ) -> list[str]:
        """Ids of recent traces in which ``service`` failed (or, with ``errors=False``, was slowest)."""
        wanted = examples_filter(to_ns(since), service, operation, errors=errors)
        return await self._ask_view(
            lambda view: examples(view, wanted, slowest=not errors, limit=limit), undecided=errors
        )

    def recent_spans(self, age: timedelta, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Some columns of the segments of the last minutes, newest first, up to a bound. Blocks: for the start.

        Afterwards ``recent_from_s`` says from which Unix second on that was everything.
        """
        oldest_ns = self._recent_from_ns = to_ns(self._clock.now() - age)
        rows = 0
        for segment in self.parts()[1]:
            if segment.info.max_start_ns < oldest_ns or rows > _RECENT_ROWS_MAX:
                self._recent_from_ns = max(self._recent_from_ns, segment.info.max_start_ns)
                continue
            try:
                spans = segment.read(columns)
            except StoreCorruptError as error:
                logger.error("%s", error)
                self._recent_from_ns = max(self._recent_from_ns, segment.info.max_start_ns)
                continue
            rows += spans.num_rows
            yield spans

    @property
    def recent_from_s(self) -> int:
        """From which Unix second on ``recent_spans`` gave everything."""
        return -(-self._recent_from_ns // 10**9)

    @property
    def spans_stored(self) -> int:
        """Spans that this process has put into segments."""
        return self.rows_stored
