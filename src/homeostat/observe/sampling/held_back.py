"""Which traces were undecided at a checkpoint, and since which request: a replay takes those and no others.

Part of the sampler's snapshot. The requests that a checkpoint covers are read again for the sake of traces that were
undecided. All other traces in them were decided, and are stored or dropped already, whether or not the decision is
still remembered: decisions are remembered within a bound, this is exact.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from homeostat.observe.sampling.keys import Keys

Seqs = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class HeldBack:
    """One entry a trace, by key."""

    keys: Keys  # ascending
    since: Seqs  # the first request that may have spans of it; what came before was of an earlier decision

    @classmethod
    def of(cls, keys: Keys, since: Seqs) -> "HeldBack":
        """In any order."""
        order = np.argsort(keys)
        return cls(keys[order], since[order])

    def has(self, keys: Keys, seq: int) -> npt.NDArray[np.bool_]:
        """Which of these traces, in requests from ``seq`` on, were undecided."""
        if not len(self.keys):
            return np.zeros(len(keys), dtype=np.bool_)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return (self.keys[place] == keys) & (self.since[place] <= seq)

    @property
    def starts(self) -> frozenset[int]:
        """The requests at which a replayed group has to begin, so that ``seq`` is true of all in it."""
        return frozenset(np.unique(self.since).tolist())
