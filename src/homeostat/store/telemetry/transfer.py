"""Telemetry out of a data directory into files of others, and back. Called by ``homeostat store export|import``.

An export reads what is in segments, as it lies there, and changes nothing; a Homeostat may run meanwhile. An import
writes segments: nothing may run.
"""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from homeostat.core.errors import BadRequestError, StoreCorruptError, StoreError
from homeostat.store.telemetry.catalogue import CATALOGUE_FILE, CatalogueState
from homeostat.store.telemetry.lane import Lane, LaneSpec
from homeostat.store.telemetry.layout import filled
from homeostat.store.telemetry.log_schema import severity_word
from homeostat.store.telemetry.schema import column

_BATCH_ROWS: Final = 65_536
_OBJECTS: Final = frozenset({"resource", "scope_attributes", "labels"})
"""Columns that hold a JSON object as text."""

_REQUIRED: Final = {
    "traces": ("trace_id", "span_id", "start_ns", "duration_ns", "service", "name"),
    "metrics": ("name", "type", "time_ns", "service"),
    "logs": ("time_ns", "body", "service"),
}
CSV_COLUMNS: Final = ("time_ns", "severity", "service", "body", "trace_id", "span_id", "attributes")

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


def stored(spec: LaneSpec[Any], storage: Path, start_ns: int, end_ns: int) -> Iterator[pa.Table]:
    """What a lane's segments hold of ``[start_ns, end_ns)``, the oldest segment first. Raises StoreError."""
    folder = spec.folder_in(storage) / "segments"
    try:
        state = CatalogueState.model_validate_json((folder / CATALOGUE_FILE).read_bytes())
    except FileNotFoundError:
        return  # nothing of this signal was ever stored
    except ValueError as error:
        raise StoreCorruptError(f"{folder / CATALOGUE_FILE} can't be read. Run 'homeostat store check'.") from error
    for info in state.segments:
        if info.max_start_ns < start_ns or info.min_start_ns >= end_ns:
            continue
        try:
            table = spec.open_segment(folder, info).read(spec.layout.schema.names)
        except FileNotFoundError as error:
            raise StoreError(f"Segment {info.name} vanished while it was read ({error}). Export again.") from error
        times = column(table, spec.layout.time).to_numpy()
        inside = (times >= start_ns) & (times < end_ns)
        if inside.any():
            yield table if inside.all() else table.filter(pa.array(inside))


def write_parquet(tables: Iterator[pa.Table], schema: pa.Schema, target: Path) -> int:
    """One Parquet file with the store's columns; returns its rows."""
    rows = 0
    with pq.ParquetWriter(target, schema, compression="zstd", store_schema=False) as writer:
        for table in tables:
            writer.write_table(table.unify_dictionaries())
            rows += table.num_rows
    return rows


def write_ndjson(tables: Iterator[pa.Table], target: IO[str]) -> int:
    """One JSON object a line: ids in hexadecimal, attributes as objects; returns the lines."""
    rows = 0
    for table in tables:
        for batch in table.to_batches(_BATCH_ROWS):
            for row in batch.to_pylist():
                target.write(json.dumps({name: _json(name, value) for name, value in row.items()}))
                target.write("\n")
        rows += table.num_rows
    return rows


def write_csv(tables: Iterator[pa.Table], target: IO[str]) -> int:
    """Log records as ``CSV_COLUMNS``, attributes as a JSON object; returns the rows."""
    writer = csv.writer(target)
    writer.writerow(CSV_COLUMNS)
    rows = 0
    for table in tables:
        for row in table.select(list(CSV_COLUMNS)).to_pylist():
            cells = {name: _json(name, value) for name, value in row.items()}
            cells["severity"] = severity_word(row["severity"])
            cells["attributes"] = json.dumps(cells["attributes"])
            writer.writerow([cells[name] for name in CSV_COLUMNS])
        rows += table.num_rows
    return rows


def _json(name: str, value: Any) -> Json:
    """A value of a row as JSON has it. A list of pairs is a map: pyarrow gives maps so."""
    if isinstance(value, bytes):
        return value.hex()
    if name in _OBJECTS and isinstance(value, str):
        return json.loads(value or "{}")
    if isinstance(value, list):
        if name == "attributes":
            return {key: _json(key, item) for key, item in value}
        return [_json("", item) for item in value]
    if isinstance(value, dict):
        return {key: _json(key, item) for key, item in value.items()}
    return value


def signal_of(source: Path) -> str:
    """Which lane a Parquet file is for: traces | metrics | logs. Raises BadRequestError for one that is for none."""
    try:
        names = set(pq.read_schema(source).names)
    except (OSError, pa.ArrowException) as error:
        raise BadRequestError(
            f"{source} is not Parquet ({error}). Give what 'homeostat store export' wrote."
        ) from error
    for signal, required in _REQUIRED.items():
        if names.issuperset(required):
            return signal
    raise BadRequestError(
        f"{source} has none of the columns of an export. Traces need {', '.join(_REQUIRED['traces'])}; "
        f"metrics {', '.join(_REQUIRED['metrics'])}; logs {', '.join(_REQUIRED['logs'])}."
    )


def take_in(lane: Lane[Any], source: Path, progress: Callable[[int], None] = lambda _: None) -> int:
    """Put the rows of a Parquet file into segments of a lane; returns how many. ``progress``: rows so far.

    Rows are stored as they are; they are not counted into rates again. Raises BadRequestError, StoreError or OSError.
    """
    rows = 0
    with pq.ParquetFile(source) as file:
        known = [name for name in file.schema_arrow.names if name in lane.spec.layout.schema.names]
        for batch in file.iter_batches(_BATCH_ROWS, columns=known):
            try:
                table = filled(pa.Table.from_batches([batch]), lane.spec.layout)
            except (pa.ArrowException, ValueError, AttributeError) as error:
                raise BadRequestError(f"{source} has a column of another type than an export: {error}.") from error
            _check_there(source, table, _REQUIRED[lane.spec.name])
            lane.adopt(table)
            rows += table.num_rows
            progress(rows)
    return rows


def _check_there(source: Path, table: pa.Table, names: Sequence[str]) -> None:
    missing = [name for name in names if table.column(name).null_count]
    if missing:
        raise BadRequestError(f"{source} has rows without {', '.join(missing)}. Nothing of this part was stored.")
