"""A strict reader of Thrift's binary and compact protocols, for bytes from strangers. ``jaeger_thrift`` uses it.

Thrift's own Python library trusts lengths and nests as deep as it is told (its C accelerator on the C stack); here
every length is held against what is left, nesting and the number of things read are bounded.
Source: doc/specs/thrift-binary-protocol.md and thrift-compact-protocol.md of Apache Thrift.

    for number, kind in reader.fields():
        if number == 1 and kind is Kind.TEXT:
            name = reader.text()
        else:
            reader.skip(kind)
"""

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import Final, TypeVar

from homeostat.core.errors import TelemetryRejectedError

ITEMS_MAX: Final = 2_000_000
"""Fields and list elements of one message. Each costs about 0.5 us to read and, at worst, 60 bytes of memory."""

_DEPTH_MAX: Final = 32
_VARINT_BYTES_MAX: Final = 10
_BIG_DOUBLE: Final = struct.Struct(">d")
_LITTLE_DOUBLE: Final = struct.Struct("<d")

Element = TypeVar("Element")


class Kind(Enum):
    """The types that both protocols know."""

    BOOL = auto()
    BYTE = auto()
    I16 = auto()
    I32 = auto()
    I64 = auto()
    DOUBLE = auto()
    TEXT = auto()  # or binary: the wire does not tell
    STRUCT = auto()
    MAP = auto()
    SET = auto()
    LIST = auto()
    UUID = auto()


_FIXED: Final = {Kind.BOOL: 1, Kind.DOUBLE: 8, Kind.UUID: 16}
"""Bytes of an element, the same in both protocols."""


class ThriftError(TelemetryRejectedError):
    """Bytes that are not what the protocol says, or more of them than is read."""


class Reader(ABC):
    """Reads one message. Every method raises ThriftError when the bytes are not what it expects."""

    def __init__(self, data: bytes, *, items_max: int = ITEMS_MAX) -> None:
        self._data = data
        self._at = 0
        self._items_left = items_max

    @property
    def left(self) -> int:
        """How many bytes have not been read."""
        return len(self._data) - self._at

    @abstractmethod
    def message(self) -> tuple[str, int]:
        """A message's header: its name and its type (1 call, 4 oneway)."""

    @abstractmethod
    def fields(self) -> Iterator[tuple[int, Kind]]:
        """The fields of a struct. Each has to be read or skipped before the next."""

    @abstractmethod
    def boolean(self) -> bool:
        """The boolean whose field header was just read."""

    @abstractmethod
    def integer(self, kind: Kind) -> int:
        """A BYTE, I16, I32 or I64."""

    @abstractmethod
    def double(self) -> float:
        """A DOUBLE."""

    @abstractmethod
    def _length(self) -> int:
        """Of a text or binary."""

    @abstractmethod
    def _list_header(self) -> tuple[int, Kind]: ...

    @abstractmethod
    def _map_header(self) -> tuple[int, Kind, Kind]: ...

    def binary(self) -> bytes:
        """A TEXT's bytes."""
        return self._take(self._length())

    def text(self) -> str:
        """A TEXT. What is not UTF-8 in it becomes U+FFFD."""
        return self._take(self._length()).decode("utf-8", "replace")

    def structs(self, read: Callable[["Reader"], Element]) -> list[Element]:
        """A list of structs, each read by ``read``."""
        count, kind = self._list_header()
        if not count:
            return []
        if kind is not Kind.STRUCT:
            raise ThriftError(f"A list holds {kind.name} at byte {self._at} where structs are expected.")
        self._count(count)
        return [read(self) for _ in range(count)]

    def skip(self, kind: Kind) -> None:
        """Pass over a field that nobody asked for."""
        self._skip_field(kind, 0)

    def _skip_field(self, kind: Kind, depth: int) -> None:
        if kind is Kind.BOOL:
            self.boolean()  # as a field it may have no bytes of its own
        else:
            self._skip(kind, depth)

    def _skip(self, kind: Kind, depth: int) -> None:
        if depth > _DEPTH_MAX:
            raise ThriftError(f"More than {_DEPTH_MAX} levels deep at byte {self._at}.")
        if kind in _FIXED:
            self._take(_FIXED[kind])
        elif kind is Kind.TEXT:
            self._take(self._length())
        elif kind is Kind.STRUCT:
            for _, inner in self.fields():
                self._skip_field(inner, depth + 1)
        elif kind is Kind.MAP:
            count, key, value = self._map_header()
            self._skip_all(count, (key, value), depth)
        elif kind in {Kind.LIST, Kind.SET}:
            count, inner = self._list_header()
            self._skip_all(count, (inner,), depth)
        else:
            self.integer(kind)

    def _skip_all(self, count: int, kinds: tuple[Kind, ...], depth: int) -> None:
        self._count(count * len(kinds))
        for _ in range(count):
            for kind in kinds:
                self._skip(kind, depth + 1)

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if size < 0 or end > len(self._data):
            raise ThriftError(f"{size} bytes are announced at byte {self._at}, {self.left} are there.")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def _byte(self) -> int:
        if self._at >= len(self._data):
            raise ThriftError(f"It ends too early, at byte {self._at}.")
        byte = self._data[self._at]
        self._at += 1
        return byte

    def _count(self, items: int) -> None:
        """Spend what may be read. A list that claims more elements than bytes are left is a lie."""
        self._items_left -= items
        if self._items_left < 0 or items > self.left:
            raise ThriftError(f"Too many fields or elements at byte {self._at}. Send smaller batches.")


