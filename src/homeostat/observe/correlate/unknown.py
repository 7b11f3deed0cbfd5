"""Which lasting conditions of the correlation rule can't be judged now, and so go on. Used by ``correlator``."""

from collections.abc import Collection, Sequence

from homeostat.core.config import AnomalyConfig
from homeostat.core.events import Event
from homeostat.core.red import RedPoint
from homeostat.observe.correlate.conditions import ANOMALY, Condition

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
