"""OTLP trace requests -> the flat columns of ``store.telemetry.schema``, vectorised.

Called by ``observe.intake`` for what arrives and for what the write-ahead log replays. Malformed requests are found
here, before anything is acknowledged; single spans with impossible ids are dropped and counted.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from ptars._lib import MessageHandler

from homeostat.observe.decode.choice import Choice
from homeostat.observe.decode.common import (
    Decoded,
    Outcome,
    decode_groups,
    fixed,
    is_empty,
    nanoseconds,
    not_zero,
    null_where,
    refusing_panics,
)
from homeostat.observe.decode.counting import TRACE_LEVELS
from homeostat.observe.decode.schema import FULL, FULL_SERIALIZED, LEAN, LEAN_SERIALIZED
from homeostat.observe.decode.serialized import (
    SERIALIZED_SCHEMA,
    UNREADABLE,
    is_serialized,
    joined,
    may_stay,
    whole_table,
)
from homeostat.observe.decode.span_columns import table_of
from homeostat.observe.decode.span_parts import (
    ATTRIBUTES_MAX,
    CUT,
    ID_LENGTH,
    ZERO_ID,
    events_column,
    links_column,
    resource_texts,
    resource_words,
    scope_texts,
    scope_words,
    unsampled,
)
from homeostat.observe.decode.values import attribute_map
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.schema import SPAN_SCHEMA

if TYPE_CHECKING:
    from homeostat.observe.decode.span_walk import Walk as CompiledWalk

logger = logging.getLogger(__name__)

Rows = npt.NDArray[np.int64]
Faults = dict[str, npt.NDArray[np.bool_]]
"""By reason: which spans."""


def _compiled_walk() -> "type[CompiledWalk] | None":
    try:
        from homeostat.observe.decode import span_walk
    except ImportError:  # there was no compiler when the package was built
        return None
    return span_walk.Walk


Walk = _compiled_walk()

_DIFFERENT: Final = "What our walk took of some requests can't be read on; the library judges each of them"

__all__ = ["Decoded", "Outcome", "decode"]  # the first two for those who know only traces


def decode(requests: Sequence[bytes]) -> Decoded:
    """Decode serialized ``ExportTraceServiceRequest`` messages. A bad one spoils none of the others."""
    if Walk is not None:
        decoded = decode_for_sampling(requests)
        try:
            return Decoded(whole_table(decoded.table.to_batches()), decoded.outcomes)
        except UNREADABLE:
            logger.exception(_DIFFERENT)
    return decode_groups(requests, SPAN_SCHEMA, TRACE_LEVELS, _decode_list)


def decode_for_sampling(requests: Sequence[bytes]) -> Decoded:
    """The same, but attributes may stay serialized (``decode.serialized``)."""
    if Walk is not None:
        try:
            with refusing_panics():
                return _walked(Walk(sum(map(len, requests))), requests)
        except UNREADABLE:
            logger.exception(_DIFFERENT)
    return decode_by_library(requests)


def _walked(walk: "CompiledWalk", requests: Sequence[bytes]) -> Decoded:
    found = [walk.add(request) for request in requests]
    unusual = [request for request, counts in zip(requests, found, strict=True) if counts is None]
    walked = table_of(walk.columns())
    if not unusual:
        return Decoded(walked, tuple(_outcome(*counts) for counts in found if counts is not None))
    others = decode_by_library(unusual)
    left = iter(others.outcomes)
    outcomes = tuple(next(left) if counts is None else _outcome(*counts) for counts in found)
    table = joined([walked, others.table]).unify_dictionaries().combine_chunks()
    return Decoded(table.take(pa.array(_order(outcomes, [counts is None for counts in found]))), outcomes)


def _order(outcomes: Sequence[Outcome], is_unusual: Sequence[bool]) -> Rows:
    """Where the rows of each request lie, those of unusual requests behind all others, in the order of requests."""
    rows = np.array([outcome.accepted for outcome in outcomes], dtype=np.int64)
    last = np.array(is_unusual)
    request_of_row = np.concatenate([np.repeat(np.flatnonzero(which), rows[which]) for which in (~last, last)])
    return np.argsort(request_of_row, kind="stable")


def decode_by_library(requests: Sequence[bytes]) -> Decoded:
    """The same without our own walk, for what that leaves and for where it was not built."""
    return decode_groups(requests, SPAN_SCHEMA, TRACE_LEVELS, _decode_list_for_sampling, joined)


def _outcome(spans: int, wrong_length: int, zero: int, cut: int) -> Outcome:
    reasons = ((ID_LENGTH, wrong_length), (ZERO_ID, zero), (CUT, cut))
    return Outcome(spans, wrong_length + zero, reasons=tuple(reason for reason in reasons if reason[1]))


def _is_enough(of_request: pa.ListArray) -> bool:
    """Whether the lean handler has seen everything there is."""
    resources = of_request.flatten()
    scopes = resources.field("scope_spans").flatten()
    span = scopes.field("spans").flatten()
    if len(span.field("events").values) or len(span.field("links").values):
        return False
    holders = [
        holder.field("attributes").values for holder in (resources.field("resource"), scopes.field("scope"), span)
    ]
    return all(_all_seen(pairs.field("value")) for pairs in holders if pa.types.is_struct(pairs.type))


def _all_seen(values: pa.StructArray) -> bool:
    """Each value is a text or an integer."""
    present = len(values) * 2 - sum(values.field(name).null_count for name in ("string_value", "int_value"))
    return present == len(values)


def _choice(lean: MessageHandler, full: MessageHandler) -> Choice:
    return Choice(lean, full, message="ExportTraceServiceRequest", column="resource_spans", is_enough=_is_enough)


_CHOICE: Final = _choice(LEAN, FULL)
_SERIALIZED: Final = _choice(LEAN_SERIALIZED, FULL_SERIALIZED)


def _decode_list(requests: list[bytes]) -> tuple[pa.Table, list[Outcome]]:
    return _flatten(_CHOICE.parse(requests), len(requests))


def _decode_list_for_sampling(requests: list[bytes]) -> tuple[pa.Table, list[Outcome]]:
    of_request = _SERIALIZED.parse(requests)
    entries = (
        of_request.flatten().field("scope_spans").flatten().field("spans").flatten().field("attributes").flatten()
    )
    try:
        if may_stay(entries):
            return _flatten(of_request, len(requests))
    except ValueError as error:
        raise _SERIALIZED.malformed(error) from error
    return _decode_list(requests)


def _flatten(of_request: pa.ListArray, requests: int) -> tuple[pa.Table, list[Outcome]]:
    resources = of_request.flatten()
    of_resource = resources.field("scope_spans")
    scopes = of_resource.flatten()
    of_scope = scopes.field("spans")
    span = of_scope.flatten()
    if not len(span):
        return SPAN_SCHEMA.empty_table(), [Outcome()] * requests
    scope_of_span = pc.list_parent_indices(of_scope)
    resource_of_span = pc.take(pc.list_parent_indices(of_resource), scope_of_span)
    request_of_span = pc.take(pc.list_parent_indices(of_request), resource_of_span).to_numpy()
    faults, ids = _ids(span)
    attributes, cut = _bounded(span.field("attributes"))
    of_resources = resources.field("resource").field("attributes")
    columns = {
        **ids,
        **_span_columns(span, attributes, cut),
        **resource_words(resource_texts(of_resources), resource_of_span.to_numpy()),
        **scope_words(scope_texts(scopes.field("scope")), scope_of_span.to_numpy()),
    }
    schema = SERIALIZED_SCHEMA if is_serialized(columns["attributes"]) else SPAN_SCHEMA
    table = pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)
    valid = ~faults[ID_LENGTH] & ~faults[ZERO_ID]
    if not valid.all():
        table = table.filter(pa.array(valid))
    if cut.any():
        faults[CUT] = valid & (cut > 0)
    return table, _outcomes(request_of_span, requests, valid, faults)


def _outcomes(request_of_span: Rows, requests: int, valid: npt.NDArray[np.bool_], faults: Faults) -> list[Outcome]:
    received = np.bincount(request_of_span, minlength=requests)
    found = {reason: marks for reason, marks in faults.items() if marks.any()}
    if not found:
        return [Outcome(int(count)) for count in received]
    kept = np.bincount(request_of_span[valid], minlength=requests)
    by_reason = {reason: np.bincount(request_of_span[marks], minlength=requests) for reason, marks in found.items()}
    return [
        Outcome(
            int(kept[number]),
            int(received[number] - kept[number]),
            reasons=tuple((reason, int(counts[number])) for reason, counts in by_reason.items() if counts[number]),
        )
        for number in range(requests)
    ]


def _bounded(attributes: pa.ListArray) -> tuple[pa.ListArray, Rows]:
    """At most ``ATTRIBUTES_MAX`` of each span's attributes, the first ones, and how many were cut off."""
    offsets = attributes.offsets.to_numpy().astype(np.int64)
    lengths = np.diff(offsets)
    cut = np.maximum(lengths - ATTRIBUTES_MAX, 0)
    if not cut.any():
        return attributes, cut
    ends = np.concatenate([[0], np.cumsum(lengths - cut)])
    kept = np.arange(ends[-1]) + np.repeat(offsets[:-1] - ends[:-1], lengths - cut)
    return pa.ListArray.from_arrays(pa.array(ends.astype(np.int32)), attributes.values.take(pa.array(kept))), cut


