"""The story of what happened: timeline entries that are stored and told live. The loop and the healer write it."""

from datetime import datetime
from typing import TypedDict, Unpack

from homeostat.core.models import Incident, Issue, Scalar, TimelineEntry, TimelineKind
from homeostat.core.ports import Bus, Clock, Ids, IncidentStore


class About(TypedDict, total=False):
    """What an entry may be about, and when it was."""

    at: datetime | None
    incident_id: str | None
    resource: str | None
    data: dict[str, Scalar] | None


class Story:
    """Writes the timeline and publishes what changed."""

    def __init__(self, store: IncidentStore, bus: Bus, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._ids = ids

    async def tell(self, kind: TimelineKind, title: str, detail: str = "", **about: Unpack[About]) -> None:
        """Add an entry. Raises StoreError when it cannot be stored; then it is not published either."""
        await self.add(self.entry(kind, title, detail, **about))

    def entry(self, kind: TimelineKind, title: str, detail: str = "", **about: Unpack[About]) -> TimelineEntry:
        """A new entry, of now where ``at`` says nothing else."""
        return TimelineEntry(
            id=self._ids.new("entry"),
            time=about.get("at") or self._clock.now(),
            kind=kind,
            title=title,
            detail=detail,
            incident_id=about.get("incident_id"),
            resource=about.get("resource"),
            data=about.get("data") or {},
        )

    async def add(self, entry: TimelineEntry) -> None:
        """Store and publish an entry. Raises as ``tell``; safe to repeat."""
        await self._store.add_timeline(entry)
        self.told(entry)

    def told(self, entry: TimelineEntry) -> None:
        """Tell those who watch of an entry that is on record."""
        self._bus.publish("timeline", entry.model_dump(mode="json"))

    def issue_changed(self, issue: Issue) -> None:
        """Tell those who watch."""
        self._bus.publish("issues", issue.model_dump(mode="json"))

    def incident_changed(self, incident: Incident) -> None:
        """Tell those who watch."""
        self._bus.publish("incidents", incident.model_dump(mode="json"))
