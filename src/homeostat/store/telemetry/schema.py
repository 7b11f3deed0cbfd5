"""The columns of a span, in memory and on disk: what ``observe.decode`` makes and every segment holds.

Values that repeat (service, name, resource, scope) are dictionary-encoded: a span then costs four bytes for each.
Resource and scope attributes are JSON objects as text, so that any Parquet tool can read them without a join.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.store.telemetry.arrow import pc

WORD: Final = pa.dictionary(pa.int32(), pa.string())
"""A text that repeats."""

ATTRIBUTES: Final = pa.map_(pa.string(), pa.string())

EVENT: Final = pa.struct(
    [("time_ns", pa.int64()), ("name", pa.string()), ("attributes", ATTRIBUTES), ("dropped_attributes", pa.uint32())]
)

LINK: Final = pa.struct(
    [
        ("trace_id", pa.binary()),
        ("span_id", pa.binary()),
        ("trace_state", pa.string()),
        ("attributes", ATTRIBUTES),
        ("dropped_attributes", pa.uint32()),
        ("flags", pa.uint32()),
    ]
)

SPAN_SCHEMA: Final = pa.schema(
    [
        ("trace_id", pa.binary(16)),
        ("span_id", pa.binary(8)),
        ("parent_span_id", pa.binary(8)),  # null: the root of its trace
        ("trace_state", pa.string()),
        ("flags", pa.uint32()),
        ("service", WORD),
        ("name", WORD),
        ("kind", pa.int8()),  # the OTLP enum, 0..5
        ("start_ns", pa.int64()),  # Unix time
        ("duration_ns", pa.int64()),
        ("status_code", pa.int8()),  # the OTLP enum: 0 unset, 1 ok, 2 error
        ("status_message", pa.string()),
        ("resource", WORD),  # a JSON object
        ("scope", WORD),
        ("scope_version", WORD),
        ("scope_attributes", WORD),  # a JSON object
        ("attributes", ATTRIBUTES),
        ("events", pa.list_(EVENT)),
        ("links", pa.list_(LINK)),
        ("dropped_attributes", pa.uint32()),
        ("dropped_events", pa.uint32()),
        ("dropped_links", pa.uint32()),
        ("sampling_probability", pa.float32()),  # each such trace stands for 1 / probability
        ("sampling_reason", WORD),  # the policy that kept the trace; empty: no sampling was on
    ]
)

KINDS: Final = ("unspecified", "internal", "server", "client", "producer", "consumer")
KIND_SERVER: Final = 2
KIND_CLIENT: Final = 3
KIND_PRODUCER: Final = 4
KIND_CONSUMER: Final = 5

STATUSES: Final = ("unset", "ok", "error")
STATUS_ERROR: Final = 2

UNKNOWN_SERVICE: Final = "unknown_service"
"""What OpenTelemetry's SDKs call a service that has no name."""

Words = npt.NDArray[np.uint64]


def id_words(ids: pa.FixedSizeBinaryArray) -> Words:
    """The bytes of an id column as big-endian 64-bit words, shape ``(rows, width / 8)``. Nulls read as anything."""
    words = ids.type.byte_width // 8
    data = ids.buffers()[1]
    if data is None or not len(ids):
        return np.zeros((0, words), dtype=np.uint64)
    flat = np.frombuffer(data, dtype=">u8", count=len(ids) * words, offset=ids.offset * words * 8)
    return flat.reshape(-1, words).astype(np.uint64)


def trace_keys(ids: pa.FixedSizeBinaryArray) -> npt.NDArray[np.uint64]:
    """What segments are sorted and indexed by: the low eight bytes of each trace id.

    The low half, because that is where W3C Trace Context (level 2) wants the randomness; the high half is zero
    for tracers with 64-bit ids and begins with the time for others.
    """
    return id_words(ids)[:, 1]


def trace_key(trace_id: bytes) -> int:
    """The sort key of one trace id of 16 bytes."""
    return int.from_bytes(trace_id[8:], "big")


_HEX: Final = np.array([list(f"{byte:02x}".encode()) for byte in range(256)], dtype=np.uint8)


def hex_texts(ids: pa.FixedSizeBinaryArray) -> pa.StringArray:
    """Each id as lower-case hexadecimal digits; null where there is none."""
    width = ids.type.byte_width
    whole = pc.fill_null(ids, pa.scalar(bytes(width), ids.type))
    raw = np.frombuffer(whole.buffers()[1] or b"", dtype=np.uint8)[whole.offset * width :][: len(ids) * width]
    offsets = np.arange(len(ids) + 1, dtype=np.int32) * (2 * width)
    texts = pa.StringArray.from_buffers(len(ids), pa.py_buffer(offsets), pa.py_buffer(_HEX[raw].tobytes()))
    return pc.if_else(pc.is_valid(ids), texts, None)


def column(table: pa.Table, name: str) -> pa.Array:
    """A column as one array, whatever its chunks (dictionaries are unified)."""
    values = table.column(name)
    if values.num_chunks == 1:
        return values.chunk(0)  # combine_chunks() would copy it
    combined = values.combine_chunks()
    if isinstance(combined, pa.ChunkedArray):
        return combined.chunk(0) if combined.num_chunks else pa.array([], type=combined.type)
    return combined
