"""What becomes of spans between log and segments: counted all, sampled by whole traces, remembered at checkpoints.

The lane of traces asks it (``keeper.Keeper``), in the thread of its intake; what is written with a checkpoint is
written in the flush thread. After a restart ``restore`` comes before the first group.
"""

import logging
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Final

import pyarrow as pa

from homeostat.core.errors import StoreCorruptError
from homeostat.core.ports import Clock
from homeostat.core.sampling import SamplingConfig
from homeostat.observe.decode.serialized import acknowledged_table
from homeostat.observe.keeper import Group
from homeostat.observe.presence import Presence
from homeostat.observe.red import Red
from homeostat.observe.rollup_restoring import WAITING_PREFIX
from homeostat.observe.rollups import Rollups
from homeostat.observe.sampling.sampler import Sampler
from homeostat.store.telemetry.attachments import ROLE_STATE, Attachment, SealExtras, write_durably
from homeostat.store.telemetry.schema import SPAN_SCHEMA

logger = logging.getLogger(__name__)

_SAMPLING_PREFIX: Final = "sampling-"
"""The attachment with what was decided."""

_KEEP_ALL: Final = SamplingConfig.model_validate({"policies": [{"name": "all", "type": "always_sample"}]})


class TraceKeeper:
    """Counts every span, persistently; keeps those of whole traces. Without a sampler it keeps all."""

    def __init__(
        self, red: Red, rollups: Rollups, presence: Presence, clock: Clock, sampler: Sampler | None = None
    ) -> None:
        self._red = red
        self._rollups = rollups
        self._presence = presence
        self._clock = clock
        self._sampler = sampler
        self._is_ending = False

    def restore(self, directory: Path, attachments: Sequence[Attachment]) -> None:
        """Remember what was decided up to the checkpoint. What can't be read back is said, and decided anew."""
        for attachment in attachments:
            if not attachment.name.startswith(_SAMPLING_PREFIX):
                continue
            if self._sampler is None:  # sampling was switched off: what was still held back is kept, and then it ends
                self._sampler, self._is_ending = Sampler(_KEEP_ALL), True
            try:
                self._sampler.restore((directory / attachment.name).read_bytes())
            except (OSError, StoreCorruptError) as error:
                logger.error("%s: %s", directory / attachment.name, error)

    @property
    def spans_dropped(self) -> int:
        """Spans that were not kept, since the start."""
        if self._sampler is None:
            return 0
        return self._sampler.counters.spans_dropped + self._sampler.counters.late_spans_dropped

    @property
    def traces_kept_undecided(self) -> int:
        """Traces that were kept because the policies failed, since the start."""
        return self._sampler.counters.traces_kept_undecided if self._sampler is not None else 0

    def undecided(self) -> list[pa.Table]:
        """Spans that are held, newest first. May be called by any thread."""
        sampler = self._sampler
        return sampler.pending_tables() if sampler is not None else []

    @property
    def held_since(self) -> Set[int]:
        """Where traces begin that were undecided at the checkpoint."""
        return self._sampler.held_since if self._sampler is not None else frozenset()

    def keep(self, group: Group) -> pa.Table:
        """What goes on at once: late spans of traces that are kept. The others are held until they are decided."""
        if self._sampler is None:
            return SPAN_SCHEMA.empty_table() if group.settled else acknowledged_table(group.rows.to_batches())
        late = self._sampler.take(
            group.rows, group.first_seq, group.last_seq, self._clock.monotonic(), settled=group.settled
        )
        return SPAN_SCHEMA.empty_table() if late is None else late

    def count(self, rows: pa.Table) -> None:
        """Fold every span into rates and topology."""
        self._red.fold(rows)

    def release(self, *, final: bool) -> pa.Table | None:
        """The spans of traces that were decided to be kept; at the end everything is decided."""
        self._presence.beat()
        if self._sampler is None:
            return None
        decided = self._sampler.due(self._clock.monotonic(), force=final or self._is_ending)
        if self._is_ending:
            self._sampler = None
        return decided.spans if decided is not None and decided.spans_kept else None

    def on_seal(self, last_seq: int) -> SealExtras:
        """What a restart has to know of the requests up to this one."""
        rollup = self._rollups.seal(last_seq)
        states = {f"{WAITING_PREFIX}{last_seq}.npz": self._red.waiting_halves()}
        replay_from = last_seq + 1
        if self._sampler is not None:
            states[f"{_SAMPLING_PREFIX}{last_seq}.bin"] = self._sampler.snapshot()
            replay_from = min(self._sampler.oldest_pending_seq() or replay_from, replay_from)

        def write(directory: Path) -> Sequence[Attachment]:
            self._rollups.tend()
            for name, content in states.items():
                write_durably(directory / name, content)
            return [
                *self._rollups.write(rollup, directory),
                *(Attachment(name=name, role=ROLE_STATE) for name in states),
            ]

        return SealExtras(replay_from, write)
