"""Opens the shared store and gives it to the three lanes. Called by ``observe.lanes`` where it is configured."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from homeostat.core.config import StorageConfig
from homeostat.core.errors import StoreError
from homeostat.core.ports import Ids
from homeostat.store.clickhouse.engine import Engine, HttpEngine
from homeostat.store.clickhouse.logs import ClickHouseLogs
from homeostat.store.clickhouse.metric_rows import encode_metrics
from homeostat.store.clickhouse.metrics import ClickHouseMetrics
from homeostat.store.clickhouse.sink import ClickHouseSink
from homeostat.store.clickhouse.spans import ClickHouseSpans, encode_spans
from homeostat.store.clickhouse.tables import LOGS, TRACES, PreparedEngine
from homeostat.store.telemetry.attachments import write_durably
from homeostat.store.telemetry.log_store import EmbeddedLogStore
from homeostat.store.telemetry.metric_store import EmbeddedMetricStore
from homeostat.store.telemetry.store import EmbeddedTelemetryStore

_WRITER_FILE: Final = "clickhouse-writer"
_PASSWORD: Final = "CLICKHOUSE_PASSWORD"


@dataclass(frozen=True, slots=True)
class SharedStore:
    """A ClickHouse that is ready to be given to lanes."""

    engine: Engine
    writer: str  # who this data directory is, among all that write

    @classmethod
    def opened(cls, engine: Engine, config: StorageConfig, ids: Ids) -> "SharedStore":
        """Asks the server for nothing yet: tables that are missing are made at the first use. Raises StoreError."""
        return cls(PreparedEngine(engine, config.retention), writer_of(config.path, ids))

    def attach(
        self,
        traces: EmbeddedTelemetryStore | None = None,
        metrics: EmbeddedMetricStore | None = None,
        logs: EmbeddedLogStore | None = None,
    ) -> None:
        """From now on these lanes write there, and ask there as well."""
        if traces is not None:
            traces.shared = ClickHouseSpans(self.engine)
            traces.sink = ClickHouseSink(
                self.engine, self.writer, "traces", lambda rows: {TRACES: encode_spans(rows)}
            )
        if metrics is not None:
            metrics.shared = ClickHouseMetrics(self.engine)
            metrics.sink = ClickHouseSink(self.engine, self.writer, "metrics", encode_metrics)
        if logs is not None:
            records = logs.shared = ClickHouseLogs(self.engine)
            logs.sink = ClickHouseSink(self.engine, self.writer, "logs", lambda rows: {LOGS: records.encode(rows)})


def open_configured(config: StorageConfig, ids: Ids) -> SharedStore | None:
    """The shared store of the configuration; None where there is none. Raises StoreError."""
    if config.clickhouse is None:
        return None
    engine = HttpEngine(config.clickhouse, os.environ.get(_PASSWORD))
    return SharedStore.opened(engine, config, ids)


def writer_of(data: Path, ids: Ids) -> str:
    """Who writes: made once for a data directory and kept in it. Raises StoreError."""
    path = data / "telemetry" / _WRITER_FILE
    try:
        if path.exists() and (known := path.read_text("utf-8").strip()):
            return known
        made = ids.new("writer")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, made.encode())
    except OSError as error:
        raise StoreError(
            f"{path} can't be read or written: {error}. Check the permissions of the directory."
        ) from error
    return made
