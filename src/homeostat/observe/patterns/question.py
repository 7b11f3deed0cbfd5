"""Answers "what is said again and again?": reads a bounded number of records of a time and of the time before.

Used by ``api.logs``. Where a time holds more records than are read, it is cut into steps, and each step gives as many
of its newest records as its share of all of them: a burst of a minute does not hide the rest of the day. One question
is answered at a time: it is the costliest there is.
"""

import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import anyio
import anyio.to_thread
import pyarrow as pa

from homeostat.core.log_patterns import LogMask, LogPatterns
from homeostat.core.logs import LogQuery, LogTable
from homeostat.core.ports import LogStore
from homeostat.observe.patterns.gather import Gatherer, Window
from homeostat.observe.patterns.masks import Masks
from homeostat.observe.patterns.tree import BUDGET

STEPS: Final = 60


@dataclass(frozen=True, slots=True)
class _Part:
    """Records that were read, each for ``weight`` records that there are."""

    records: LogTable
    weight: float


@dataclass(slots=True)
class _Side:
    """The time asked about, or the time before."""

    total: int = 0
    read: int = 0


class PatternFinder:
    """Finds patterns with the masks of the configuration. One per process."""

    def __init__(self, masks: Sequence[LogMask] = (), *, budget: int = BUDGET) -> None:
        self._masks = Masks(masks)
        self._budget = budget
        self._one_at_a_time = anyio.CapacityLimiter(1)

    async def find(self, store: LogStore, query: LogQuery, *, sample: int, limit: int) -> LogPatterns:
        """The patterns of the records that match: at most ``sample`` records are read on each side of the start.

        The query's limit and cursor do not count. Raises BadRequestError as the store does.
        """
        async with self._one_at_a_time:
            return await self._find(store, query, sample, limit)

    async def _find(self, store: LogStore, query: LogQuery, sample: int, limit: int) -> LogPatterns:
        start = query.start.replace(microsecond=0)
        length = max(query.end - start, timedelta(seconds=1))
        step_s = max(1, math.ceil(length.total_seconds() / STEPS))
        window = Window(start, step_s, math.ceil(length.total_seconds() / step_s))
        gatherer = Gatherer(self._masks, window, budget=self._budget)
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        previous_start = max(epoch, start - length)
        now, before = _Side(), _Side()
        plain = query.model_copy(update={"cursor": None})
        for side, since, until in ((now, start, query.end), (before, previous_start, start)):
            asked = plain.model_copy(update={"start": since, "end": until})
            async for part in _read(store, asked, step_s, sample, side):
                await anyio.to_thread.run_sync(gatherer.take, part.records, part.weight)
        patterns, count = await anyio.to_thread.run_sync(
            lambda: gatherer.patterns(now.total, limit=limit, before_known=before.total > 0)
        )
        return LogPatterns(
            start=start,
            end=query.end,
            previous_start=previous_start,
            step_s=step_s,
            records_total=now.total,
            records_read=now.read,
            previous_total=before.total,
            previous_read=before.read,
            sampled=now.read < now.total or before.read < before.total,
            patterns=tuple(patterns),
            patterns_total=count,
            notes=tuple(_notes(now, before, gatherer.left_out)),
        )


async def _read(store: LogStore, query: LogQuery, step_s: int, sample: int, side: _Side) -> AsyncIterator[_Part]:
    """Records of a time: all of them, or of each step the newest in proportion."""
    if query.start >= query.end:
        return
    counts = [sum(step.counts.values()) for step in await store.log_counts(query, step_s)]
    total = sum(counts)
    if total <= sample:
        async for records in _newest(store, query, sample):
            side.read += records.num_rows
            yield _Part(records, 1.0)
        side.total = side.read  # what has arrived since it was counted is in, too
        return
    side.total = total
    for number, count in enumerate(counts):
        since = query.start + timedelta(seconds=number * step_s)
        until = min(query.end, since + timedelta(seconds=step_s))
        wanted = max(1, count * sample // total) if count else 0
        at = query.model_copy(update={"start": since, "end": until})
        async for records in _newest(store, at, wanted):
            side.read += records.num_rows
            yield _Part(records, count / wanted)


async def _newest(store: LogStore, query: LogQuery, wanted: int) -> AsyncIterator[LogTable]:
    """The newest ``wanted`` records, in parts."""
    async for part in store.export(query):
        yield part if part.num_rows <= wanted else pa.table(part).slice(0, wanted)
        wanted -= part.num_rows
        if wanted <= 0:
            return


def _notes(now: _Side, before: _Side, left_out: float) -> list[str]:
    notes: list[str] = []
    if now.read < now.total:
        notes.append(f"Counted from {now.read:,} of {now.total:,} records, spread evenly over the time.")
    if before.read < before.total:
        notes.append(
            f"Of the time before, {before.read:,} of {before.total:,} records were read: what was rare then may be "
            "called new."
        )
    if now.total and not before.total:
        notes.append("There is no record of the time before: what is new and what has grown cannot be told.")
    if left_out:
        notes.append(
            f"About {round(left_out):,} records differ too much from each other to be grouped and are left out. "
            "Ask for one service, or name their variable parts in logs.masks."
        )
    return notes
