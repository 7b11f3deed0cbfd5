"""What the three decoders (``traces``, ``metrics``, ``logs``) share: outcomes, groups of requests, columns."""

import json
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.core.errors import TelemetryRejectedError
from homeostat.observe.decode.counting import ROWS_MAX, Levels, has_too_many_rows
from homeostat.observe.decode.values import attribute_map
from homeostat.store.telemetry.schema import UNKNOWN_SERVICE

TIME_MAX: Final = np.uint64(2**63 - 1)  # the year 2262
CALL_BYTES_MAX: Final = (
    2 << 20
)  # ptars holds the interpreter lock: a call this size keeps the event loop waiting ~6 ms


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request."""

    accepted: int = 0  # spans, metric points or log records
    rejected: int = 0  # of the same
    error: str | None = None  # the whole request is refused
    reasons: tuple[tuple[str, int], ...] = ()  # why spans were rejected or cut, and how many
    is_timed: bool = True  # every row has a time that the sender gave


@dataclass(frozen=True, slots=True)
class Decoded:
    """The rows of some requests, and one outcome for each request, in order."""

    table: pa.Table
    outcomes: tuple[Outcome, ...]

    @property
    def spans(self) -> pa.Table:
        """The table, by the name it has where only traces are decoded."""
        return self.table


Rows = tuple[pa.Table, list[Outcome]]

DecodeList = Callable[[list[bytes]], Rows]
"""Decodes requests together. Raises TelemetryRejectedError when one of them is malformed."""


def decode_groups(
    requests: Sequence[bytes],
    schema: pa.Schema,
    levels: Levels,
    decode_list: DecodeList,
    join: Callable[[list[pa.Table]], pa.Table] = pa.concat_tables,
) -> Decoded:
    """Decode in groups of a bounded size. A bad request spoils none of the others. ``levels`` lead to its rows."""
    tables: list[pa.Table] = []
    outcomes: list[Outcome] = []
    for group in _groups(requests):
        try:
            table, group_outcomes = _decoded(group, levels, decode_list)
            tables.append(table)
            outcomes += group_outcomes
        except TelemetryRejectedError:
            for request in group:
                table, outcome = _decode_alone(request, schema, levels, decode_list)
                tables.append(table)
                outcomes.append(outcome)
    return Decoded(join(tables) if tables else schema.empty_table(), tuple(outcomes))


def _decoded(group: list[bytes], levels: Levels, decode_list: DecodeList) -> Rows:
    """What ``decode_list`` makes of them. Raises TelemetryRejectedError."""
    if any(has_too_many_rows(request, levels) for request in group):
        raise TelemetryRejectedError(f"More than {ROWS_MAX} spans, points or records. Send smaller batches.")
    with refusing_panics():
        return decode_list(group)


@contextmanager
def refusing_panics() -> Generator[None]:
    """What ptars panics at becomes a TelemetryRejectedError.

    It panics at a length of 2**64 - 1, and pyo3 makes of it an exception that is no Exception and has no name to
    import: past every handler it would end the thread that takes telemetry in.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise TelemetryRejectedError(f"The body is not valid protobuf: {error}") from error


def _groups(requests: Sequence[bytes]) -> list[list[bytes]]:
    groups: list[list[bytes]] = []
    size = 0
    for request in requests:
        if not groups or size + len(request) > CALL_BYTES_MAX:
            groups.append([])
            size = 0
        groups[-1].append(request)
        size += len(request)
    return groups


def _decode_alone(
    request: bytes, schema: pa.Schema, levels: Levels, decode_list: DecodeList
) -> tuple[pa.Table, Outcome]:
    try:
        table, outcomes = _decoded([request], levels, decode_list)
    except TelemetryRejectedError as error:
        return schema.empty_table(), Outcome(error=str(error))
    return table, outcomes[0]


