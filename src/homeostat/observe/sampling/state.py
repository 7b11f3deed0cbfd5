"""What sampling must remember over a restart, as bytes: decisions, and the fractions that shares carry along.

Written by ``sampler.snapshot``. A header in JSON, the arrays behind it, a checksum over all.
"""

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from homeostat.core.errors import StoreCorruptError

_MAGIC: Final = b"HSAMPLE1"
_LENGTH: Final = struct.Struct("<I")

Arrays = Mapping[str, npt.NDArray[Any]]


def pack(header: Mapping[str, object], arrays: Arrays) -> bytes:
    """Bytes that ``unpack`` understands."""
    described = {name: [array.dtype.str, len(array)] for name, array in arrays.items()}
    head = json.dumps({**header, "arrays": described}).encode()
    body = b"".join([_MAGIC, _LENGTH.pack(len(head)), head, *(array.tobytes() for array in arrays.values())])
    return body + _LENGTH.pack(zlib.crc32(body))


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Header and arrays. Raises StoreCorruptError for anything that ``pack`` did not write."""
    try:
        return _unpacked(data)
    except (ValueError, KeyError, TypeError, struct.error, AttributeError) as error:
        raise StoreCorruptError(
            f"The sampler's state can't be read back ({error}). Decisions made before are not remembered: "
            "late spans of those traces are sampled on their own"
        ) from error


def _unpacked(data: bytes) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    body, checksum = data[: -_LENGTH.size], data[-_LENGTH.size :]
    if not body.startswith(_MAGIC) or _LENGTH.unpack(checksum)[0] != zlib.crc32(body):
        raise ValueError("it is damaged or of another kind")
    (length,) = _LENGTH.unpack_from(body, len(_MAGIC))
    position = len(_MAGIC) + _LENGTH.size + length
    header: dict[str, Any] = json.loads(body[len(_MAGIC) + _LENGTH.size : position])
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, (kind, count) in header["arrays"].items():
        arrays[name] = np.frombuffer(body, dtype=np.dtype(kind), count=count, offset=position)
        position += arrays[name].nbytes
    return header, arrays
