"""How one record of the write-ahead log looks on disk, and how a damaged file is read. Used by ``wal``.

A record is a header and a payload. The header begins with a marker, so that reading can go on behind a damaged place;
the checksum covers sequence number, kind and payload, so that a marker inside a payload is not taken for a record.
A payload of some size is packed (LZ4, a quarter of its length): that takes half the CPU that writing the rest would.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

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


_PACKED: Final = 0x80  # set in the kind of a record whose payload is packed
_PACKED_FROM_BYTES: Final = 2_048
_PAYLOAD_BYTES_MAX: Final = 1 << 31
_LENGTH: Final = struct.Struct("<I")  # of the payload as it was, before the packed one
_LZ4: Final = pa.Codec("lz4_raw")


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
    if len(payload) >= _PACKED_FROM_BYTES:
        packed: bytes = _LZ4.compress(payload, asbytes=True)
        if len(packed) < len(payload) * 3 // 4:
            payload, kind = _LENGTH.pack(len(payload)) + packed, kind | _PACKED
    checksum = zlib.crc32(payload, zlib.crc32(_COVERED.pack(seq, kind)))
    return _HEADER.pack(MARKER, len(payload), checksum, seq, kind), payload


def scan(data: bytes) -> Iterator[tuple[int, Record | Damage]]:
    """Everything in a file, in order, each with the offset behind it."""
    offset = 0
    while offset < len(data):
        found = _record_at(data, offset)
        if found is not None:
            record, offset = found
            yield offset, record
            continue
        resume = _next_record(data, offset + 1)
        yield resume, Damage(offset, resume)
        offset = resume


def _record_at(data: bytes, offset: int) -> tuple[Record, int] | None:
    """The record that begins there, and the offset behind it."""
    if len(data) - offset < HEADER_BYTES:
        return None
    marker, length, checksum, seq, kind = _HEADER.unpack_from(data, offset)
    start = offset + HEADER_BYTES
    if marker != MARKER or length > len(data) - start:
        return None
    payload = data[start : start + length]
    if zlib.crc32(payload, zlib.crc32(_COVERED.pack(seq, kind))) != checksum:
        return None
    if kind & _PACKED:
        kind, unpacked = kind & ~_PACKED, _unpacked(payload)
        if unpacked is None:
            return None
        payload = unpacked
    return Record(seq, kind, payload), start + length


def _unpacked(packed: bytes) -> bytes | None:
    """The payload as it was; None for what nobody has packed."""
    if len(packed) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack_from(packed)
    if length > _PAYLOAD_BYTES_MAX:
        return None
    try:
        return _LZ4.decompress(packed[_LENGTH.size :], decompressed_size=length, asbytes=True)
    except (OSError, ValueError, pa.ArrowException):
        return None


def _next_record(data: bytes, offset: int) -> int:
    """Where the next whole record begins, or the end of the data."""
    while (offset := data.find(MARKER, offset)) >= 0:
        if _record_at(data, offset) is not None:
            return offset
        offset += 1
    return len(data)
