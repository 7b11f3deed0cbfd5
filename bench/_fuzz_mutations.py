"""Makes bad payloads of good ones, for ``bench.fuzz``: by bytes, by the grammar of the encoding, and bombs."""

import gzip
import json
import random
import string
from collections.abc import Callable
from typing import Final

INTERESTING: Final = [
    *(value.to_bytes(1, "big") for value in (0, 1, 0x7F, 0x80, 0xFF)),
    *(value.to_bytes(4, order) for value in (0x7FFFFFFF, 0x80000000, 0xFFFFFFFF) for order in ("big", "little")),
    b"\xff" * 9 + b"\x01",  # the largest varint
    b"\x80" * 10,
    b"\x00" * 8,
    "\u0000\ufeff\U0001f600".encode(),
    b"\xed\xa0\x80",  # a lone surrogate
    b"\xc0\x80",
]
"""Where parsers trip."""

_SPLICE_MAX: Final = 64 << 10


def by_bytes(chance: random.Random, seed: bytes, seeds: list[bytes]) -> bytes:
    """A few changes without any idea of the format."""
    data = bytearray(seed)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(8):
            case 0 if data:
                data[at % len(data)] ^= 1 << chance.randrange(8)
            case 1 if data:
                data[at % len(data)] = chance.randrange(256)
            case 2:
                data[at:at] = chance.choice(INTERESTING)
            case 3:
                end = min(len(data), at + chance.choice((1, 2, 4, 8, 100)))
                del data[at:end]
            case 4:
                del data[at:]
            case 5:
                other = chance.choice(seeds)
                begin = chance.randrange(len(other) + 1)
                data[at:at] = other[begin : begin + chance.randrange(1, 200)]
            case 6:
                end = min(len(data), at + chance.randrange(1, 64))
                data[at:end] = data[at:end] * chance.choice((2, 3, 50))
            case _:
                data[at:at] = chance.randbytes(chance.choice((1, 4, 32, 1000)))
        if len(data) > _SPLICE_MAX:
            del data[_SPLICE_MAX:]
    return bytes(data)


# -- protobuf -----------------------------------------------------------------------------------------------------


def varint(value: int) -> bytes:
    """As protobuf and Thrift's compact protocol write it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, body: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(body)) + body


class _NoMessageError(Exception):
    """Bytes that are no protobuf message."""


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A varint and where it ends."""
    value = 0
    for shift in range(0, 64, 7):
        if at >= len(data):
            break
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    raise _NoMessageError


def _fields(data: bytes) -> list[tuple[int, int, bytes]]:
    """Number, wire type and body of each field."""
    found: list[tuple[int, int, bytes]] = []
    at = 0
    while at < len(data):
        tag, at = _number(data, at)
        begin, wire = at, tag & 7
        if wire == 0:
            _, at = _number(data, at)
        elif wire == 2:
            size, begin = _number(data, at)
            at = begin + size
        elif wire in {1, 5}:
            at += 8 if wire == 1 else 4
        else:
            raise _NoMessageError
        if at > len(data) or not tag >> 3:
            raise _NoMessageError
        found.append((tag >> 3, wire, data[begin:at]))
    return found


def by_protobuf(chance: random.Random, seed: bytes, seeds: list[bytes]) -> bytes:
    """Change one field somewhere in the tree: its number, type, length, content, or how often it is there."""
    try:
        fields = _fields(seed)
    except _NoMessageError:
        fields = []
    if not fields:
        return by_bytes(chance, seed, seeds)
    parts = [_encoded(*each) for each in fields]
    at = chance.randrange(len(fields))
    number, wire, body = fields[at]
    if wire == 2 and chance.random() < 0.6:
        inner = by_protobuf(chance, body, seeds) if body else chance.choice(INTERESTING)
        parts[at] = field(number, inner)
    elif chance.random() < 0.1:
        chance.shuffle(parts)
    else:
        parts[at] = _other_field(chance, number, wire, body)
    return b"".join(parts)[: _SPLICE_MAX * 4]


