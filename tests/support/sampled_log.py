"""A write-ahead log, a hot buffer and segments around a sampler, in memory: what a kill takes away is gone.

The rules are those of the store: a checkpoint makes the hot buffer and the sampler's snapshot durable together; after
a kill the log is replayed from the oldest request that has undecided spans.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from homeostat.observe.sampling.sampler import Kept, Sampler


@dataclass
class Logged:
    """``make`` gives a fresh sampler of the same configuration."""

    make: Callable[[], Sampler]
    now_s: float = 0.0
    log: list[pa.Table] = field(default_factory=list)
    hot: list[pa.Table] = field(default_factory=list)
    segments: list[pa.Table] = field(default_factory=list)
    checkpoint: int = 0  # the last request that it covers; requests count from 1
    replay_from: int = 1
    snapshot: bytes | None = None
    replayed: int = 0
    sampler: Sampler = field(init=False)

    def __post_init__(self) -> None:
        self.sampler = self.make()

    def submit(self, spans: pa.Table) -> None:
        """A request is logged and taken in."""
        self.log.append(spans)
        self._take(len(self.log), settled=False)
        self.due()

    def _take(self, seq: int, *, settled: bool) -> None:
        late = self.sampler.take(self.log[seq - 1], seq, seq, self.now_s, settled=settled)
        if late is not None:
            assert not settled
            self.hot.append(late)

    def due(self, *, force: bool = False) -> Kept | None:
        """Decide what is due."""
        made = self.sampler.due(self.now_s, force=force)
        if made is not None:
            self.hot.append(made.spans)
        return made

    def seal(self) -> None:
        """A checkpoint."""
        self.snapshot = self.sampler.snapshot()
        self.checkpoint = len(self.log)
        self.replay_from = self.sampler.oldest_pending_seq() or self.checkpoint + 1
        self.segments += self.hot
        self.hot = []

    def kill(self) -> None:
        """kill -9, and the start after it."""
        self.hot = []
        self.sampler = self.make()
        if self.snapshot is not None:
            self.sampler.restore(self.snapshot)
        for seq in range(self.replay_from, len(self.log) + 1):
            self._take(seq, settled=seq <= self.checkpoint)
            self.due()
            self.replayed += self.log[seq - 1].num_rows

    @property
    def stored(self) -> Sequence[pa.Table]:
        """All that a reader would find."""
        return [*self.segments, *self.hot]
