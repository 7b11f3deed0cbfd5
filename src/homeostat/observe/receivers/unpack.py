"""Decompression of bodies, never to more than a bound. Used by ``body`` and by the Prometheus receiver.

Each function takes the body and the most bytes that it may become; each raises RefusedError.
"""

import sys
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

import cramjam

from homeostat.observe.receivers.refusal import (
    GRPC_INVALID_ARGUMENT,
    GRPC_RESOURCE_EXHAUSTED,
    Refusal,
    RefusedError,
)

if TYPE_CHECKING or sys.version_info < (3, 14):
    from backports import zstd  # in the standard library from 3.14 on
else:
    from compression import zstd

Unpack = Callable[[bytes, int], bytes]

_GZIP: Final = 16 + zlib.MAX_WBITS
_ZSTD_WINDOW_LOG_MAX: Final = 23  # 8 MiB: what RFC 8878 asks every decoder to support, and as much memory each

_MEMBERS_MAX: Final = 64  # concatenated files: each leaves a copy of all that follow it


class _Inflater(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def too_large(max_bytes: int) -> RefusedError:
    """The refusal of what is larger than ``receivers.max_request_mib``."""
    message = f"More than {max_bytes >> 20} MiB (receivers.max_request_mib). Send smaller batches."
    return RefusedError(Refusal(413, GRPC_RESOURCE_EXHAUSTED, "too_large", message))


def gunzip(body: bytes, max_bytes: int) -> bytes:
    """gzip (RFC 1952); files may be concatenated."""
    return _stream("gzip", lambda: zlib.decompressobj(_GZIP), body, max_bytes)


def inflate(body: bytes, max_bytes: int) -> bytes:
    """HTTP's ``deflate``: zlib's format (RFC 1950); some senders leave its two bytes of header out (RFC 1951)."""
    has_header = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
    width = zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS
    return _stream("deflate", lambda: zlib.decompressobj(width), body, max_bytes)


def unzstd(body: bytes, max_bytes: int) -> bytes:
    """Zstandard (RFC 8878); frames may be concatenated."""
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG_MAX}
    return _stream("zstd", lambda: zstd.ZstdDecompressor(options=options), body, max_bytes)


def unsnap(body: bytes, max_bytes: int) -> bytes:
    """One Snappy block, as Prometheus remote-write sends it: it says its length at the start."""
    try:
        if cramjam.snappy.decompress_raw_len(body) > max_bytes:
            raise too_large(max_bytes)
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise _broken("snappy", str(error)) from error


def _stream(name: str, make: Callable[[], _Inflater], body: bytes, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    left = max_bytes
    while body:
        if len(parts) == _MEMBERS_MAX:
            raise _broken(name, f"it has more than {_MEMBERS_MAX} parts")
        inflater = make()
        try:
            parts.append(inflater.decompress(body, left + 1))
        except (zlib.error, zstd.ZstdError) as error:
            raise _broken(name, str(error)) from error
        left -= len(parts[-1])
        if left < 0:
            raise too_large(max_bytes)
        if not inflater.eof:
            raise _broken(name, "it ends too early")
        body = inflater.unused_data
    return b"".join(parts)


def _broken(name: str, why: str) -> RefusedError:
    return RefusedError(Refusal(400, GRPC_INVALID_ARGUMENT, name, f"The body is not {name}: {why}."))


UNPACKERS: Final[Mapping[bytes, Unpack]] = {
    b"gzip": gunzip,
    b"x-gzip": gunzip,
    b"deflate": inflate,
    b"zstd": unzstd,
    b"snappy": unsnap,
}
"""By Content-Encoding."""
