"""What the detectors look at: RED counts of every service and operation over several windows that end now.

Spans arrive 0.5 to 1.5 s after they end, so "now" means two things here:
- **badness** is read up to the newest second that has any spans. It may be incomplete, but errors that are there
  are facts, and what has arrived of a second is a fair sample of it: fast and slow, good and bad spans of one
  moment leave their service in the same batch.
- **goodness** is read up to the newest second that must be complete, ``COMPLETE_AFTER_S`` ago: a second in which
  nothing bad has arrived *yet* is no evidence of health.
"""

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime

from homeostat.core.ports import RedReader
from homeostat.core.red import RedPoint

WINDOWS_S = (3, 5, 10, 30, 60)
"""Seconds. A strong fault shows in the shortest, a weak one in the longest that still counts as now."""

COMPLETE_AFTER_S = 1.5
"""A second of telemetry is taken as complete this long after its end."""

SILENT_AFTER_S = 5
"""With no span of anybody for this long, telemetry has stopped; it is not merely late."""

Key = tuple[str, str | None]
"""A series: (service, operation); operation None is the whole service."""

Points = dict[Key, RedPoint]


def complete_end_s(red: RedReader, now: datetime) -> int | None:
    """The newest Unix second before which telemetry is complete; None before the first telemetry."""
    latest = red.latest_s()
    if latest is None:
        return None
    complete = math.floor(now.timestamp() - COMPLETE_AFTER_S)
    # Spans that are all late leave the newest seconds unfinished. But when nothing at all comes any more, the
    # end has to move on into the silence, or the last good seconds would be called good for ever.
    return min(latest, complete) if latest > complete - SILENT_AFTER_S else complete


def newest_end_s(red: RedReader, now: datetime) -> int | None:
    """The end of the newest second with spans; it moves on into the silence when nothing comes any more."""
    latest = red.latest_s()
    if latest is None:
        return None
    moment = math.floor(now.timestamp())
    # A span from a clock ahead of ours must not drag the windows into the future, where nothing is.
    return min(max(latest + 1, moment - SILENT_AFTER_S), moment + 1)


def at(unix_s: float) -> datetime:
    """Unix seconds as an aware UTC datetime."""
    return datetime.fromtimestamp(unix_s, UTC)


def read_points(red: RedReader, start_s: int, end_s: int) -> Points:
    """Every service and every operation over ``[start_s, end_s)``; an only operation is not repeated.

    Operations that serve nobody (names of client spans) are left out.
    """
    points: Points = {(point.service, None): point for point in red.window(start_s, end_s)}
    for point in red.operations(start_s, end_s):
        whole = points.get((point.service, None))
        if point.requests and (whole is None or point.requests != whole.requests):
            points[point.service, point.operation] = point
    return points


@dataclass(slots=True)
class Windows:
    """One look's view. A long window changes slowly and is read again only after a tenth of its length."""

    red: RedReader
    end_s: int | None = None  # the end of what badness is read from
    complete_end_s: int | None = None  # the end of what goodness is read from
    now: datetime = field(default_factory=lambda: datetime.fromtimestamp(0, UTC))
    _read_at: dict[tuple[int, bool], float] = field(default_factory=dict[tuple[int, bool], float])
    _points: dict[tuple[int, bool], Points] = field(default_factory=dict[tuple[int, bool], Points])

    def move_to(self, now: datetime) -> bool:
        """Look from ``now`` on. False when there is no telemetry yet."""
        self.now = now
        self.end_s = newest_end_s(self.red, now)
        self.complete_end_s = complete_end_s(self.red, now)
        return self.end_s is not None

    def bad(self, window_s: int) -> Points:
        """Points over the ``window_s`` that end at the newest telemetry."""
        return self._cached(window_s, False, self.end_s)

    def good(self, window_s: int) -> Points:
        """Points over the ``window_s`` that end at the newest complete second."""
        return self._cached(window_s, True, self.complete_end_s)

    def read_at(self, window_s: int) -> float:
        """When the window of badness was read last, Unix seconds: it is the same until then."""
        return self._read_at.get((window_s, False), 0.0)

    def _cached(self, window_s: int, complete: bool, end_s: int | None) -> Points:
        if end_s is None:
            return {}
        slot, moment = (window_s, complete), self.now.timestamp()
        read_at = self._read_at.get(slot)
        # Half an interval of tolerance, so that a look every 0.5 s is not put off to the next by a millisecond.
        if read_at is None or not 0 <= moment - read_at < window_s / 10 - 0.25:
            self._points[slot] = read_points(self.red, end_s - window_s, end_s)
            self._read_at[slot] = moment
        return self._points[slot]
