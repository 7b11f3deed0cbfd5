"""Columns of spans that both decoders make, ``traces`` from nested columns and ``span_columns`` from a walk."""

import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.observe.decode.common import nanoseconds, objects, words
from homeostat.observe.decode.values import attribute_map
from homeostat.store.telemetry.schema import EVENT, LINK, UNKNOWN_SERVICE

Texts = Sequence[tuple[str, ...]]
Numbers = npt.NDArray[np.integer[Any]]

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


def resource_texts(attributes: pa.ListArray) -> list[tuple[str, ...]]:
    """Service and JSON of each resource, from its decoded attributes."""
    entries = objects(attributes)
    return [
        (entry.get("service.name") or UNKNOWN_SERVICE, json.dumps(entry, ensure_ascii=False)) for entry in entries
    ]


def scope_texts(scopes: pa.StructArray) -> list[tuple[str, ...]]:
    """Name, version and JSON of each decoded scope."""
    attributes = [json.dumps(entry, ensure_ascii=False) for entry in objects(scopes.field("attributes"))]
    return list(zip(scopes.field("name").to_pylist(), scopes.field("version").to_pylist(), attributes, strict=True))


def resource_words(texts: Texts, resource_of_span: Numbers) -> dict[str, pa.Array]:
    """The columns that ``resource_texts`` become."""
    return _worded(("service", "resource"), texts, resource_of_span)


def scope_words(texts: Texts, scope_of_span: Numbers) -> dict[str, pa.Array]:
    """The columns that ``scope_texts`` become."""
    return _worded(("scope", "scope_version", "scope_attributes"), texts, scope_of_span)


def _worded(names: Sequence[str], texts: Texts, row_of: Numbers) -> dict[str, pa.Array]:
    return {name: words([text[place] for text in texts], row_of) for place, name in enumerate(names)}
