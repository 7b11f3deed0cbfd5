"""Which services and operations a segment holds, and when each was last seen, without reading its rows.

It is written into the footer of the Parquet file, which is read anyway; of a file without it (an older one, or one
with too many names) the columns are read once and the answer is remembered. Asked by ``sources``.
"""

import json
from functools import lru_cache
from pathlib import Path
from sys import intern
from typing import Final

import numpy as np
import pyarrow as pa

from homeostat.store.telemetry.layout import SegmentFile, metadata
from homeostat.store.telemetry.schema import column

Operations = dict[tuple[str, str, int], int]
"""``(service, name, kind)`` -> the newest start of such a span, Unix ns."""

NAME_COLUMNS: Final = ("service", "name", "kind", "start_ns")
FOOTER_KEY: Final = b"homeostat.operations"
_FOOTER_MAX: Final = 500  # operations: beyond, a footer would cost more than it saves


def operations_in(table: pa.Table) -> Operations:
    """The operations of some rows (which need ``NAME_COLUMNS`` only)."""
    if not table.num_rows:
        return {}
    services, names = column(table, "service"), column(table, "name")
    kinds, starts = column(table, "kind").to_numpy().astype(np.int64), column(table, "start_ns").to_numpy()
    codes = services.indices.to_numpy().astype(np.int64) * len(names.dictionary) + names.indices.to_numpy()
    order = np.lexsort((starts, codes << 3 | kinds))
    keys = (codes << 3 | kinds)[order]
    last = np.append(keys[1:] != keys[:-1], True)
    newest = starts[order][last].tolist()
    service_of, name_of = services.dictionary.to_pylist(), names.dictionary.to_pylist()
    found: Operations = {}
    for key, start in zip(keys[last].tolist(), newest, strict=True):
        service, name = divmod(key >> 3, len(name_of))
        found[service_of[service], name_of[name], key & 7] = start
    return found


def footer_of(table: pa.Table) -> dict[bytes, bytes]:
    """What to write into the footer of a file with these rows."""
    found = operations_in(table)
    if len(found) > _FOOTER_MAX:
        return {}
    return {FOOTER_KEY: json.dumps([[*key, start] for key, start in found.items()]).encode()}


def operations_of(segment: SegmentFile) -> Operations:
    """The operations of a segment. Raises StoreCorruptError, or FileNotFoundError when it was compacted away."""
    return _remembered(segment.parquet_path, _Unhashed(segment))


class _Unhashed:
    """Lets the cache go by the path alone."""

    def __init__(self, segment: SegmentFile) -> None:
        self.segment = segment

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Unhashed)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=2048)
def _remembered(path: Path, what: _Unhashed) -> Operations:
    footer = (metadata(path).metadata or {}).get(FOOTER_KEY)
    if footer is None:
        return operations_in(what.segment.read(NAME_COLUMNS))
    return {(intern(service), intern(name), kind): start for service, name, kind, start in json.loads(footer)}