def _ids(span: pa.StructArray) -> tuple[Faults, dict[str, pa.Array]]:
    """Which spans have impossible ids, by reason, and the columns. Possible are 16 and 8 bytes, not all of them zero;
    a parent has 8 bytes or none."""
    trace_sized, trace_id = fixed(span.field("trace_id"), 16)
    span_sized, span_id = fixed(span.field("span_id"), 8)
    parent_sized, parent_id = fixed(span.field("parent_span_id"), 8)
    sized = trace_sized & span_sized
    if not parent_sized.all():
        sized &= parent_sized | is_empty(span.field("parent_span_id"))
    faults: Faults = {ID_LENGTH: ~sized, ZERO_ID: sized & ~(not_zero(trace_id) & not_zero(span_id))}
    is_root = ~not_zero(parent_id)
    if is_root.any():  # some tracers write eight zeros where there is no parent
        parent_id = null_where(parent_id, is_root)
    return faults, {"trace_id": trace_id, "span_id": span_id, "parent_span_id": parent_id}


def _times(span: pa.StructArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Start and duration in ns. An end that is missing or before the start (skewed clocks) is a duration of 0."""
    start = nanoseconds(span.field("start_time_unix_nano"))
    end = nanoseconds(span.field("end_time_unix_nano"))
    return start, np.maximum(end - start, 0)


def _enum(values: pa.Int32Array, highest: int) -> pa.Int8Array:
    numbers = values.to_numpy()
    return pa.array(np.where((numbers >= 0) & (numbers <= highest), numbers, 0).astype(np.int8))


def _span_columns(span: pa.StructArray, attributes: pa.ListArray, cut: Rows) -> dict[str, pa.Array]:
    start, duration = _times(span)
    dropped = span.field("dropped_attributes_count")
    if cut.any():
        dropped = pa.array(np.minimum(dropped.to_numpy() + cut, np.iinfo(np.uint32).max).astype(np.uint32))
    status = span.field("status")
    return {
        "trace_state": span.field("trace_state"),
        "flags": span.field("flags"),
        "name": pc.dictionary_encode(span.field("name")),
        "kind": _enum(span.field("kind"), 5),
        "start_ns": pa.array(start),
        "duration_ns": pa.array(duration),
        "status_code": _enum(status.field("code"), 2),
        "status_message": status.field("message"),
        "attributes": attribute_map(attributes) if pa.types.is_struct(attributes.values.type) else attributes,
        "events": events_column(span.field("events")),
        "links": links_column(span.field("links")),
        "dropped_attributes": dropped,
        "dropped_events": span.field("dropped_events_count"),
        "dropped_links": span.field("dropped_links_count"),
        **unsampled(len(span)),
    }