def _other_field(chance: random.Random, number: int, wire: int, body: bytes) -> bytes:
    """In the place of one field: none, many, or one that is not what it says."""
    encoded = _encoded(number, wire, body)
    match chance.randrange(6):
        case 0:
            return encoded * chance.choice((0, 2, 10, 300))
        case 1:
            return _encoded(chance.choice((1, 2, 3, 15, 16, 536870911)), wire, body)
        case 2:
            return varint(number << 3 | chance.randrange(8)) + body
        case 3 if wire == 2:
            return varint(number << 3 | 2) + varint(chance.choice((0, 1, 2**31, 2**63, len(body) + 1))) + body
        case 4:
            for _ in range(chance.choice((3, 50, 150))):
                encoded = field(number, encoded)
            return encoded
        case _:
            return varint(number << 3 | wire) + chance.choice(INTERESTING)


def _encoded(number: int, wire: int, body: bytes) -> bytes:
    return varint(number << 3 | wire) + (varint(len(body)) + body if wire == 2 else body)


# -- JSON ---------------------------------------------------------------------------------------------------------

_ATOMS: Final = [
    None,
    True,
    0,
    -1,
    2**63,
    2**64,
    -(2**63) - 1,
    10**400,
    1.5,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x" * 5000,
    "\ud800",
    "\x00",
    "zz",
    "0" * 32,
    "f" * 33,
    [],
    {},
    [[[]]],
    {"a": {"b": []}},
]


def by_json(chance: random.Random, seed: bytes, seeds: list[bytes]) -> bytes:
    """Change one value, key or list somewhere in the tree."""
    try:
        document = json.loads(seed)
    except ValueError:
        return by_bytes(chance, seed, seeds)
    changed = _changed(chance, document)
    return json.dumps(changed, ensure_ascii=chance.random() < 0.8).encode("utf-8", "surrogatepass")


def _changed(chance: random.Random, value: object) -> object:
    if not isinstance(value, dict | list) or not value or chance.random() < 0.15:
        return _other(chance, value)
    if isinstance(value, list):
        at = chance.randrange(len(value))
        return [*value[:at], _changed(chance, value[at]), *value[at + 1 :]]
    key = chance.choice(list(value))
    match chance.randrange(6):
        case 0:
            return {name: item for name, item in value.items() if name != key}
        case 1:
            return {**value, chance.choice(("", "x", "attributes", key * 100)): value[key]}
        case _:
            return {**value, key: _changed(chance, value[key])}


def _other(chance: random.Random, value: object) -> object:
    match chance.randrange(6):
        case 0:
            return [value] * chance.choice((1, 2, 500))
        case 1:
            return {"".join(chance.choices(string.ascii_letters, k=4)): value}
        case 2:
            nested: object = value
            for _ in range(chance.choice((5, 90, 300))):
                nested = [nested] if chance.random() < 0.5 else {"kvlistValue": nested}
            return nested
        case _:
            return chance.choice(_ATOMS)


# -- text ---------------------------------------------------------------------------------------------------------


def by_text(chance: random.Random, seed: bytes, seeds: list[bytes]) -> bytes:
    """Change lines: drop, repeat, mix, lengthen."""
    lines = seed.split(b"\n")
    at = chance.randrange(len(lines))
    match chance.randrange(6):
        case 0:
            del lines[at]
        case 1:
            lines[at:at] = [lines[at]] * chance.choice((1, 2000))
        case 2:
            lines[at] = by_bytes(chance, lines[at], seeds)
        case 3:
            chance.shuffle(lines)
        case 4:
            lines[at] += chance.choice((b" NaN", b" +Inf", b" 1e999", b" -1 -1", b"{", b'{a="', b"\\", b"#" * 5000))
        case _:
            lines[at] = lines[at].replace(b"1", chance.choice((b"99999999999999999999", b"-", b"", b"0x1")))
    return b"\n".join(lines)


# -- bombs --------------------------------------------------------------------------------------------------------


