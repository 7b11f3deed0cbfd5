"""Segments of spans: sorted by trace, each span once, with an index of trace ids and attributes.

Written by ``lane``, read by ``query``.
"""

from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.index import SegmentIndex, attribute_filters, read_index, write_index
from homeostat.store.telemetry.layout import DICTIONARY_MAX, Layout, SegmentFile, SegmentInfo, write
from homeostat.store.telemetry.names import footer_of
from homeostat.store.telemetry.schema import SPAN_SCHEMA, WORD, column, id_words, trace_keys
from homeostat.store.telemetry.text_hash import mix

GROUP_ROWS: Final = 16384
"""Rows of a Parquet row group: what reading one trace costs at least."""


def _order(table: pa.Table) -> npt.NDArray[np.int64]:
    """Row numbers sorted by trace key, each span once.

    A sender that got no answer sends again; the log then holds the request twice.
    """
    trace = id_words(column(table, "trace_id"))
    span = id_words(column(table, "span_id"))[:, 0]
    marks = np.sort(mix(trace[:, 1] ^ mix(trace[:, 0] ^ mix(span))))
    if (marks[1:] != marks[:-1]).all():
        return np.argsort(trace[:, 1])  # nothing is there twice: a quick sort by one key will do
    order = np.lexsort((span, trace[:, 0], trace[:, 1]))
    high, low, span = trace[order, 0], trace[order, 1], span[order]
    fresh = np.ones(len(order), dtype=np.bool_)
    fresh[1:] = (low[1:] != low[:-1]) | (span[1:] != span[:-1]) | (high[1:] != high[:-1])
    return order[fresh]


def _encoded(table: pa.Table) -> pa.Table:
    """Attribute keys as a dictionary: sorting then moves four bytes instead of a text."""
    attributes = column(table, "attributes")
    keys = pc.dictionary_encode(attributes.keys)
    if len(keys.dictionary) > DICTIONARY_MAX:
        return table
    encoded = pa.MapArray.from_arrays(attributes.offsets, keys, attributes.items)
    return table.set_column(table.schema.get_field_index("attributes"), "attributes", encoded)


def _sorted(table: pa.Table) -> pa.Table:
    """By trace key, each span once."""
    return _encoded(table).take(pa.array(_order(table))).combine_chunks()


def _attribute_filters(table: pa.Table) -> npt.NDArray[np.uint8]:
    attributes = column(table, "attributes")
    if not pa.types.is_dictionary(attributes.keys.type):
        keys = pc.dictionary_encode(attributes.keys)
        attributes = pa.MapArray.from_arrays(attributes.offsets, keys, attributes.items)
    return attribute_filters(attributes, column(table, "resource"), GROUP_ROWS)


def _write_index(path: Path, table: pa.Table) -> None:
    write_index(path, trace_keys(column(table, "trace_id")), _attribute_filters(table))


SPAN_LAYOUT: Final = Layout(
    schema=SPAN_SCHEMA,
    time="start_ns",
    group_rows=GROUP_ROWS,
    sort=_sorted,
    write_index=_write_index,
    index_columns=("trace_id", "attributes", "resource"),
    dictionary_columns=(
        *(field.name for field in SPAN_SCHEMA if field.type == WORD),
        *("kind", "status_code", "status_message", "trace_state"),
        "attributes.key_value.key",  # not the values: most that are worth it are short, and zstd sees to them
        *("events.list.element.name", "events.list.element.attributes.key_value.key"),
    ),
    footer=footer_of,
    left_out_if_empty=("events", "links"),  # twelve Parquet columns
    defaults={
        "sampling_probability": 1.0,
        **dict.fromkeys(("sampling_reason", "status_message", "trace_state"), ""),
        **dict.fromkeys(("resource", "scope_attributes"), "{}"),
        **dict.fromkeys(("flags", "kind", "status_code"), 0),
        **dict.fromkeys(("dropped_attributes", "dropped_events", "dropped_links"), 0),
    },
)


def write_segment(directory: Path, name: str, tables: Sequence[pa.Table], last_seq: int) -> SegmentInfo:
    """Write spans as a segment, durably. Raises OSError; then there is nothing under the name."""
    return write(directory, name, tables, last_seq, SPAN_LAYOUT)


@lru_cache(maxsize=1024)
def _index(path: Path, rows: int) -> SegmentIndex:
    return read_index(path, rows)


class Segment(SegmentFile):
    """A segment of spans to be read. Every method raises StoreCorruptError when a file can't be read back."""

    def __init__(self, directory: Path, info: SegmentInfo) -> None:
        super().__init__(directory, info, SPAN_LAYOUT)

    @property
    def index(self) -> SegmentIndex:
        """Mapped into memory at the first use; made anew when it is missing or damaged."""
        return self.opened_index(partial(_index, self.index_path, self.info.rows))

    def traces(self, keys: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """The rows of all traces with these keys (of other traces in the same row groups, none)."""
        runs = self.index.runs_of(np.array(keys, dtype=np.uint64))
        groups = sorted(
            {group for start, stop in runs for group in range(start // GROUP_ROWS, -(-stop // GROUP_ROWS))}
        )
        if not groups:
            return pa.schema([SPAN_SCHEMA.field(name) for name in columns]).empty_table()
        table = self.read(columns, groups)
        base = {group: number * GROUP_ROWS for number, group in enumerate(groups)}
        rows = [base[row // GROUP_ROWS] + row % GROUP_ROWS for start, stop in runs for row in range(start, stop)]
        return table.take(pa.array(rows, type=pa.int64()))
