"""The columns of persisted rollups, and how sparse sums become such rows. Used by ``rollup_files`` and ``observe``.

A row is one series (a service, or one operation of it) in one second or one minute. Its histogram holds only the
buckets that are not empty: ``buckets`` has one byte for each (their numbers, ascending), ``bucket_counts`` four
(unsigned, little-endian). So a minute of a busy service takes some 50 bytes, and a month of it is read at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homeostat.store.telemetry.schema import WORD, column

ROLLUP_SCHEMA: Final = pa.schema(
    [
        ("service", WORD),
        ("operation", WORD),  # empty where a row is about all of the service
        ("start_s", pa.int64()),  # Unix second in which the second or the minute begins
        ("length_s", pa.int8()),  # 1 or 60
        ("requests", pa.int64()),
        ("errors", pa.int64()),
        ("duration_sum_ms", pa.float64()),
        ("downstream_requests", pa.int64()),
        ("downstream_errors", pa.int64()),
        ("downstream_duration_sum_ms", pa.float64()),
        ("buckets", pa.binary()),
        ("bucket_counts", pa.binary()),
    ]
)

EDGE_SCHEMA: Final = pa.schema(
    [
        ("start_s", pa.int64()),
        ("length_s", pa.int8()),
        ("caller", WORD),
        ("callee", WORD),
        ("requests", pa.int64()),
        ("errors", pa.int64()),
        ("duration_sum_ms", pa.float64()),
    ]
)

SUMS: Final = tuple(ROLLUP_SCHEMA.names[4:10])
EDGE_SUMS: Final = tuple(EDGE_SCHEMA.names[4:])
MINUTE_S: Final = 60

Numbers = npt.NDArray[np.int64]
Sums = npt.NDArray[np.float64]
Series = tuple[str, str]
"""Service and operation; the operation is empty for all of the service."""

_TIME_BITS: Final = 34  # the year 2514
_BUCKET_BITS: Final = 8


@dataclass(frozen=True, slots=True)
class Cells:
    """Sums of series over time, in any order, a key as often as it likes. One row of each array belongs together."""

    names: Sequence[Series]
    series: Numbers  # number in ``names``
    time_s: Numbers
    sums: Sums  # (rows, 6), as ``SUMS``
    bucket_series: Numbers
    bucket_time_s: Numbers
    bucket: Numbers
    bucket_count: Numbers

    @property
    def rows(self) -> int:
        """Rows of both kinds."""
        return len(self.series) + len(self.bucket_series)

    def by_service(self) -> "Cells":
        """All operations of a service as one series."""
        services = sorted({service for service, _ in self.names})
        number = {service: place for place, service in enumerate(services)}
        of_series = np.array([number[service] for service, _ in self.names], dtype=np.int64)
        return Cells(
            [(service, "") for service in services],
            of_series[self.series],
            self.time_s,
            self.sums,
            of_series[self.bucket_series],
            self.bucket_time_s,
            self.bucket,
            self.bucket_count,
        )


def _ranks(names: Sequence[object]) -> tuple[list[int], Numbers]:
    """The numbers of the names in their order, and the place of each in it."""
    order = sorted(range(len(names)), key=names.__getitem__)  # pyright: ignore[reportArgumentType, reportCallIssue]
    place = np.zeros(len(names), dtype=np.int64)
    place[order] = np.arange(len(names))
    return order, place


def _grouped(keys: Numbers, sums: Sums) -> tuple[Numbers, Sums]:
    """Rows with the same key added up, sorted by it."""
    if not len(keys):
        return keys, sums
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[first], np.add.reduceat(sums[order], first, axis=0)


def _floored(time_s: Numbers, seconds_from_s: int) -> Numbers:
    """What is older than ``seconds_from_s`` (the beginning of a minute) counts for its minute."""
    return np.where(time_s < seconds_from_s, time_s - time_s % MINUTE_S, time_s)


def _lengths(time_s: Numbers, seconds_from_s: int) -> pa.Array:
    return pa.array(np.where(time_s < seconds_from_s, MINUTE_S, 1).astype(np.int8))


def _words(texts: Sequence[str], codes: Numbers) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(texts, pa.string()))


def rollup_table(cells: Cells, seconds_from_s: int) -> pa.Table:
    """The rows, sorted by service, operation and time; minutes before ``seconds_from_s``, seconds from there on."""
    order, rank = _ranks(cells.names)
    time_s = _floored(np.maximum(cells.time_s, 0), seconds_from_s)
    keys, sums = _grouped(rank[cells.series] << _TIME_BITS | time_s, cells.sums)
    bucket_time_s = _floored(np.maximum(cells.bucket_time_s, 0), seconds_from_s)
    bucket_keys = (rank[cells.bucket_series] << _TIME_BITS | bucket_time_s) << _BUCKET_BITS | cells.bucket
    bucket_keys, counts = _grouped(bucket_keys, cells.bucket_count.astype(np.float64)[:, None])
    ends = np.searchsorted(bucket_keys >> _BUCKET_BITS, keys, side="right")
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    time_s = keys & ((1 << _TIME_BITS) - 1)
    names = [cells.names[number] for number in order]
    series = keys >> _TIME_BITS
    buckets = (bucket_keys & ((1 << _BUCKET_BITS) - 1)).astype(np.uint8)
    columns = [
        _words([service for service, _ in names], series),
        _words([operation for _, operation in names], series),
        pa.array(time_s),
        _lengths(time_s, seconds_from_s),
        *(_sum_column(name, sums[:, place], ROLLUP_SCHEMA) for place, name in enumerate(SUMS)),
        _binary(offsets, buckets),
        _binary(offsets * 4, counts[:, 0].astype("<u4")),
    ]
    return pa.Table.from_arrays(columns, schema=ROLLUP_SCHEMA)


def _sum_column(name: str, values: Sums, schema: pa.Schema) -> pa.Array:
    return pa.array(values if schema.field(name).type == pa.float64() else np.rint(values).astype(np.int64))


def _binary(offsets: npt.NDArray[np.int32], values: npt.NDArray[np.generic]) -> pa.Array:
    buffers = [None, pa.py_buffer(offsets.astype(np.int32).tobytes()), pa.py_buffer(values.tobytes())]
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, buffers)


def edge_table(
    callers: Sequence[str],
    callees: Sequence[str],
    edge: Numbers,
    time_s: Numbers,
    sums: Sums,
    seconds_from_s: int,
) -> pa.Table:
    """The rows, sorted by time, caller and callee. ``edge`` says which of the callers and callees a row is about."""
    names = sorted({*callers, *callees})
    number = {name: place for place, name in enumerate(names)}
    width = max(1, len(names))
    code = [number[caller] * width + number[callee] for caller, callee in zip(callers, callees, strict=True)]
    time_s = _floored(np.maximum(time_s, 0), seconds_from_s)
    keys, added = _grouped(time_s * width**2 + np.array(code, dtype=np.int64)[edge], sums)
    time_s, pair = keys // width**2, keys % width**2
    columns = [
        pa.array(time_s),
        _lengths(time_s, seconds_from_s),
        _words(names, pair // width),
        _words(names, pair % width),
        *(_sum_column(name, added[:, place], EDGE_SCHEMA) for place, name in enumerate(EDGE_SUMS)),
    ]
    return pa.Table.from_arrays(columns, schema=EDGE_SCHEMA)


def edge_codes(table: pa.Table) -> tuple[list[str], list[str], Numbers]:
    """The callers and callees of the edges in a table, each pair once, and which of them each row is about."""
    caller, callee = column(table, "caller"), column(table, "callee")
    callers, callees = caller.dictionary.to_pylist(), callee.dictionary.to_pylist()
    width = max(1, len(callees))
    unique, edge = np.unique(
        caller.indices.to_numpy().astype(np.int64) * width + callee.indices.to_numpy(), return_inverse=True
    )
    return [callers[key // width] for key in unique], [callees[key % width] for key in unique], edge


def sums_of(table: pa.Table, names: Sequence[str]) -> Sums:
    """Columns of sums as one array, shape ``(rows, len(names))``."""
    return np.stack([column(table, name).to_numpy().astype(np.float64) for name in names], axis=1)


def histogram_of(table: pa.Table) -> tuple[Numbers, Numbers, Numbers]:
    """``(row, bucket, count)`` of every bucket that is not empty, in the order of the rows."""
    lengths, numbers, values = raw_histogram_of(table)
    return np.repeat(np.arange(len(lengths)), lengths), numbers.astype(np.int64), values.astype(np.int64)


def raw_histogram_of(
    table: pa.Table,
) -> tuple[Numbers, npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """How many buckets each row has that are not empty; the numbers and counts of all. Nothing is copied."""
    buckets, counts = column(table, "buckets"), column(table, "bucket_counts")
    offsets = np.frombuffer(buckets.buffers()[1], dtype=np.int32)[buckets.offset : buckets.offset + len(buckets) + 1]
    first = int(np.frombuffer(counts.buffers()[1], dtype=np.int32)[counts.offset]) if len(counts) else 0
    total = int(offsets[-1] - offsets[0]) if len(buckets) else 0
    if not total:
        none = np.zeros(0, dtype=np.int32)
        return np.zeros(len(buckets), dtype=np.int64), none.astype(np.uint8), none
    numbers = np.frombuffer(buckets.buffers()[2], dtype=np.uint8, count=total, offset=int(offsets[0]))
    values = np.frombuffer(counts.buffers()[2], dtype="<i4", count=total, offset=first)
    return np.diff(offsets).astype(np.int64), numbers, values


def minutes_end(table: pa.Table) -> int:
    """The second up to which some of the rows are by the minute; 0: all are by the second."""
    begins, lengths = column(table, "start_s").to_numpy(), column(table, "length_s").to_numpy()
    ends = begins[lengths == MINUTE_S] + MINUTE_S
    return int(ends.max()) if len(ends) else 0


def cells_of(tables: Sequence[pa.Table]) -> Cells:
    """The rows of some tables as sums again, to be merged."""
    table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    service, operation = column(table, "service"), column(table, "operation")
    services, operations = service.dictionary.to_pylist(), operation.dictionary.to_pylist()
    width = max(1, len(operations))
    pairs = service.indices.to_numpy().astype(np.int64) * width + operation.indices.to_numpy()
    unique, series = np.unique(pairs, return_inverse=True)
    names = [(services[key // width], operations[key % width]) for key in unique.tolist()]
    time_s = column(table, "start_s").to_numpy()
    rows, bucket, count = histogram_of(table)
    return Cells(names, series, time_s, sums_of(table, SUMS), series[rows], time_s[rows], bucket, count)
