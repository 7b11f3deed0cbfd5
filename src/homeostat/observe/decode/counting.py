"""How many rows a request would become, found without parsing it. ``decode.common`` asks it of large requests.

An empty span, metric point or log record is two bytes on the wire and a few hundred as columns; gzip makes a thousand
of one byte. So sixteen kilobytes could ask for gigabytes, and for minutes of the one thread that takes telemetry in.
"""

from typing import Final

ROWS_MAX: Final = 300_000
"""Resources, scopes, spans, metrics, points and log records of one request. Sent by SDKs: 512."""

FIELDS_MAX: Final = 1_000_000
"""Of all messages above the rows: walking them costs 0.7 us each."""

SCAN_BYTES_MIN: Final = 2 * ROWS_MAX
"""Fewer bytes can't hold more rows."""

Levels = tuple[frozenset[int], ...]
"""Field numbers that lead from a request to its rows; at the last one the rows are."""

_RESOURCES: Final = frozenset({1})
_INNER: Final = frozenset({2})
TRACE_LEVELS: Final[Levels] = (_RESOURCES, _INNER, _INNER)
LOG_LEVELS: Final[Levels] = (_RESOURCES, _INNER, _INNER)
METRIC_LEVELS: Final[Levels] = (_RESOURCES, _INNER, _INNER, frozenset({5, 7, 9, 10, 11}), frozenset({1}))

_FIXED: Final = {1: 8, 5: 4}
_LENGTH_DELIMITED: Final = 2
_VARINT: Final = 0


def has_too_many_rows(request: bytes, levels: Levels) -> bool:
    """Whether there are more than ROWS_MAX messages on the levels, or FIELDS_MAX fields in them.

    What is not protobuf is left to the decoder.
    """
    if len(request) <= SCAN_BYTES_MIN:
        return False
    try:
        rows, fields = _left(request, 0, len(request), levels, (ROWS_MAX, FIELDS_MAX))
        return rows < 0 or fields < 0
    except IndexError:
        return False


def _left(data: bytes, at: int, end: int, levels: Levels, allowance: tuple[int, int]) -> tuple[int, int]:
    """What remains of the rows and fields that are allowed after one message; negative as soon as there is none."""
    wanted, below = levels[0], levels[1:]
    rows, fields = allowance
    while at < end and rows >= 0 and fields >= 0:
        tag, at = _varint(data, at)
        wire = tag & 7
        fields -= 1
        if not tag >> 3:
            raise IndexError
        if wire == _LENGTH_DELIMITED:
            size, at = _varint(data, at)
            if tag >> 3 in wanted:
                rows -= 1
                if below:
                    rows, fields = _left(data, at, min(at + size, end), below, (rows, fields))
            at += size
        elif wire == _VARINT:
            _, at = _varint(data, at)
        elif wire in _FIXED:
            at += _FIXED[wire]
        else:
            raise IndexError
    return rows, fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends. Raises IndexError at the end of the data, and for more than ten bytes."""
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value = byte & 0x7F
    for shift in range(7, 70, 7):
        at += 1
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
    raise IndexError