def bombs(encoding: str, largest: int) -> list[Callable[[], bytes]]:
    """The worst there is in an encoding, ``largest`` bytes each at most: made when they are wanted."""
    made: list[Callable[[], bytes]] = [lambda: bytes(largest), lambda: b"\xff" * largest]
    if encoding == "protobuf":
        made += [lambda: b"\x0a\x00" * (largest // 2)]
        for depth in (1, 2, 3):
            made.append(lambda depth=depth: _wrapped(b"\x0a\x00" * (largest // 2 - 16), depth))
            made.append(lambda depth=depth: _wrapped(b"\x12\x00" * (largest // 2 - 16), depth))
            made.append(lambda depth=depth: _wrapped2(b"\x12\x00" * (largest // 2 - 16), depth))
        made.append(lambda: _deep(largest))
    elif encoding == "json":
        made += [
            lambda: b"[" * largest,
            lambda: b'{"a":' * (largest // 5),
            lambda: b"[" + b"{}," * ((largest - 3) // 3) + b"{}]",
            lambda: b"[" + b"[]," * ((largest - 3) // 3) + b"[]]",
            lambda: b"[" + b"0," * ((largest - 3) // 2) + b"0]",
            lambda: b"[" + b"9" * (largest - 2) + b"]",
            lambda: b'"' + b"\\u0041" * ((largest - 2) // 6) + b'"',
            lambda: b'{"resourceSpans":[' + b"{}," * ((largest - 30) // 3) + b"{}]}",
            *(
                lambda outer=outer, middle=middle, inner=inner: (
                    f'{{"{outer}":[{{"{middle}":[{{"{inner}":['.encode()
                    + b"{}," * ((largest - 80) // 3)
                    + b"{}]}]}]}"
                )
                for outer, middle, inner in (
                    ("resourceSpans", "scopeSpans", "spans"),
                    ("resourceMetrics", "scopeMetrics", "metrics"),
                    ("resourceLogs", "scopeLogs", "logRecords"),
                )
            ),
        ]
    elif encoding == "thrift":
        made += [
            lambda: b"\x0c\x00\x01" * (largest // 3),
            lambda: b"\x1c" * largest,
            lambda: b"\x1c\x18\x01a\x00\x19\xfc" + varint(largest - 16) + bytes(largest - 16),
            lambda: b"\x0f\x00\x05\x02" + (largest - 8).to_bytes(4, "big") + bytes(largest - 8),
            lambda: b"\x0f\x00\x02\x0c\x7f\xff\xff\xff",
        ]
    elif encoding == "text":
        made += [
            lambda: b"a" * largest,
            lambda: b"a 1\n" * (largest // 4),
            lambda: b"a{" + b'b="c",' * (largest // 6 - 2) + b"} 1\n",
            lambda: b"\n".join(b'm%d{l="%d"} 1' % (number, number) for number in range(largest // 24)),
        ]
    return made


def _wrapped(body: bytes, depth: int) -> bytes:
    """In field 1 of field 1 ..."""
    for _ in range(depth):
        body = field(1, body)
    return body


def _wrapped2(body: bytes, depth: int) -> bytes:
    """In field 2 of field 2 ... of field 1, as OTLP has its spans."""
    for _ in range(depth - 1):
        body = field(2, body)
    return field(1, body)


def _deep(largest: int) -> bytes:
    body = b""
    for _ in range(min(20_000, largest // 8)):
        body = field(1, body)
    return body


def gzip_bombs(largest: int) -> list[Callable[[], bytes]]:
    """Small on the wire."""
    return [
        lambda: gzip.compress(bytes(largest)),
        lambda: gzip.compress(bytes(largest * 8)),
        lambda: gzip.compress(bytes(largest // 64)) * 200,
        lambda: gzip.compress(b"") * 5000,
        lambda: gzip.compress(bytes(largest))[:-9],
        lambda: gzip.compress(gzip.compress(bytes(largest))),
    ]
