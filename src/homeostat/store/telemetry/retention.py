"""The one bound in bytes over all lanes: the oldest segments go first, whichever signal they hold.

Called by the flush thread, which is the only one that changes catalogues.
"""

import logging
from collections.abc import Sequence
from typing import Any

from homeostat.store.telemetry.lane import Lane
from homeostat.store.telemetry.maintenance import over_bound

logger = logging.getLogger(__name__)


def keep_within(lanes: Sequence[Lane[Any]], max_bytes: int) -> None:
    """Delete the oldest segments of the lanes until together they have at most ``max_bytes``."""
    for lane, surplus in zip(lanes, over_bound([lane.segments for lane in lanes], max_bytes), strict=True):
        try:
            lane.remove(surplus, [])
        except OSError as error:
            logger.warning("Old %s can't be deleted now, it is tried again: %s", lane.spec.name, error)
