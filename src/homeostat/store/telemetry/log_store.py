"""The log records of the embedded telemetry store: a lane of them, with its questions. ``core.ports.LogStore``."""

from collections.abc import AsyncIterator, Callable
from typing import Final, TypeVar

import pyarrow as pa

from homeostat.core.config import StorageConfig
from homeostat.core.logs import LogCount, LogPage, LogQuery, LogTable
from homeostat.core.ports import Clock
from homeostat.store.telemetry.lane import FlushPolicy, Lane, LaneSpec
from homeostat.store.telemetry.log_export import LogExport, shown
from homeostat.store.telemetry.log_search import LogFilter, count_logs, find_logs, find_rows
from homeostat.store.telemetry.log_segment import LOG_LAYOUT, LogSegment
from homeostat.store.telemetry.maintenance import CompactionPolicy
from homeostat.store.telemetry.shared import SharedLogs
from homeostat.store.telemetry.wal_format import KIND_LOGS

Answer = TypeVar("Answer")

_EXPORT_PAGE: Final = 5_000  # records in memory at a time
_MOVING_S: Final = 10.0  # how long a question waits for records on their way into a shared store

LOGS: Final = LaneSpec(
    name="logs",
    folder="logs",
    kind=KIND_LOGS,
    message="ExportLogsServiceRequest",
    layout=LOG_LAYOUT,
    open_segment=LogSegment,
    flush=FlushPolicy(rows=65_536, bytes=32 << 20),
    compaction=CompactionPolicy(small_rows=40_000, merged_rows_max=80_000),
)


class EmbeddedLogStore(Lane[LogSegment]):
    """The lane of log records: ``telemetry/logs/``."""

    def __init__(self, config: StorageConfig, clock: Clock, policy: FlushPolicy | None = None) -> None:
        super().__init__(LOGS, config, clock, policy)

        self.shared: SharedLogs | None = None

    async def _ask_logs(self, question: Callable[[list[pa.Table], list[LogSegment]], Answer]) -> Answer:
        """What is in memory and in segments, while nothing of it moves to where it would be found once more."""

        def answer() -> Answer:
            shared = self.shared
            if shared is None:
                return question(*self.parts())
            held = self.moving.acquire(timeout=_MOVING_S)  # beyond, records may be seen twice: better than not at all
            try:
                hot, segments = self.parts()
                return question([shared.as_stored(table) for table in hot], segments)
            finally:
                if held:
                    self.moving.release()

        return await self.ask(answer)

    async def logs(self, query: LogQuery) -> LogPage:
        """Matching records, newest first. Raises BadRequestError for a cursor (or an id) that is none."""
        return await self._ask_logs(lambda hot, segments: find_logs(hot, segments, query, self.shared))

    async def log_counts(self, query: LogQuery, step_s: int) -> list[LogCount]:
        """How many match in each step of the query's time, oldest first. Raises BadRequestError: too many steps."""
        return await self._ask_logs(lambda hot, segments: count_logs(hot, segments, query, step_s, self.shared))

    async def export(self, query: LogQuery) -> AsyncIterator[LogTable]:
        """Every matching record, newest first, in parts; the query's limit does not count.

        Records that come meanwhile are not among them. Raises BadRequestError for an id that is none.
        """
        if self.shared is not None:
            async for page in self._pages(query):
                yield page
            return
        export = LogExport(LogFilter.of(query), self.parts)
        while (parts := await self.ask(export.advance)) is not None:
            for part in parts:
                yield part

    async def _pages(self, query: LogQuery) -> AsyncIterator[LogTable]:
        """What a shared store has as well comes page by page."""
        wanted: LogQuery | None = query.model_copy(update={"limit": _EXPORT_PAGE})
        while wanted is not None:
            asked = wanted
            rows, where, is_more = await self._ask_logs(
                lambda hot, segments, asked=asked: find_rows(hot, segments, asked, self.shared)
            )
            if where:
                yield shown(rows, pa.array([str(position) for position in where], pa.string()))
            wanted = asked.model_copy(update={"cursor": str(where[-1])}) if is_more else None
