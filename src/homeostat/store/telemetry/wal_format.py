"""How one record of the write-ahead log looks on disk, and how a damaged file is read. Used by ``wal``.

A record is a header and a payload. The header begins with a marker, so that reading can go on behind a damaged place;
the checksum covers sequence number, kind and payload, so that a marker inside a payload is not taken for a record.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MARKER: Final = b"\xabHW1"
_HEADER: Final = struct.Struct("<4sIIQB")  # marker, payload length, crc32, sequence number, kind
HEADER_BYTES: Final = _HEADER.size
_COVERED: Final = struct.Struct("<QB")

KIND_TRACES: Final = 1
"""A serialized ExportTraceServiceRequest."""

KIND_METRICS: Final = 2
"""A serialized ExportMetricsServiceRequest."""

KIND_LOGS: Final = 3
"""A serialized ExportLogsServiceRequest."""


@dataclass(frozen=True, slots=True)
class Record:
    """One acknowledged request."""

    seq: int
    kind: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes ``[start, end)`` of a file that hold no record."""

    start: int
    end: int


def encode(seq: int, kind: int, payload: bytes) -> tuple[bytes, bytes]:
    """Header and payload, to be written one behind the other."""
    checksum = zlib.crc32(payload, zlib.crc32(_COVERED.pack(seq, kind)))
    return _HEADER.pack(MARKER, len(payload), checksum, seq, kind), payload


def scan(data: bytes) -> Iterator[tuple[int, Record | Damage]]:
    """Everything in a file, in order, each with the offset behind it."""
    offset = 0
    while offset < len(data):
        record = _record_at(data, offset)
        if record is not None:
            offset += HEADER_BYTES + len(record.payload)
            yield offset, record
            continue
        resume = _next_record(data, offset + 1)
        yield resume, Damage(offset, resume)
        offset = resume


def _record_at(data: bytes, offset: int) -> Record | None:
    if len(data) - offset < HEADER_BYTES:
        return None
    marker, length, checksum, seq, kind = _HEADER.unpack_from(data, offset)
    start = offset + HEADER_BYTES
    if marker != MARKER or length > len(data) - start:
        return None
    payload = data[start : start + length]
    if zlib.crc32(payload, zlib.crc32(_COVERED.pack(seq, kind))) != checksum:
        return None
    return Record(seq, kind, payload)


def _next_record(data: bytes, offset: int) -> int:
    """Where the next whole record begins, or the end of the data."""
    while (offset := data.find(MARKER, offset)) >= 0:
        if _record_at(data, offset) is not None:
            return offset
        offset += 1
    return len(data)
