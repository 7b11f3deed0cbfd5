"""What the telemetry store says of itself, over all of its lanes. Called by ``lane`` and ``observe.pipeline``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from homeostat.core.errors import StoreCorruptError
from homeostat.core.models import StorageStatus
from homeostat.store.telemetry import disk
from homeostat.store.telemetry.trouble import FAILING, FULL, Trouble


class Reporting(Protocol):
    """What a lane tells of itself."""

    segment_dir: Path
    min_free_bytes: int

    @property
    def problems(self) -> list[StoreCorruptError]: ...

    @property
    def troubles(self) -> list[Trouble]: ...

    def used_bytes(self) -> int: ...


def status_of(lanes: Sequence[Reporting]) -> StorageStatus:
    """How the lanes (of one data directory) are now. Looks at the disk: not for a tight loop."""
    min_free = lanes[0].min_free_bytes
    try:
        free = disk.free_bytes(lanes[0].segment_dir)
        used = sum(lane.used_bytes() for lane in lanes)
    except OSError as error:
        return StorageStatus(state="unknown", detail=f"{error}", used_bytes=None, free_bytes=None)
    has_room = free >= min_free
    troubles = [trouble for lane in lanes for trouble in lane.troubles if not (trouble.shows and has_room)]
    if not troubles and not has_room:
        missing = f"{free >> 20} MiB are free, {min_free >> 20} have to be left: make room."
        troubles.append(Trouble(missing, is_full=True))
    if troubles:
        state = FULL if any(trouble.is_full for trouble in troubles) else FAILING
        detail = " ".join(dict.fromkeys(trouble.detail for trouble in troubles))
        return StorageStatus(state=state, detail=detail, used_bytes=used, free_bytes=free)
    problems = [str(problem) for lane in lanes for problem in lane.problems]
    detail = "; ".join(problems) or "Everything acknowledged is on disk."
    return StorageStatus(state="ok", detail=detail, used_bytes=used, free_bytes=free)
