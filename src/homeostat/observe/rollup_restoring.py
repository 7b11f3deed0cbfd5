"""The start: the last hour of persisted rollups back into memory, as fine as they are. Called once by ``pipeline``,
before the log is replayed."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from homeostat.core.errors import StoreCorruptError
from homeostat.observe.red import SECONDS_KEPT, Red
from homeostat.observe.red_buckets import MINUTE_S, Timed
from homeostat.observe.rollup_reading import within
from homeostat.store.telemetry.attachments import Attachment
from homeostat.store.telemetry.rollup_files import (
    EDGES,
    OPERATIONS,
    SERVICES,
    Rollup,
    parse_names,
    read_all,
    read_edges,
)
from homeostat.store.telemetry.rollup_schema import (
    EDGE_SUMS,
    ROLLUP_SCHEMA,
    cells_of,
    edge_codes,
    minutes_end,
    sums_of,
)
from homeostat.store.telemetry.schema import column

logger = logging.getLogger(__name__)

WAITING_PREFIX: Final = "topology-"
"""The attachment with the halves of calls that wait for the other half."""

_RESTORED_S: Final = 3600
_SEEN_S: Final = 24 * 3600
_ROWS_MAX: Final = 500_000  # what a start can add up within a second; files answer for what is older


def restore(red: Red, directory: Path, attachments: Sequence[Attachment], now_s: int) -> None:
    """Fill ``red`` with what was persisted. A file that can't be read is left out, and said."""
    rollups = parse_names(tuple(attachment.name for attachment in attachments))
    bound_s = now_s - now_s % MINUTE_S - _RESTORED_S
    recent = [rollup for rollup in reversed(rollups) if rollup.to_s >= bound_s]
    tables, bound_s = _newest(directory, recent, bound_s)
    edges = [
        table
        for rollup in recent
        if EDGES in rollup.kinds and (table := _edges(directory / rollup.name(EDGES), bound_s)) is not None
    ]
    seconds_from_s = max([now_s - SECONDS_KEPT, *(minutes_end(table) for table in [*tables, *edges])])
    red.restore_begin(bound_s, seconds_from_s)
    if tables:
        red.restore_rows(cells_of(tables))
    for table in edges:
        callers, callees, edge = edge_codes(table)
        red.restore_edges(
            callers, callees, Timed(column(table, "start_s").to_numpy(), edge, sums_of(table, EDGE_SUMS))
        )
    _restore_seen(red, directory, [rollup for rollup in rollups if rollup.to_s >= now_s - _SEEN_S])
    red.restored(bound_s)
    _restore_waiting(red, directory, attachments)


def _newest(directory: Path, rollups: Sequence[Rollup], bound_s: int) -> tuple[list[pa.Table], int]:
    """The rows of operations since ``bound_s``, and the bound that was kept: a later one when there are too many."""
    tables: list[pa.Table] = []
    rows = 0
    for place, rollup in enumerate(rollups):
        if OPERATIONS not in rollup.kinds:
            continue
        table = _read(directory / rollup.name(OPERATIONS), bound_s)
        if table is None:
            continue
        tables.append(table)
        rows += table.num_rows + column(table, "buckets").nbytes
        if rows > _ROWS_MAX and place + 1 < len(rollups):
            newest_left_s = max(left.to_s for left in rollups[place + 1 :])
            bound_s = max(bound_s, newest_left_s - newest_left_s % MINUTE_S + MINUTE_S)
            break
    kept = [within(table, bound_s, 1 << 40) for table in tables]
    return [table for table in kept if table.num_rows], bound_s


def _read(path: Path, start_s: int) -> pa.Table | None:
    try:
        return within(read_all(path, ROLLUP_SCHEMA.names), start_s, 1 << 40)
    except (StoreCorruptError, OSError) as error:
        logger.error("%s", error)
        return None


def _edges(path: Path, start_s: int) -> pa.Table | None:
    try:
        table = within(read_edges(path, start_s, 1 << 40), start_s, 1 << 40)
    except (StoreCorruptError, OSError) as error:
        logger.error("%s", error)
        return None
    return table if table.num_rows else None


def _restore_seen(red: Red, directory: Path, rollups: Sequence[Rollup]) -> None:
    """When each service was seen last."""
    seen: dict[str, int] = {}
    for rollup in rollups:
        if SERVICES not in rollup.kinds:
            continue
        try:
            table = read_all(directory / rollup.name(SERVICES), ["service", "start_s"])
        except (StoreCorruptError, OSError) as error:
            logger.error("%s", error)
            continue
        service = column(table, "service")
        newest = np.zeros(len(service.dictionary), dtype=np.int64)
        np.maximum.at(newest, service.indices.to_numpy(), column(table, "start_s").to_numpy())
        for name, second in zip(service.dictionary.to_pylist(), newest.tolist(), strict=True):
            seen[name] = max(second, seen.get(name, 0))
    for name, second in seen.items():
        red.restore_seen(name, second)


def _restore_waiting(red: Red, directory: Path, attachments: Sequence[Attachment]) -> None:
    for attachment in attachments:
        if attachment.name.startswith(WAITING_PREFIX):
            try:
                red.restore_waiting((directory / attachment.name).read_bytes())
            except (OSError, ValueError) as error:
                logger.error("Calls that were under way at the checkpoint may be missing from topology: %s", error)
