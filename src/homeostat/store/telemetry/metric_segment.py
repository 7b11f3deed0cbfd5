"""Segments of metric points: sorted by name, series and time, with an index of the names.

Written by ``lane``, read by ``metric_query``. The index beside the Parquet file is one JSON object: for each name its
run of rows and what is known of the metric, so that listing metrics reads no points.
"""

from functools import lru_cache, partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, ValidationError

from homeostat.core.errors import StoreCorruptError
from homeostat.core.models import Model
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.layout import Layout, SegmentFile, SegmentInfo
from homeostat.store.telemetry.metric_schema import METRIC_SCHEMA
from homeostat.store.telemetry.schema import WORD, column

METRIC_GROUP_ROWS: Final = 8192
"""Rows of a Parquet row group: what reading one series costs at least."""

SERIES_COLUMNS: Final = ("service", "resource", "scope", "scope_version", "scope_attributes", "labels", "unit")
"""What tells series of one name apart, beside type, temporality and monotonicity."""

_ABOUT: Final = ("name", "type", "unit", "description", "monotonic", "service", "time_ns")
_SERVICES_MAX: Final = 1_000

Numbers = npt.NDArray[np.int64]


class MetricEntry(Model):
    """One name in a segment."""

    name: str
    start: int  # rows [start, stop)
    stop: int
    first_ns: int
    last_ns: int
    type: int
    unit: str
    description: str
    monotonic: bool
    services: tuple[str, ...]
    more_services: bool = Field(default=False, exclude=True)  # than are named; of a store elsewhere


class MetricIndex(Model):
    """The opened index of one segment, by name."""

    entries: tuple[MetricEntry, ...]

    def find(self, name: str) -> MetricEntry | None:
        """The entry of a name."""
        return next((entry for entry in self.entries if entry.name == name), None)


def ranks(words: pa.DictionaryArray) -> Numbers:
    """A number for each row that sorts as its text does."""
    order = pc.array_sort_indices(words.dictionary).to_numpy()
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[words.indices.to_numpy()]


def _sorted(table: pa.Table) -> pa.Table:
    """By name, series and time, each point once: a sender that got no answer sends again."""
    keys = [column(table, "name"), *(column(table, name) for name in SERIES_COLUMNS)]
    codes = [ranks(words) for words in keys]
    codes += [column(table, name).cast(pa.int64()).to_numpy() for name in ("type", "temporality")]
    times = [column(table, "time_ns").to_numpy(), column(table, "start_ns").to_numpy()]
    order = np.lexsort([*reversed([*codes, *times])])
    fresh = np.zeros(len(order), dtype=np.bool_)
    fresh[:1] = True
    for numbers in (*codes, *times):
        fresh[1:] |= numbers[order][1:] != numbers[order][:-1]
    return table.take(pa.array(order[fresh])).combine_chunks()


def _write_index(path: Path, table: pa.Table) -> None:
    path.write_text(MetricIndex(entries=tuple(entries_of(table))).model_dump_json(), encoding="utf-8")


def entries_of(table: pa.Table) -> list[MetricEntry]:
    """What a table that is sorted by name holds. Of a metric that was described in two ways the last one counts."""
    names = column(table, "name")
    codes = names.indices.to_numpy()
    starts = np.flatnonzero(np.append(np.ones(min(len(codes), 1), np.bool_), codes[1:] != codes[:-1])).tolist()
    found: list[MetricEntry] = []
    for start, stop in zip(starts, [*starts[1:], len(codes)], strict=True):
        part = table.slice(start, stop - start).select(list(_ABOUT))
        times = pc.min_max(part.column("time_ns"))
        newest = part.slice(int(pc.index(part.column("time_ns"), times["max"]).as_py()), 1).to_pylist()[0]
        services = sorted(pc.unique(pc.cast(part.column("service"), pa.string())).to_pylist())
        found.append(
            MetricEntry(
                name=newest["name"],
                start=start,
                stop=stop,
                first_ns=times["min"].as_py(),
                last_ns=times["max"].as_py(),
                type=newest["type"],
                unit=newest["unit"] or "",
                description=newest["description"] or "",
                monotonic=bool(newest["monotonic"]),
                services=tuple(services[:_SERVICES_MAX]),
            )
        )
    return found


METRIC_LAYOUT: Final = Layout(
    schema=METRIC_SCHEMA,
    time="time_ns",
    group_rows=METRIC_GROUP_ROWS,
    sort=_sorted,
    write_index=_write_index,
    index_columns=_ABOUT,
    dictionary_columns=(
        *(field.name for field in METRIC_SCHEMA if field.type == WORD),
        *("type", "temporality", "flags", "start_ns", "bounds.list.element", "scale"),
    ),
    left_out_if_empty=("bounds", "bucket_counts", "positive_counts", "negative_counts", "quantiles", "exemplars"),
    defaults={
        **dict.fromkeys(("resource", "scope_attributes", "labels"), "{}"),
        **dict.fromkeys(("temporality", "start_ns", "flags"), 0),
        "monotonic": False,
    },
)


@lru_cache(maxsize=256)
def _index(path: Path) -> MetricIndex:
    try:
        return MetricIndex.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise StoreCorruptError(f"{path} is not an index; it will be made anew.") from error


class MetricSegment(SegmentFile):
    """A segment of metric points. Every method raises StoreCorruptError when a file can't be read back."""

    def __init__(self, directory: Path, info: SegmentInfo) -> None:
        super().__init__(directory, info, METRIC_LAYOUT)

    @property
    def index(self) -> MetricIndex:
        """Read at the first use; made anew when it is missing or damaged."""
        return self.opened_index(partial(_index, self.index_path))

    def points(self, entry: MetricEntry, columns: list[str]) -> pa.Table:
        """The rows of one name."""
        first = entry.start // METRIC_GROUP_ROWS
        groups = range(first, -(-entry.stop // METRIC_GROUP_ROWS))
        return self.read(columns, list(groups)).slice(
            entry.start - first * METRIC_GROUP_ROWS, entry.stop - entry.start
        )