def fixed(ids: pa.BinaryArray, width: int) -> tuple[npt.NDArray[np.bool_], pa.FixedSizeBinaryArray]:
    """Which ids have the width, and the column at that width with zeros for those that do not."""
    count = len(ids)
    _, offsets_buffer, data = ids.buffers()
    if not count or offsets_buffer is None or data is None:
        return np.zeros(count, dtype=np.bool_), _of_bytes(np.zeros((count, width), dtype=np.uint8))
    offsets = np.frombuffer(offsets_buffer, dtype=np.int32, count=count + 1, offset=4 * ids.offset)
    sized = offsets[1:] - offsets[:-1] == width
    if sized.all():  # they lie one behind the other already
        start = int(offsets[0])
        return sized, pa.Array.from_buffers(pa.binary(width), count, [None, data.slice(start, count * width)])
    column = np.zeros((count, width), dtype=np.uint8)
    places = offsets[:-1][sized, None] + np.arange(width)
    column[sized] = np.frombuffer(data, dtype=np.uint8)[places]
    return sized, _of_bytes(column)


def is_empty(ids: pa.BinaryArray) -> npt.NDArray[np.bool_]:
    """Which ids are of no bytes."""
    offsets = np.frombuffer(ids.buffers()[1], dtype=np.int32, count=len(ids) + 1, offset=4 * ids.offset)
    return offsets[1:] == offsets[:-1]


def _of_bytes(rows: npt.NDArray[np.uint8]) -> pa.FixedSizeBinaryArray:
    return pa.Array.from_buffers(pa.binary(rows.shape[1]), len(rows), [None, pa.py_buffer(rows)])


def not_zero(ids: pa.FixedSizeBinaryArray) -> npt.NDArray[np.bool_]:
    """Which ids of 8 or 16 bytes have any bit set."""
    words = ids.type.byte_width // 8
    data = ids.buffers()[1]
    if data is None or not len(ids):
        return np.zeros(len(ids), dtype=np.bool_)
    flat = np.frombuffer(data, dtype=np.uint64, count=len(ids) * words, offset=ids.offset * words * 8)
    return flat != 0 if words == 1 else (flat[::2] | flat[1::2]) != 0


def null_where(ids: pa.FixedSizeBinaryArray, is_null: npt.NDArray[np.bool_]) -> pa.FixedSizeBinaryArray:
    """The same ids (a column of its own, from ``fixed``), some of them null."""
    validity = pa.py_buffer(np.packbits(~is_null, bitorder="little"))
    return pa.Array.from_buffers(ids.type, len(ids), [validity, ids.buffers()[1]])


def nanoseconds(times: pa.Array) -> npt.NDArray[np.int64]:
    """A column of fixed64 times as int64; what lies behind the year 2262 lies in it."""
    return np.minimum(times.to_numpy(), TIME_MAX).astype(np.int64)


def words(texts: list[str], row_of: npt.NDArray[np.integer[Any]]) -> pa.DictionaryArray:
    """A dictionary column from one text per resource (or scope) and the resource of each row."""
    code_of: dict[str, int] = {}
    codes = np.fromiter((code_of.setdefault(text, len(code_of)) for text in texts), np.int32, len(texts))
    return pa.DictionaryArray.from_arrays(pa.array(codes[row_of]), pa.array(list(code_of), pa.string()))


def objects(attributes: pa.ListArray) -> list[dict[str, str]]:
    """Each row's attributes; of a key that is given twice (which OTLP forbids) the last value counts."""
    return [dict(pairs) for pairs in attribute_map(attributes).to_pylist()]


def json_object(entry: dict[str, str]) -> str:
    """An object as text, keys sorted: equal objects have equal texts."""
    return json.dumps(entry, ensure_ascii=False, sort_keys=True)


def resource_columns(resource: pa.StructArray, resource_of: npt.NDArray[np.int64]) -> dict[str, pa.Array]:
    """``service`` and ``resource`` of metric points and log records."""
    entries = objects(resource.field("attributes"))
    services = [entry.get("service.name") or UNKNOWN_SERVICE for entry in entries]
    return {
        "service": words(services, resource_of),
        "resource": words([json_object(entry) for entry in entries], resource_of),
    }


def scope_columns(scope: pa.StructArray, scope_of: npt.NDArray[np.int64]) -> dict[str, pa.Array]:
    """``scope``, ``scope_version`` and ``scope_attributes`` of metric points and log records."""
    texts = [json_object(entry) for entry in objects(scope.field("attributes"))]
    return {
        "scope": words(_texts(scope.field("name")), scope_of),
        "scope_version": words(_texts(scope.field("version")), scope_of),
        "scope_attributes": words(texts, scope_of),
    }


def _texts(column: pa.StringArray) -> list[str]:
    return [text or "" for text in column.to_pylist()]