class BinaryReader(Reader):
    """Thrift's binary protocol, with strict or old message headers."""

    _KINDS: Final[dict[int, Kind]] = {
        2: Kind.BOOL,
        3: Kind.BYTE,
        4: Kind.DOUBLE,
        6: Kind.I16,
        8: Kind.I32,
        10: Kind.I64,
        11: Kind.TEXT,
        12: Kind.STRUCT,
        13: Kind.MAP,
        14: Kind.SET,
        15: Kind.LIST,
        16: Kind.UUID,
    }
    _WIDTH: Final[dict[Kind, int]] = {Kind.BYTE: 1, Kind.I16: 2, Kind.I32: 4, Kind.I64: 8}
    _VERSION: Final = 0x8001

    def message(self) -> tuple[str, int]:
        first = self._i32()
        if first >= 0:  # the old header begins with the name's length
            name = self._take(first).decode("utf-8", "replace")
            kind = self._byte()
        else:
            if (first >> 16) & 0xFFFF != self._VERSION:
                raise ThriftError(f"Version {(first >> 16) & 0xFFFF:#x} is not the binary protocol's.")
            name, kind = self.text(), first & 0xFF
        self._i32()  # the sequence number
        return name, kind

    def fields(self) -> Iterator[tuple[int, Kind]]:
        while code := self._byte():
            self._count(1)
            number = int.from_bytes(self._take(2), "big", signed=True)
            yield number, self._kind(code)

    def boolean(self) -> bool:
        return self._byte() != 0

    def integer(self, kind: Kind) -> int:
        return int.from_bytes(self._take(self._WIDTH[kind]), "big", signed=True)

    def double(self) -> float:
        value: float = _BIG_DOUBLE.unpack(self._take(8))[0]
        return value

    def _i32(self) -> int:
        return int.from_bytes(self._take(4), "big", signed=True)

    def _length(self) -> int:
        return self._i32()

    def _list_header(self) -> tuple[int, Kind]:
        code, count = self._byte(), self._size()
        return count, self._kind(code) if count else Kind.BOOL

    def _map_header(self) -> tuple[int, Kind, Kind]:
        key, value, count = self._byte(), self._byte(), self._size()
        return (count, self._kind(key), self._kind(value)) if count else (0, Kind.BOOL, Kind.BOOL)

    def _size(self) -> int:
        count = self._i32()
        if count < 0:
            raise ThriftError(f"A size of {count} at byte {self._at}.")
        return count

    def _kind(self, code: int) -> Kind:
        kind = self._KINDS.get(code)
        if kind is None:
            raise ThriftError(f"Type {code} at byte {self._at} is not one of the binary protocol's.")
        return kind


class CompactReader(Reader):
    """Thrift's compact protocol."""

    _KINDS: Final[dict[int, Kind]] = {
        1: Kind.BOOL,
        2: Kind.BOOL,
        3: Kind.BYTE,
        4: Kind.I16,
        5: Kind.I32,
        6: Kind.I64,
        7: Kind.DOUBLE,
        8: Kind.TEXT,
        9: Kind.LIST,
        10: Kind.SET,
        11: Kind.MAP,
        12: Kind.STRUCT,
        13: Kind.UUID,
    }
    _PROTOCOL: Final = 0x82
    _VERSION: Final = 1
    _LONG_LIST: Final = 15

    def __init__(self, data: bytes, *, items_max: int = ITEMS_MAX) -> None:
        super().__init__(data, items_max=items_max)
        self._truth = False  # a boolean field's value is in its header

    def message(self) -> tuple[str, int]:
        protocol, second = self._byte(), self._byte()
        if protocol != self._PROTOCOL or second & 0x1F != self._VERSION:
            raise ThriftError(f"{protocol:#x} {second:#x} is not the beginning of the compact protocol.")
        self._varint()  # the sequence number
        return self.text(), second >> 5

    def fields(self) -> Iterator[tuple[int, Kind]]:
        number = 0
        while header := self._byte():
            self._count(1)
            delta, code = header >> 4, header & 0x0F
            number = number + delta if delta else self.integer(Kind.I16)
            self._truth = code == 1
            yield number, self._kind(code)

    def boolean(self) -> bool:
        return self._truth

    def integer(self, kind: Kind) -> int:
        if kind is Kind.BYTE:
            return int.from_bytes(self._take(1), "big", signed=True)
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def double(self) -> float:
        value: float = _LITTLE_DOUBLE.unpack(self._take(8))[0]
        return value

    def _varint(self) -> int:
        """Up to 64 bits, unsigned."""
        value = shift = 0
        for _ in range(_VARINT_BYTES_MAX):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF
            shift += 7
        raise ThriftError(f"A number of more than {_VARINT_BYTES_MAX} bytes at byte {self._at}.")

    def _length(self) -> int:
        return self._varint()

    def _list_header(self) -> tuple[int, Kind]:
        header = self._byte()
        count = header >> 4
        if count == self._LONG_LIST:
            count = self._varint()
        return count, self._kind(header & 0x0F) if count else Kind.BOOL

    def _map_header(self) -> tuple[int, Kind, Kind]:
        count = self._varint()
        if not count:
            return 0, Kind.BOOL, Kind.BOOL
        kinds = self._byte()
        return count, self._kind(kinds >> 4), self._kind(kinds & 0x0F)

    def _kind(self, code: int) -> Kind:
        kind = self._KINDS.get(code)
        if kind is None:
            raise ThriftError(f"Type {code} at byte {self._at} is not one of the compact protocol's.")
        return kind
