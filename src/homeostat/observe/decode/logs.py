"""OTLP log requests -> the flat columns of ``store.telemetry.log_schema``, one row per record.

Called by the intake of logs, for what arrives and for what its log replays. A record is never dropped: an id of
the wrong length or of zeros is left out (and counted), a time that is not said is the time it was observed.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from homeostat.core.ports import Clock
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
    resource_columns,
    scope_columns,
)
from homeostat.observe.decode.counting import LOG_LEVELS
from homeostat.observe.decode.flat import RARE_VALUES, handler
from homeostat.observe.decode.values import attribute_map, value_text
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.log_schema import LOG_SCHEMA

_FULL: Final = handler(ExportLogsServiceRequest, "homeostat_logs")
_LEAN: Final = handler(ExportLogsServiceRequest, "homeostat_logs_lean", left_out=RARE_VALUES)
"""Where all values are texts and integers: every builder costs its share of every attribute, used or not. A value of
another type comes as null, so that one sees when this was not enough."""

_SEVERITY_MAX: Final = 24

Mask = npt.NDArray[np.bool_]


def decode_logs(requests: Sequence[bytes], *, now_ns: int = 0) -> Decoded:
    """Decode serialized ``ExportLogsServiceRequest`` messages. A bad one spoils none of the others.

    ``now_ns`` (Unix time) is given to records that say neither when they happened nor when they were observed.
    """
    return decode_groups(requests, LOG_SCHEMA, LOG_LEVELS, partial(_decode_list, now_ns))


def logs_decoder(clock: Clock) -> Callable[[Sequence[bytes]], Decoded]:
    """``decode_logs`` with the clock's time for records without any."""
    return lambda requests: decode_logs(requests, now_ns=int(clock.now().timestamp() * 1e9))


def _decode_list(now_ns: int, requests: list[bytes]) -> tuple[pa.Table, list[Outcome]]:
    of_request = _CHOICE.parse(requests)
    resources = of_request.flatten()
    of_resource = resources.field("scope_logs")
    scopes = of_resource.flatten()
    of_scope = scopes.field("log_records")
    record = of_scope.flatten()
    if not len(record):
        return LOG_SCHEMA.empty_table(), [Outcome()] * len(requests)
    scope_of = pc.list_parent_indices(of_scope).to_numpy()
    resource_of = pc.list_parent_indices(of_resource).to_numpy()[scope_of]
    request_of = pc.list_parent_indices(of_request).to_numpy()[resource_of]
    trace_mended, trace_id = _id(record.field("trace_id"), 16)
    span_mended, span_id = _id(record.field("span_id"), 8)
    columns = {
        "trace_id": trace_id,
        "span_id": span_id,
        **_record_columns(record, now_ns),
        **resource_columns(resources.field("resource"), resource_of),
        **scope_columns(scopes.field("scope"), scope_of),
    }
    table = pa.Table.from_arrays([columns[name] for name in LOG_SCHEMA.names], schema=LOG_SCHEMA)
    accepted = np.bincount(request_of, minlength=len(requests))
    mended = np.bincount(request_of[trace_mended | span_mended], minlength=len(requests))
    untimed = np.bincount(request_of[_untimed(record)], minlength=len(requests))
    counts = zip(accepted.tolist(), mended.tolist(), untimed.tolist(), strict=True)
    return table, [_outcome(*of_request) for of_request in counts]


def _values_in(of_request: pa.ListArray) -> Iterator[pa.StructArray]:
    """Every column of AnyValue."""
    resources = of_request.flatten()
    scopes = resources.field("scope_logs").flatten()
    record = scopes.field("log_records").flatten()
    yield record.field("body")
    for owner in (record, scopes.field("scope"), resources.field("resource")):
        yield owner.field("attributes").values.field("value")


def _is_read(values: pa.StructArray) -> bool:
    """Whether each value that is there is a text or an integer."""
    text, whole = values.field("string_value"), values.field("int_value")
    if not text.null_count or not whole.null_count:
        return True
    found = (len(text) - text.null_count) + (len(whole) - whole.null_count)
    return found >= len(values) - values.null_count  # it is one of a kind: no value is both


def _is_enough(of_request: pa.ListArray) -> bool:
    """Whether the lean handler has seen everything there is."""
    return all(_is_read(values) for values in _values_in(of_request))


_CHOICE: Final = Choice(
    _LEAN, _FULL, message="ExportLogsServiceRequest", column="resource_logs", is_enough=_is_enough
)


def _outcome(accepted: int, mended: int, untimed: int) -> Outcome:
    return Outcome(accepted, reasons=(("log_record_id", mended),) if mended else (), is_timed=not untimed)


def _untimed(record: pa.StructArray) -> Mask:
    """Records that say neither when they happened nor when they were observed."""
    return (nanoseconds(record.field("observed_time_unix_nano")) == 0) & (
        nanoseconds(record.field("time_unix_nano")) == 0
    )


def _id(ids: pa.BinaryArray, width: int) -> tuple[Mask, pa.FixedSizeBinaryArray]:
    """Which ids were given with a wrong length, and the column; null for those and for none (no bytes, or zeros)."""
    sized, column = fixed(ids, width)
    present = not_zero(column)
    return ~sized & ~is_empty(ids), column if present.all() else null_where(column, ~present)


def _record_columns(record: pa.StructArray, now_ns: int) -> dict[str, pa.Array]:
    observed = nanoseconds(record.field("observed_time_unix_nano"))
    happened = nanoseconds(record.field("time_unix_nano"))
    observed = np.where(observed == 0, np.where(happened == 0, now_ns, happened), observed)
    severity = record.field("severity_number").to_numpy()
    in_range = (severity >= 0) & (severity <= _SEVERITY_MAX)
    return {
        "time_ns": pa.array(np.where(happened == 0, observed, happened)),
        "observed_ns": pa.array(observed),
        "flags": record.field("flags"),
        "severity": pa.array(np.where(in_range, severity, 0).astype(np.int8)),
        "severity_text": pc.dictionary_encode(record.field("severity_text")),
        "event_name": pc.dictionary_encode(record.field("event_name")),
        "body": value_text(record.field("body")),
        "attributes": attribute_map(record.field("attributes")),
        "dropped_attributes": record.field("dropped_attributes_count"),
    }
