"""A starved machine is an issue while services on it are slow, and says so with its figures. Called by ``detector``.

By itself it is none: a machine that computes something in the background while everybody is served in time is well.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from homeostat.core.models import Evidence, Finding, IssueType, SensorEvent, Severity

NAMED_MAX: Final = 3

HEARD_WITHIN: Final = timedelta(seconds=30)
"""While a machine is starved its sensor says so every ten seconds. After so long a silence nobody knows any more."""


class HostWatch:
    """Remembers the last word of the sensor."""

    def __init__(self) -> None:
        self.last: SensorEvent | None = None
        self._now: datetime | None = None  # of the last look

    def sense(self, event: SensorEvent) -> None:
        """Take in one event. Events of other types are ignored."""
        if event.type is IssueType.HOST_STARVED:
            self.last = event

    @property
    def starved(self) -> SensorEvent | None:
        """The event that says so, while it holds and, at the last look, had been heard not too long ago."""
        event = self.last
        return None if event is None or not event.bad or self._is_silent(event) else event

    def look(self, slow: Collection[str], now: datetime) -> list[Finding]:
        """``slow``: services on this machine that are slow now, by what was found or has not closed yet."""
        self._now, event = now, self.last
        if event is None:
            return []
        bad = self.starved is not None and bool(slow)
        evidence = _silence(event) if event.bad and self._is_silent(event) else _evidence(event, slow)
        return [
            Finding(
                detector="host",
                type=IssueType.HOST_STARVED,
                resource=event.resource,
                bad=bad,
                severity=Severity.MEDIUM,
                evidence=evidence,
                time=now,
                first_bad_at=now if bad else None,
            )
        ]

    def _is_silent(self, event: SensorEvent) -> bool:
        return self._now is not None and self._now - event.time > HEARD_WITHIN


def _silence(event: SensorEvent) -> Evidence:
    """An issue that nobody can speak for any more closes, and says why."""
    return _evidence(event, ()).model_copy(
        update={
            "observed": None,
            "detail": "Nothing has been heard of the machine's processor time for "
            f"{HEARD_WITHIN.total_seconds():.0f} s; whether it is starved is not known.",
            "metrics": {},
        }
    )


def _evidence(event: SensorEvent, slow: Collection[str]) -> Evidence:
    figures = event.metrics
    by_share = "cpu_pressure" in figures  # else by the load average, a number of tasks
    signal = "cpu_pressure" if by_share else "load_average"
    return Evidence(
        signal=signal,
        observed=figures.get(signal),
        threshold=figures.get("starved_from", 0.0),
        unit="ratio" if by_share else "",
        detail=_sentence(event, slow),
        metrics=figures,
    )


def _sentence(event: SensorEvent, slow: Collection[str]) -> str:
    said = event.detail[:1].upper() + event.detail[1:]
    if not slow:
        return f"{said}. No service here is slow."
    names = sorted(slow)
    rest = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return f"{said}. Slow here: {', '.join(names[:NAMED_MAX])}{rest}."
