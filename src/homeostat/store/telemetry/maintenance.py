"""Compaction and retention: what is done with segments after they have been written. Called by ``lane``.

Both only decide; ``lane`` carries out what they say, in the flush thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from homeostat.store.telemetry.layout import SegmentInfo


@dataclass(frozen=True, slots=True)
class CompactionPolicy:
    """Which neighbours are merged."""

    small_rows: int = 50_000
    """A segment from a quiet time. What is larger was written under load, or merged, and stays as it is."""

    merge_min: int = 8  # fewer are merged only when what comes out is not small any more
    merged_rows_max: int = 100_000  # about 60 MB of spans while they are being sorted


_SPANS = CompactionPolicy()


def to_compact(segments: Sequence[SegmentInfo], policy: CompactionPolicy = _SPANS) -> list[SegmentInfo]:
    """The first run of small neighbours that is worth merging, oldest first; empty when there is none."""
    run: list[SegmentInfo] = []
    for segment in segments:
        is_small = segment.rows < policy.small_rows
        if is_small and _rows(run) + segment.rows <= policy.merged_rows_max:
            run.append(segment)
        elif _is_worth_it(run, policy):
            return run
        else:
            run = [segment] if is_small else []
    return run if _is_worth_it(run, policy) else []


def _rows(segments: Sequence[SegmentInfo]) -> int:
    return sum(segment.rows for segment in segments)


def _is_worth_it(run: Sequence[SegmentInfo], policy: CompactionPolicy) -> bool:
    return len(run) >= policy.merge_min or (len(run) > 1 and _rows(run) >= policy.small_rows)


def expired(segments: Sequence[SegmentInfo], *, oldest_ns: int) -> list[SegmentInfo]:
    """Segments whose rows are all from before ``oldest_ns``."""
    return [segment for segment in segments if segment.max_start_ns < oldest_ns]


def over_bound(lanes: Sequence[Sequence[SegmentInfo]], max_bytes: int) -> list[list[SegmentInfo]]:
    """For each lane, what has to go so that all together hold at most ``max_bytes``: the oldest of all first."""
    surplus: list[list[SegmentInfo]] = [[] for _ in lanes]
    total = sum(segment.bytes for lane in lanes for segment in lane)
    everything = [(number, segment) for number, lane in enumerate(lanes) for segment in lane]
    for number, segment in sorted(everything, key=lambda entry: entry[1].max_start_ns):
        if total <= max_bytes:
            break
        surplus[number].append(segment)
        total -= segment.bytes
    return surplus
