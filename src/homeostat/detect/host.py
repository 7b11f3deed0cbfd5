"""A starved machine is an issue while services on it are slow, and says so with its figures. Called by ``detector``.

By itself it is none: a machine that computes something in the background while everybody is served in time is well.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from homeostat.core.models import Evidence, Finding, IssueType, SensorEvent, Severity

NAMED_MAX: Final = 3


class HostWatch:
    """Remembers the last word of the sensor."""

    def __init__(self) -> None:
        self.last: SensorEvent | None = None

    def sense(self, event: SensorEvent) -> None:
        """Take in one event. Events of other types are ignored."""
        if event.type is IssueType.HOST_STARVED:
            self.last = event

    @property
    def starved(self) -> SensorEvent | None:
        """The event that says so, while it holds."""
        return self.last if self.last is not None and self.last.bad else None

    def look(self, slow: Collection[str], now: datetime) -> list[Finding]:
        """``slow``: services on this machine that are slow now, by what was found or has not closed yet."""
        event = self.last
        if event is None:
            return []
        bad = event.bad and bool(slow)
        return [
            Finding(
                detector="host",
                type=IssueType.HOST_STARVED,
                resource=event.resource,
                bad=bad,
                severity=Severity.MEDIUM,
                evidence=_evidence(event, slow),
                time=now,
                first_bad_at=now if bad else None,
            )
        ]


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
