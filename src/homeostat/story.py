"""The story of what happened: timeline entries that are stored and told live. The loop and the healer write it."""

from datetime import datetime

from homeostat.core.models import Incident, Issue, Scalar, TimelineEntry, TimelineKind
from homeostat.core.ports import Bus, Clock, Ids, IncidentStore


class Story:
    """Writes the timeline and publishes what changed."""

    def __init__(self, store: IncidentStore, bus: Bus, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._ids = ids

    async def tell(
        self,
        kind: TimelineKind,
        title: str,
        detail: str = "",
        *,
        at: datetime | None = None,
        incident_id: str | None = None,
        resource: str | None = None,
        data: dict[str, Scalar] | None = None,
    ) -> None:
        """Add an entry. Raises StoreError when it cannot be stored; then it is not published either."""
        entry = TimelineEntry(
            id=self._ids.new("entry"),
            time=at or self._clock.now(),
            kind=kind,
            title=title,
            detail=detail,
            incident_id=incident_id,
            resource=resource,
            data=data or {},
        )
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
