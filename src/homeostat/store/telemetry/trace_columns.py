"""The rows of one trace as ``core.trace_columns``, and a text within them: without an object for each span.

Used by ``store``. The same rules as in ``rows``: a span that was stored twice is there once, and the order is by
start, of those that start together the root first, then the longer ones.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.core.trace_columns import NO_PARENT, PARENT_MISSING, SPAN_ID_DIGITS, TraceColumns
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.rows import from_ns, probability_of
from homeostat.store.telemetry.schema import KINDS, column, id_words

TRACE_COLUMNS: Final = (
    "trace_id",
    "span_id",
    "parent_span_id",
    "service",
    "name",
    "start_ns",
    "duration_ns",
    "kind",
    "status_code",
    "sampling_probability",
    "sampling_reason",
)
"""What ``columns_of`` reads."""

TEXT_COLUMNS: Final = (
    *("trace_id", "span_id", "parent_span_id", "start_ns", "duration_ns"),
    *("service", "name", "kind", "status_message", "attributes", "events"),
)
"""What ``spans_with`` reads."""

Numbers = npt.NDArray[np.int64]


def columns_of(trace_id: str, spans: pa.Table) -> TraceColumns | None:
    """A trace from all of its rows (``TRACE_COLUMNS``), in any order; None without rows."""
    if not spans.num_rows:
        return None
    spans = _in_order(spans)
    starts = _numbers(spans, "start_ns")
    services, service = _words(spans, "service")
    names, name = _words(spans, "name")
    given = spans.column("sampling_probability").to_pylist()
    reasons = pc.unique(_texts(spans, "sampling_reason")).to_pylist()
    first_ns = int(starts[0])
    return TraceColumns(
        trace_id=trace_id,
        start=from_ns(first_ns),
        start_unix_nano=first_ns,
        span_ids=_ids(spans).tobytes().hex(),
        parents=_listed(_parents(spans)),
        services=services,
        service=_listed(service),
        names=names,
        name=_listed(name),
        start_ns=_listed(starts - first_ns),
        duration_ns=_listed(np.maximum(_numbers(spans, "duration_ns"), 0)),
        kind=_listed(_numbers(spans, "kind")),
        status=_listed(_numbers(spans, "status_code")),
        sampling_probability=probability_of(given),
        sampling_reason=next(filter(None, reasons), ""),
    )


def spans_with(spans: pa.Table, text: str) -> list[str]:
    """Ids (hex) of the spans in which the text occurs, in any case, by start.

    In the service, the name, the id, the kind, the status message, an attribute as ``key=value``, or an event's name.
    """
    if not spans.num_rows:
        return []
    spans = _in_order(spans)
    digits = _ids(spans).tobytes().hex()
    ids = [digits[at : at + SPAN_ID_DIGITS] for at in range(0, len(digits), SPAN_ID_DIGITS)]
    wanted = text.lower()
    kinds = np.array([wanted in kind for kind in KINDS])
    found = kinds[_numbers(spans, "kind")] | np.array([wanted in one for one in ids])
    for name in ("service", "name", "status_message"):
        found |= _holds(_texts(spans, name), text)
    attributes = column(spans, "attributes")
    keys = attributes.keys
    keys = keys.cast(pa.string()) if pa.types.is_dictionary(keys.type) else keys
    pairs = pc.binary_join_element_wise(keys, pc.fill_null(attributes.items, ""), "=")
    _mark(found, attributes.offsets, _holds(pairs, text))
    events = column(spans, "events")
    _mark(found, events.offsets, _holds(pc.struct_field(events.values, "name"), text))
    return [ids[row] for row in np.flatnonzero(found).tolist()]


def _in_order(spans: pa.Table) -> pa.Table:
    """Each span once (the one that came last), by the order of the trace."""
    keys = id_words(column(spans, "span_id"))[:, 0]
    last = len(keys) - 1 - np.unique(keys[::-1], return_index=True)[1]
    starts, lengths = _numbers(spans, "start_ns")[last], _numbers(spans, "duration_ns")[last]
    is_child = column(spans, "parent_span_id").is_valid().to_numpy(zero_copy_only=False)[last]
    order = np.lexsort((keys[last], -lengths, is_child, starts))
    return spans.take(pa.array(last[order]))


def _ids(spans: pa.Table) -> npt.NDArray[np.uint8]:
    """The bytes of the span ids, shape ``(rows * 8,)``."""
    words = id_words(column(spans, "span_id"))[:, 0]
    return words.astype(">u8").view(np.uint8)


def _parents(spans: pa.Table) -> Numbers:
    """The row of each span's parent; every id is there once."""
    keys = id_words(column(spans, "span_id"))[:, 0]
    column_of_parents = column(spans, "parent_span_id")
    named = column_of_parents.is_valid().to_numpy(zero_copy_only=False)
    wanted = id_words(column_of_parents)[:, 0]
    by_key = np.argsort(keys)
    at = by_key[np.minimum(np.searchsorted(keys, wanted, sorter=by_key), len(keys) - 1)]
    parents = np.where(keys[at] == wanted, at, PARENT_MISSING)
    return np.where(named, parents, NO_PARENT)


def _numbers(spans: pa.Table, name: str) -> Numbers:
    return column(spans, name).to_numpy(zero_copy_only=False).astype(np.int64)


def _texts(spans: pa.Table, name: str) -> pa.Array:
    texts = column(spans, name)
    return pc.fill_null(texts.cast(pa.string()) if pa.types.is_dictionary(texts.type) else texts, "")


def _words(spans: pa.Table, name: str) -> tuple[tuple[str, ...], Numbers]:
    """The different texts of a column, and which of them each row has."""
    encoded = pc.dictionary_encode(_texts(spans, name))
    return tuple(encoded.dictionary.to_pylist()), encoded.indices.to_numpy().astype(np.int64)


def _listed(numbers: Numbers) -> tuple[int, ...]:
    return tuple(numbers.tolist())


def _holds(texts: pa.Array, text: str) -> npt.NDArray[np.bool_]:
    found = pc.match_substring(texts, text, ignore_case=True)
    return pc.fill_null(found, False).to_numpy(zero_copy_only=False)


def _mark(found: npt.NDArray[np.bool_], offsets: pa.Array, held: npt.NDArray[np.bool_]) -> None:
    """Mark the rows in whose part of a list (from ``offsets[row]`` on) something was held."""
    starts = offsets.to_numpy()
    hits = np.flatnonzero(held)
    hits = hits[(hits >= starts[0]) & (hits < starts[-1])]
    found[np.searchsorted(starts, hits, side="right") - 1] = True
