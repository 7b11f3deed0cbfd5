"""Which lasting conditions of the correlation rule can't be judged now, and for how long. Used by ``correlator``.

Silence after trouble is no proof of health, so they go on; but a service that was retired while it failed never sends
again, and nobody would ever end its alert.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Final

from homeostat.core.config import AnomalyConfig
from homeostat.core.events import Event
from homeostat.core.red import RedPoint
from homeostat.observe.correlate.conditions import ANOMALY, Condition

UNKNOWN_AFTER: Final = timedelta(hours=24)
"""What could not be judged for so long is taken for over. Time in which Homeostat itself was down does not count."""

UNKNOWN_SINCE: Final = "unknown_since_s"
"""In the data of an event: the Unix second since which it can't be judged, so that a restart does not begin anew."""

_WRITTEN_AFTER_S: Final = 600.0  # most are judged again soon: not each of them is worth a write

_ERRORS = f"{ANOMALY}errors|"
_LATENCY = f"{ANOMALY}latency|"
_BOTH = f"{ANOMALY}both|"


def unjudged(
    lasting: Sequence[Event],
    found: Sequence[Condition],
    points: Sequence[RedPoint],
    measured: Collection[str],
    config: AnomalyConfig,
) -> set[str]:
    """Fingerprints of lasting conditions whose service has no requests, or too few to speak of an error rate.

    ``points``: RED of the window. ``measured``: fingerprints of the series that have a value in it.
    """
    asked = {f"{_LATENCY}{point.service}" for point in points if point.requests}
    asked |= {f"{_ERRORS}{point.service}" for point in points if point.requests >= config.min_requests}
    parts = [event for event in lasting if not event.fingerprint.startswith(_BOTH)]
    kept = {event.fingerprint for event in parts} - asked - set(measured)
    stands = kept | {condition.fingerprint for condition in found}
    failing = {
        service for event in parts if event.fingerprint in stands and _fails(event) for service in event.services
    }
    for event in lasting:
        entry = event.fingerprint.removeprefix(_BOTH)
        if entry != event.fingerprint and f"{_LATENCY}{entry}" in stands and failing.intersection(event.services):
            kept.add(event.fingerprint)
    return kept


def _fails(event: Event) -> bool:
    return event.fingerprint.startswith(_ERRORS)


class Unknown:
    """Since when each event can't be judged."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def look(self, unknown: Mapping[str, Event], now_s: float, known_s: Callable[[float, float], float]) -> list[str]:
        """The fingerprints of those that are over. ``unknown``: what can't be judged now, by fingerprint.

        ``known_s``: for how many seconds between two moments somebody was there to receive.
        """
        before = self._since
        self._since = {key: min(before.get(key, _marked(event) or now_s), now_s) for key, event in unknown.items()}
        return [key for key, since in self._since.items() if known_s(since, now_s) >= UNKNOWN_AFTER.total_seconds()]

    def to_write(self, event: Event, now_s: float) -> Event | None:
        """The event with the mark that it must have, where it has another one; None: it is right as it is."""
        since, marked = self._since.get(event.fingerprint), _marked(event)
        if since is None:
            data = {key: value for key, value in event.data.items() if key != UNKNOWN_SINCE}
            return event.model_copy(update={"data": data}) if marked is not None else None
        if marked is not None or now_s - since < _WRITTEN_AFTER_S:
            return None
        return event.model_copy(update={"data": event.data | {UNKNOWN_SINCE: since}})


def _marked(event: Event) -> float | None:
    since = event.data.get(UNKNOWN_SINCE)
    return float(since) if isinstance(since, int | float) else None
