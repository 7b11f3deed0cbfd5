"""The events around the systems, on record and live: whoever has one to tell calls ``record`` or ``alert``.

A later event with the fingerprint of one that lasts updates it. What lasts is in memory as well, bounded. Implements
``core.ports.AlertSink``.
"""

import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

import anyio

from homeostat.core.errors import TooManyError
from homeostat.core.events import HEARD_AT, Event, EventType, over_at
from homeostat.core.ports import Bus, Clock, StateStore
from homeostat.observe.correlate.derived import flag_event, incident_event

log = logging.getLogger(__name__)

TOPIC: Final = "events"
LASTING_MAX: Final = 5_000
TOLD_LASTING_MAX: Final = 4_000
"""From here on what others tell must wait for room; the rest is for what Homeostat itself finds."""

READ_MAX: Final = 10_000
INCIDENT_LENGTH_MAX: Final = timedelta(days=7)
"""Incidents that were opened longer before the asked time are found only while they are open."""

UNHEARD_AFTER: Final = timedelta(hours=24)
"""An alert from elsewhere that was not repeated for so long is taken for over."""


class Timeline:
    """Use it from the event loop; call ``open`` once before anything else."""

    def __init__(self, state: StateStore, bus: Bus, clock: Clock) -> None:
        self._state = state
        self._bus = bus
        self._clock = clock
        self._lasting: dict[str, Event] = {}
        self._recording = anyio.Lock()

    async def open(self) -> None:
        """Take up what lasted at the last stop. Raises StoreError."""
        found = await self._state.events(since=self._clock.now(), limit=LASTING_MAX)
        self._lasting = {_key(event): event for event in reversed(found) if over_at(event) is None}

    # -- writing ---------------------------------------------------------------------------------------------

    async def alert(self, event: Event) -> None:
        """An alert began, or (the same id, with ``ended_at``) it ended. Raises as ``record``."""
        await self.record(event)

    async def told(self, event: Event) -> Event:
        """``record`` for what somebody else tells, which may not take all the room."""
        return await self._recorded(event, TOLD_LASTING_MAX)

    async def record(self, event: Event) -> Event:
        """Store and publish; returns the event as it is on record now.

        Raises StoreError, or TooManyError for a new event that lasts beside so many others: then nothing changed.
        """
        return await self._recorded(event, LASTING_MAX)

    async def _recorded(self, event: Event, lasting_max: int) -> Event:
        async with self._recording:
            key = _key(event)
            standing = self._lasting.get(key)
            if standing is not None:
                event = _updated(standing, event)
                if event == standing:
                    return standing
            elif over_at(event) is None and len(self._lasting) >= lasting_max:
                raise TooManyError(
                    f"{len(self._lasting):,} events last already, and {event.title!r} is not taken. "
                    "End some (the same fingerprint with ended_at), and tell it again."
                )
            await self._state.save_event(event)
            if over_at(event) is None:
                self._lasting[key] = event
            else:
                self._lasting.pop(key, None)
        self._bus.publish(TOPIC, event.model_dump(mode="json"))
        return event

    async def end(self, fingerprint: str, at: datetime) -> None:
        """What lasts under this fingerprint is over. Raises StoreError."""
        standing = self._lasting.get(fingerprint)
        if standing is not None:
            await self.record(standing.model_copy(update={"ended_at": max(at, standing.time)}))

    async def tidy(self) -> None:
        """End what its source has stopped repeating. Raises StoreError."""
        now = self._clock.now()
        for key, event in list(self._lasting.items()):
            heard = event.data.get(HEARD_AT)
            if isinstance(heard, int | float) and now.timestamp() - heard > UNHEARD_AFTER.total_seconds():
                log.warning("The alert %r was not repeated for a day and is taken for over", event.title)
                await self.end(key, now)

    # -- reading ---------------------------------------------------------------------------------------------

    def lasting(self, *, prefix: str = "") -> list[Event]:
        """Recorded events that are not over, with such a fingerprint, oldest record first. Without incidents."""
        return [event for key, event in self._lasting.items() if key.startswith(prefix)]

    async def events(
        self,
        *,
        since: datetime,
        until: datetime,
        types: Collection[EventType] = (),
        limit: int = 1_000,
    ) -> list[Event]:
        """Everything that began or lasted in that time, incidents and flag changes among it, newest first."""
        wanted = set(types) or set(EventType)
        found: list[Event] = []
        for kind in wanted:
            found += await self._state.events(since=since, until=until, type=kind, limit=limit)
        if EventType.INCIDENT in wanted:
            found += await self._incidents(since)
        if EventType.DEPLOYMENT in wanted:
            found += [flag_event(change) for change in await self._state.flag_changes(limit=READ_MAX, since=since)]
        within = [event for event in found if event.time <= until and (over_at(event) or until) >= since]
        return sorted(within, key=lambda event: (event.time, event.id), reverse=True)[:limit]

    async def event(self, event_id: str) -> Event | None:
        """One event (an incident and a flag change are events as well), or None."""
        event = await self._state.event(event_id)
        if event is not None:
            return event
        incident = await self._state.incident(event_id)
        if incident is not None:
            return incident_event(incident)
        change = await self._state.flag_change(event_id)
        return None if change is None else flag_event(change)

    async def _incidents(self, since: datetime) -> list[Event]:
        read = await self._state.incidents(limit=READ_MAX, since=since - INCIDENT_LENGTH_MAX)
        read += await self._state.incidents(limit=READ_MAX, open_only=True)
        return [incident_event(incident) for incident in {one.id: one for one in read}.values()]


def _key(event: Event) -> str:
    return event.fingerprint or event.id


def _updated(standing: Event, event: Event) -> Event:
    """The standing event with what the later one says; it stays the same event, from its first beginning."""
    return event.model_copy(
        update={
            "id": standing.id,
            "time": min(standing.time, event.time),
            "services": tuple(dict.fromkeys((*standing.services, *event.services))),
            "traces": event.traces or standing.traces,
        }
    )
