"""The log records of the embedded telemetry store: a lane of them, with its questions. ``core.ports.LogStore``."""

from collections.abc import AsyncIterator
from typing import Final

from homeostat.core.config import StorageConfig
from homeostat.core.logs import LogCount, LogPage, LogQuery, LogRecord
from homeostat.core.ports import Clock
from homeostat.store.telemetry.lane import FlushPolicy, Lane, LaneSpec
from homeostat.store.telemetry.log_search import count_logs, find_logs
from homeostat.store.telemetry.log_segment import LOG_LAYOUT, LogSegment
from homeostat.store.telemetry.maintenance import CompactionPolicy
from homeostat.store.telemetry.wal_format import KIND_LOGS

_EXPORT_PAGE: Final = 5_000  # records in memory at a time

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

    async def logs(self, query: LogQuery) -> LogPage:
        """Matching records, newest first. Raises BadRequestError for a cursor (or an id) that is none."""
        return await self.ask(lambda: find_logs(*self.parts(), query))

    async def log_counts(self, query: LogQuery, step_s: int) -> list[LogCount]:
        """How many match in each step of the query's time, oldest first. Raises BadRequestError: too many steps."""
        return await self.ask(lambda: count_logs(*self.parts(), query, step_s))

    async def export(self, query: LogQuery) -> AsyncIterator[tuple[LogRecord, ...]]:
        """Every matching record, newest first, in parts; the query's limit does not count."""
        wanted: LogQuery | None = query.model_copy(update={"limit": _EXPORT_PAGE})
        while wanted is not None:
            page = await self.logs(wanted)
            if page.records:
                yield page.records
            cursor = page.next_cursor
            wanted = wanted.model_copy(update={"cursor": cursor}) if cursor is not None else None
