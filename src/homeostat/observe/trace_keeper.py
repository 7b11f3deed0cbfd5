"""What becomes of spans between log and segments: all are counted, and what counting needs is remembered.

The lane of traces asks it (``keeper.Keeper``), in the thread of its intake; what is written with a checkpoint is
written in the flush thread.
"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from homeostat.observe.keeper import Group
from homeostat.observe.presence import Presence
from homeostat.observe.red import Red
from homeostat.observe.rollup_restoring import WAITING_PREFIX
from homeostat.observe.rollups import Rollups
from homeostat.store.telemetry.attachments import ROLE_STATE, Attachment, SealExtras, write_durably


class TraceKeeper:
    """Counts every span, persistently."""

    def __init__(self, red: Red, rollups: Rollups, presence: Presence) -> None:
        self._red = red
        self._rollups = rollups
        self._presence = presence

    def keep(self, group: Group) -> pa.Table:
        """All of it, but what is stored already."""
        return group.rows.slice(0, 0) if group.settled else group.rows

    def count(self, rows: pa.Table) -> None:
        """Fold every span into rates and topology."""
        self._red.fold(rows)

    def release(self, *, final: bool) -> pa.Table | None:
        """Nothing was held back. Called often: a sign that somebody counts."""
        self._presence.beat()
        return None

    def on_seal(self, last_seq: int) -> SealExtras:
        """What a restart has to know of the requests up to this one."""
        rollup, waiting = self._rollups.seal(last_seq), self._red.waiting_halves()

        def write(directory: Path) -> Sequence[Attachment]:
            self._rollups.tend()
            name = f"{WAITING_PREFIX}{last_seq}.npz"
            write_durably(directory / name, waiting)
            return [*self._rollups.write(rollup, directory), Attachment(name=name, role=ROLE_STATE)]

        return SealExtras(last_seq + 1, write)
