"""Turns what process sensors see into findings, at once. No telemetry is involved, and none is waited for."""

from collections import deque

from homeostat.core.models import Evidence, Finding, IssueType, SensorEvent, Severity

PENDING_MAX = 1_000  # events between two looks; more than that is a storm, and the newest count


class CrashDetector:
    """Remembers the last word of the sensors on each resource, and every death since the last look."""

    def __init__(self) -> None:
        self._last: dict[str, SensorEvent] = {}
        self._died: deque[SensorEvent] = deque(maxlen=PENDING_MAX)

    def sense(self, event: SensorEvent) -> None:
        """Take in one event. Events of other types than a crash are ignored."""
        if event.type is not IssueType.PROCESS_CRASH:
            return
        last = self._last.get(event.resource)
        if event.bad and (last is None or not last.bad):
            self._died.append(event)
        if last is None or not (event.bad and last.bad):  # told twice of one death: the first telling has its time
            self._last[event.resource] = event

    def look(self) -> list[Finding]:
        """Every death since the last look, also of what lives again by now; then how each resource is."""
        findings = [_finding(event) for event in self._died]
        self._died.clear()
        findings.extend(_finding(event) for event in self._last.values())
        return findings


def _finding(event: SensorEvent) -> Finding:
    return Finding(
        detector="crash",
        type=IssueType.PROCESS_CRASH,
        resource=event.resource,
        bad=event.bad,
        severity=Severity.CRITICAL,
        evidence=Evidence(
            signal="up",
            observed=0.0 if event.bad else 1.0,
            threshold=1.0,
            unit="bool",
            sample_size=1,
            detail=event.detail,
            metrics=event.metrics,
        ),
        time=event.time,  # a sensor speaks when something changes: since then its last word has been true
        first_bad_at=event.time if event.bad else None,
    )
