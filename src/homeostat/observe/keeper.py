"""What happens to the rows of a lane between its log and its segments. Called by ``intake``, in the lane's thread.

Metrics and logs are kept as they come. Traces are counted, and may be held back until it is decided which to keep.
"""

from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from homeostat.store.telemetry.attachments import OnSeal


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of some consecutive requests of the log."""

    rows: pa.Table
    first_seq: int
    last_seq: int
    settled: bool  # a restart reads them again, and a checkpoint covers them: count and keep nothing twice


class Keeper(Protocol):
    """One per lane."""

    @property
    def on_seal(self) -> OnSeal | None:
        """Asked when a checkpoint is made; None: there is nothing to remember."""
        ...

    @property
    def held_since(self) -> Set[int]:
        """Asked before a replay: the settled requests that must be the first of their group."""
        ...

    def keep(self, group: Group) -> pa.Table:
        """The rows to make visible and store now (all, some or none), before the senders are answered."""
        ...

    def count(self, rows: pa.Table) -> None:
        """Take note of every row that was received, after the senders were answered. Not called for settled ones."""
        ...

    def release(self, *, final: bool) -> pa.Table | None:
        """Rows that were held back and are to be stored now; called often. ``final``: nothing comes behind it."""
        ...


class KeepAll:
    """Keeps everything at once; ``count`` is told of every row."""

    on_seal: OnSeal | None = None
    held_since: Set[int] = frozenset()

    def __init__(self, count: Callable[[pa.Table], None] | None = None) -> None:
        self._count = count

    def keep(self, group: Group) -> pa.Table:
        """All of it, but what is stored already."""
        return group.rows.slice(0, 0) if group.settled else group.rows

    def count(self, rows: pa.Table) -> None:
        """Pass on."""
        if self._count is not None:
            self._count(rows)

    def release(self, *, final: bool) -> pa.Table | None:
        """Nothing was held back."""
        return None
