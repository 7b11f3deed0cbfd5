"""Totals of all spans since the start, for Prometheus. ``observe.red`` adds each batch under its lock."""

from collections.abc import Sequence
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from homeostat.core.red import HISTOGRAM_BUCKETS
from homeostat.core.totals import SpanTotals
from homeostat.observe.red_buckets import Timed

Numbers = npt.NDArray[np.int64]
Rows = TypeVar("Rows", bound=np.generic)

_KINDS: Final = 6
_BUCKET_BITS: Final = 8  # of a histogram's key, as in ``red_delta``
_GROWTH: Final = 2


class Totals:
    """Sums by the numbers that ``red`` gives to pairs and services. Not thread-safe: the owner locks.

    Two kilobytes for each pair and each service; both are bounded by ``RedLimits``.
    """

    def __init__(self) -> None:
        self._sums = np.zeros((0, 3))  # requests, errors, duration in ms
        self._histogram = np.zeros((0, HISTOGRAM_BUCKETS), dtype=np.int64)
        self._traces = np.zeros((0, HISTOGRAM_BUCKETS), dtype=np.int64)
        self._traces_ms = np.zeros(0)
        self._kinds = np.zeros(_KINDS, dtype=np.int64)

    def add(self, counts: Timed, histograms: Timed) -> None:
        """Add a batch's sums by pair (the first three of six) and its histogram by pair << 8 | bucket."""
        if len(counts.keys):
            self._sums = _room(self._sums, int(counts.keys.max()))
            np.add.at(self._sums, counts.keys, counts.sums[:, :3])
        if len(histograms.keys):
            pairs, buckets = histograms.keys >> _BUCKET_BITS, histograms.keys & ((1 << _BUCKET_BITS) - 1)
            self._histogram = _room(self._histogram, int(pairs.max()))
            np.add.at(self._histogram, (pairs, buckets), histograms.sums[:, 0].astype(np.int64))

    def add_spans(
        self, kinds: npt.NDArray[np.int8], root_services: Numbers, root_buckets: Numbers, root_ns: Numbers
    ) -> None:
        """Add a batch's kinds, and the service, bucket and duration of each root span in it."""
        self._kinds += np.bincount(kinds, minlength=_KINDS)[:_KINDS]
        if len(root_services):
            highest = int(root_services.max())
            self._traces, self._traces_ms = _room(self._traces, highest), _room(self._traces_ms, highest)
            np.add.at(self._traces, (root_services, root_buckets), 1)
            np.add.at(self._traces_ms, root_services, root_ns / 1e6)

    def snapshot(self, operations: Sequence[tuple[str, str]], services: Sequence[str]) -> SpanTotals:
        """A copy as it is now. The names stand at their numbers' places."""
        pairs = len(operations)
        sums = _room(self._sums, pairs)[:pairs]
        return SpanTotals(
            operations=tuple(operations),
            requests=np.rint(sums[:, 0]).astype(np.int64),
            errors=np.rint(sums[:, 1]).astype(np.int64),
            duration_sum_ms=sums[:, 2].copy(),
            histogram=_room(self._histogram, pairs)[:pairs].copy(),
            services=tuple(services),
            traces_duration_sum_ms=_room(self._traces_ms, len(services))[: len(services)].copy(),
            traces_histogram=_room(self._traces, len(services))[: len(services)].copy(),
            kinds=tuple(self._kinds.tolist()),
        )


def _room(rows: npt.NDArray[Rows], highest: int) -> npt.NDArray[Rows]:
    """The array, with room for the row of that number."""
    if highest < len(rows):
        return rows
    larger = np.zeros((max(highest + 1, _GROWTH * len(rows)), *rows.shape[1:]), dtype=rows.dtype)
    larger[: len(rows)] = rows
    return larger
