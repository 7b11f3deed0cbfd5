"""What keeps the store from writing, the log and the segments apart. Set by ``store``, told by its ``status``.

A failure stands until the same kind of write works again, but for an append that had no room: that is over when
there is room, because an idle system appends nothing that could show it.
"""

import errno
from dataclasses import dataclass
from typing import Final

from homeostat.core.errors import StoreError, StoreFullError
from homeostat.store.telemetry import disk

FULL: Final = "full"
FAILING: Final = "failing"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the last write of one kind failed."""

    detail: str
    is_full: bool = False  # there was no room
    shows: bool = False  # the lack of room is one that the disk's free bytes show (a quota's is not)


def of_append(error: StoreError) -> Trouble:
    """Why a request could not be made durable."""
    is_full, cause = isinstance(error, StoreFullError), error.__cause__
    shows = is_full and (cause is None or (isinstance(cause, OSError) and cause.errno == errno.ENOSPC))
    return Trouble(str(error), is_full, shows)


def of_flush(error: Exception, place: object) -> Trouble:
    """Why segments could not be written, merged or deleted. Tried again by itself: it stands until that works."""
    if isinstance(error, StoreError):
        return Trouble(str(error))  # of a store that is shared: it names the remedy itself
    number = error.errno if isinstance(error, OSError) else None
    name = errno.errorcode.get(number or 0, type(error).__name__)
    is_full = number in disk.NO_ROOM
    remedy = (
        "Make room." if is_full else "Check the disk; what was acknowledged is in the log, and it is tried again."
    )
    return Trouble(f"Segments can't be written to {place}: {name}: {error}. {remedy}", is_full)
