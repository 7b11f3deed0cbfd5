"""Compaction and retention: what is done with segments after they have been written. Called by ``store``.

Both only decide; ``store`` carries out what they say, in its writer thread.
"""

from collections.abc import Sequence
from typing import Final

from homeostat.store.telemetry.segment import SegmentInfo

_SMALL_ROWS: Final = 50_000
"""A segment from a quiet time. What is larger was written under load, or merged, and stays as it is."""

_MERGE_MIN: Final = 8  # fewer are merged only when what comes out is not small any more
_MERGED_ROWS_MAX: Final = 100_000  # about 60 MB while it is being sorted


def to_compact(segments: Sequence[SegmentInfo]) -> list[SegmentInfo]:
    """The first run of small neighbours that is worth merging, oldest first; empty when there is none."""
    run: list[SegmentInfo] = []
    for segment in segments:
        is_small = segment.rows < _SMALL_ROWS
        if is_small and _rows(run) + segment.rows <= _MERGED_ROWS_MAX:
            run.append(segment)
        elif _is_worth_it(run):
            return run
        else:
            run = [segment] if is_small else []
    return run if _is_worth_it(run) else []


def _rows(segments: Sequence[SegmentInfo]) -> int:
    return sum(segment.rows for segment in segments)


def _is_worth_it(run: Sequence[SegmentInfo]) -> bool:
    return len(run) >= _MERGE_MIN or (len(run) > 1 and _rows(run) >= _SMALL_ROWS)


def to_delete(segments: Sequence[SegmentInfo], *, oldest_ns: int, max_bytes: int) -> list[SegmentInfo]:
    """Segments whose spans all started before ``oldest_ns``, then the oldest of the rest until ``max_bytes`` hold."""
    expired = [segment for segment in segments if segment.max_start_ns < oldest_ns]
    kept = [segment for segment in segments if segment.max_start_ns >= oldest_ns]
    total = sum(segment.bytes for segment in kept)
    over: list[SegmentInfo] = []
    for segment in sorted(kept, key=lambda segment: segment.max_start_ns):
        if total <= max_bytes:
            break
        over.append(segment)
        total -= segment.bytes
    return expired + over
