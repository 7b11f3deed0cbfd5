"""Columns of spans that both decoders make, ``traces`` from nested columns and ``span_columns`` from a walk."""

from typing import Final

import numpy as np
import pyarrow as pa

from homeostat.observe.decode.common import nanoseconds
from homeostat.observe.decode.values import attribute_map
from homeostat.store.telemetry.schema import EVENT, LINK

_NO_REASON = pa.array([""], pa.string())  # made once: pyarrow looks for pandas each time it is given a list

ATTRIBUTES_MAX: Final = 1_024
"""Of one span. OpenTelemetry's SDKs keep 128."""

ID_LENGTH: Final = "id_length"
ZERO_ID: Final = "zero_id"
CUT: Final = "attributes_cut"


def unsampled(rows: int) -> dict[str, pa.Array]:
    """The sampling columns of spans that nobody has sampled: each stands for itself."""
    reasons = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, dtype=np.int32)), _NO_REASON)
    return {"sampling_probability": pa.array(np.ones(rows, dtype=np.float32)), "sampling_reason": reasons}


def events_column(events: pa.ListArray) -> pa.ListArray:
    """Lists of decoded Event messages as the schema has them."""
    event = events.values
    if not len(event):
        return empty_lists(len(events), EVENT)
    time = nanoseconds(event.field("time_unix_nano"))
    fields = [
        pa.array(time),
        event.field("name"),
        attribute_map(event.field("attributes")),
        event.field("dropped_attributes_count"),
    ]
    return pa.ListArray.from_arrays(events.offsets, pa.StructArray.from_arrays(fields, fields=list(EVENT)))


def links_column(links: pa.ListArray) -> pa.ListArray:
    """Lists of decoded Link messages as the schema has them."""
    link = links.values
    if not len(link):
        return empty_lists(len(links), LINK)
    fields = [
        link.field("trace_id"),
        link.field("span_id"),
        link.field("trace_state"),
        attribute_map(link.field("attributes")),
        link.field("dropped_attributes_count"),
        link.field("flags"),
    ]
    return pa.ListArray.from_arrays(links.offsets, pa.StructArray.from_arrays(fields, fields=list(LINK)))


def empty_lists(count: int, of: pa.StructType) -> pa.ListArray:
    """So many lists with nothing in them."""
    return pa.ListArray.from_arrays(pa.array(np.zeros(count + 1, dtype=np.int32)), pa.array([], type=of))
