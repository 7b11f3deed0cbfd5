"""What a ``span_walk.Walk`` found, as the columns of ``store.telemetry.schema`` with serialized attributes."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from ptars._lib import MessageHandler

from homeostat.observe.decode.common import CALL_BYTES_MAX, not_zero, null_where
from homeostat.observe.decode.schema import EVENTS, LINKS, RESOURCES, SCOPES
from homeostat.observe.decode.serialized import SERIALIZED_SCHEMA
from homeostat.observe.decode.span_parts import (
    empty_lists,
    events_column,
    links_column,
    resource_texts,
    resource_words,
    scope_texts,
    scope_words,
    unsampled,
)
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.schema import EVENT, LINK

_REMEMBERED_BYTES_MAX: Final = 4 << 20  # of resources, and of scopes: the same come with each request of a process
_ENTRY_COST: Final = 300  # bytes of an entry beside its texts

Blocks = Mapping[str, memoryview]
Places = npt.NDArray[np.int32]


def table_of(blocks: Blocks) -> pa.Table:
    """The columns of ``Walk.columns`` as a table of SERIALIZED_SCHEMA."""
    count = len(blocks["kind"])  # a byte each
    if not count:
        return SERIALIZED_SCHEMA.empty_table()
    parent = _ids(blocks["parent_span_id"], count, 8)
    is_root = ~not_zero(parent)
    columns = {
        "trace_id": _ids(blocks["trace_id"], count, 16),
        "span_id": _ids(blocks["span_id"], count, 8),
        "parent_span_id": null_where(parent, is_root) if is_root.any() else parent,
        "trace_state": _texts(blocks, "trace_state"),
        "name": pc.dictionary_encode(_texts(blocks, "name")),
        "status_message": _texts(blocks, "status_message"),
        **{name: _plain(blocks[name], count, kind) for name, kind in _PLAIN.items()},
        **_resources(blocks),
        **_scopes(blocks),
        "attributes": _attributes(blocks),
        "events": _events(blocks, count),
        "links": _links(blocks, count),
        **unsampled(count),
    }
    return pa.Table.from_arrays([columns[name] for name in SERIALIZED_SCHEMA.names], schema=SERIALIZED_SCHEMA)


_PLAIN: Final = {
    name: SERIALIZED_SCHEMA.field(name).type
    for name in (
        "start_ns",
        "duration_ns",
        "kind",
        "status_code",
        "flags",
        "dropped_attributes",
        "dropped_events",
        "dropped_links",
    )
}


def _plain(block: memoryview, count: int, kind: pa.DataType) -> pa.Array:
    return pa.Array.from_buffers(kind, count, [None, pa.py_buffer(block)])


def _ids(block: memoryview, count: int, width: int) -> pa.FixedSizeBinaryArray:
    return pa.Array.from_buffers(pa.binary(width), count, [None, pa.py_buffer(block)])


def _offsets(ends: memoryview) -> Places:
    """Where each begins, and where the last one ends."""
    given = np.frombuffer(ends, dtype=np.int32)
    offsets = np.zeros(len(given) + 1, dtype=np.int32)
    offsets[1:] = given
    return offsets


def _contents(blocks: Blocks, name: str, kind: pa.DataType) -> pa.Array:
    """What differs in length: texts or bytes."""
    offsets = _offsets(blocks[f"{name}_end"])
    return pa.Array.from_buffers(kind, len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(blocks[name])])


def _texts(blocks: Blocks, name: str) -> pa.StringArray:
    return _contents(blocks, name, pa.string())


def _attributes(blocks: Blocks) -> pa.ListArray:
    offsets = pa.array(_offsets(blocks["attributes_end"]))
    return pa.ListArray.from_arrays(
        offsets, _contents(blocks, "attribute", pa.binary()), type=SERIALIZED_SCHEMA.field("attributes").type
    )


def _messages(blocks: Blocks, name: str, handler: MessageHandler) -> pa.ListArray | None:
    """Lists of decoded messages, some of each span; None when there is none."""
    offsets = _offsets(blocks[f"{name}s_end"])
    if not offsets[-1]:
        return None
    serialized = _contents(blocks, name, pa.binary())
    parts = [
        handler.array_to_record_batch(serialized.slice(start, stop - start)).to_struct_array()
        for start, stop in pairwise(_cuts(np.frombuffer(blocks[f"{name}_end"], dtype=np.int32)))
    ]
    return pa.ListArray.from_arrays(pa.array(offsets), parts[0] if len(parts) == 1 else pa.concat_arrays(parts))


def _cuts(ends: Places) -> list[int]:
    """Where to cut messages into calls of a bounded size: ptars holds the interpreter lock."""
    bounds = np.arange(CALL_BYTES_MAX, int(ends[-1]), CALL_BYTES_MAX)
    return np.unique([0, *np.searchsorted(ends, bounds), len(ends)]).tolist()


def _events(blocks: Blocks, count: int) -> pa.ListArray:
    events = _messages(blocks, "event", EVENTS)
    return empty_lists(count, EVENT) if events is None else events_column(events)


def _links(blocks: Blocks, count: int) -> pa.ListArray:
    links = _messages(blocks, "link", LINKS)
    return empty_lists(count, LINK) if links is None else links_column(links)


class _Texts:
    """Texts of serialized messages, remembered: parsing one costs more than the spans that come with it.

    Bounded in bytes; forgets all when full. ``read`` gives the texts of each message.
    """

    def __init__(self, read: Callable[[pa.BinaryArray], Sequence[tuple[str, ...]]]) -> None:
        self._read = read
        self._known: dict[bytes, tuple[str, ...]] = {}
        self._bytes = 0

    def of(self, messages: pa.BinaryArray) -> list[tuple[str, ...]]:
        given: list[bytes] = messages.to_pylist()
        unread = sorted({message for message in given if message not in self._known})
        found = dict(zip(unread, self._read(pa.array(unread, pa.binary())), strict=True)) if unread else {}
        texts = [found[message] if message in found else self._known[message] for message in given]
        for message, its_texts in found.items():
            self._remember(message, its_texts)
        return texts

    def _remember(self, message: bytes, texts: tuple[str, ...]) -> None:
        size = len(message) + sum(map(len, texts)) + _ENTRY_COST
        if size > _REMEMBERED_BYTES_MAX // 256:
            return  # who has such a resource does not push out everybody else's
        if self._bytes + size > _REMEMBERED_BYTES_MAX:
            self._known.clear()
            self._bytes = 0
        self._known[message] = texts
        self._bytes += size


def _read_resources(messages: pa.BinaryArray) -> list[tuple[str, ...]]:
    return resource_texts(RESOURCES.array_to_record_batch(messages).column("attributes"))


def _read_scopes(messages: pa.BinaryArray) -> list[tuple[str, ...]]:
    return scope_texts(SCOPES.array_to_record_batch(messages).to_struct_array())


_RESOURCES: Final = _Texts(_read_resources)
_SCOPES: Final = _Texts(_read_scopes)


def _resources(blocks: Blocks) -> dict[str, pa.Array]:
    texts = _RESOURCES.of(_contents(blocks, "resource", pa.binary()))
    return resource_words(texts, np.frombuffer(blocks["resource_of"], dtype=np.int32))


def _scopes(blocks: Blocks) -> dict[str, pa.Array]:
    texts = _SCOPES.of(_contents(blocks, "scope", pa.binary()))
    return scope_words(texts, np.frombuffer(blocks["scope_of"], dtype=np.int32))
