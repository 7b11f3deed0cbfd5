"""Writes log records as NDJSON, CSV or Parquet while they are read: a part in memory at a time. Used by ``logs``."""

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
from anyio import to_thread

from homeostat.api.log_columns import SPACED, LogColumns, lines
from homeostat.core.logs import LogTable
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.schema import column

COLUMNS: Final = (
    "id",
    "time",
    "time_unix_nano",
    "severity_number",
    "severity",
    "service",
    "body",
    "trace_id",
    "span_id",
    "event_name",
    "scope",
    "attributes",
    "resource",
)
_SCHEMA: Final = pa.schema(
    [
        ("id", pa.string()),
        ("time", pa.timestamp("ns", tz="UTC")),
        ("time_unix_nano", pa.int64()),
        ("severity_number", pa.int8()),
        ("severity", pa.string()),
        ("service", pa.string()),
        ("body", pa.string()),
        ("trace_id", pa.string()),
        ("span_id", pa.string()),
        ("event_name", pa.string()),
        ("scope", pa.string()),
        ("attributes", pa.map_(pa.string(), pa.string())),
        ("resource", pa.map_(pa.string(), pa.string())),
    ]
)

Part = LogTable


class NdjsonWriter:
    """One record a line."""

    def part(self, records: Part) -> bytes:
        """The lines of these records."""
        return "".join(f"{line}\n" for line in lines(records)).encode()

    def end(self) -> bytes:
        """Nothing: the last line is the end."""
        return b""


class CsvWriter:
    """A header, one row a record; attributes and resource are JSON objects."""

    def __init__(self) -> None:
        self._header: tuple[str, ...] | None = COLUMNS

    def part(self, records: Part) -> bytes:
        """The rows of these records."""
        columns = LogColumns(records)
        cells = {name: columns.values(name) for name in COLUMNS if name not in {"time", "attributes", "resource"}}
        cells["time"] = columns.times
        cells["attributes"], cells["resource"] = columns.attributes(SPACED), columns.resources(SPACED)
        return self._rows(zip(*(cells[name] for name in COLUMNS), strict=True))

    def end(self) -> bytes:
        """The header, where there was no record."""
        return self._rows(())

    def _rows(self, rows: Iterable[Sequence[object]]) -> bytes:
        text = io.StringIO()
        writer = csv.writer(text)
        if self._header is not None:
            writer.writerow(self._header)
            self._header = None
        writer.writerows(rows)
        return text.getvalue().encode()


class ParquetWriter:
    """Row groups as they come, the footer at the end."""

    def __init__(self) -> None:
        self._written = _Drained()
        self._writer = pq.ParquetWriter(self._written, _SCHEMA, compression="zstd")

    def part(self, records: Part) -> bytes:
        """A row group."""
        columns = LogColumns(records)
        arrays = {name: column(columns.table, name) for name in COLUMNS if name not in {"time", "resource"}}
        arrays["time"], arrays["resource"] = arrays["time_unix_nano"], columns.resource_maps()
        self._writer.write_table(pa.table([pc.cast(arrays[f.name], f.type) for f in _SCHEMA], schema=_SCHEMA))
        return self._written.drain()

    def end(self) -> bytes:
        """The footer, without which a file is none."""
        self._writer.close()
        return self._written.drain()


class _Drained(io.RawIOBase):
    """A file that is only written, and taken away as it grows."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: object, /) -> int:
        """Keep it until it is taken."""
        part = bytes(memoryview(data))  # pyright: ignore[reportArgumentType]  # whatever has bytes, as every file
        self._parts.append(part)
        self._size += len(part)
        return len(part)

    def tell(self) -> int:
        """Bytes so far, those taken included: offsets in the footer count from the beginning."""
        return self._size

    def drain(self) -> bytes:
        """What has been written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


Writer = NdjsonWriter | CsvWriter | ParquetWriter


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """One way to write records."""

    media_type: str
    writer: Callable[[], Writer]


FORMATS: Final = {
    "ndjson": ExportFormat("application/x-ndjson", NdjsonWriter),
    "csv": ExportFormat("text/csv; charset=utf-8", CsvWriter),
    "parquet": ExportFormat("application/vnd.apache.parquet", ParquetWriter),
}


async def written(parts: AsyncIterator[Part], form: ExportFormat) -> AsyncIterator[bytes]:
    """The file, piece by piece. An error of the store breaks it off: the download ends without its proper end."""
    writer = await to_thread.run_sync(form.writer)
    async for records in parts:
        yield await to_thread.run_sync(writer.part, records)
    yield await to_thread.run_sync(writer.end)


async def begun(parts: AsyncIterator[Part]) -> AsyncIterator[Part]:
    """The same parts, the first one read already: what is wrong with a question shows before the answer begins."""
    first = await anext(parts, None)

    async def rest() -> AsyncIterator[Part]:
        if first is not None:
            yield first
        async for part in parts:
            yield part

    return rest()
