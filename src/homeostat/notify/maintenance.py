"""Maintenance windows: those that people make here, durable, and the silences of an Alertmanager beside them.

During a window nobody is alerted for its services (``outbox``) and healing does nothing by itself (``heal.policy``).
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError

from homeostat.core.errors import BadRequestError, ConflictError, NotFoundError
from homeostat.core.events import Event, MaintenanceWindow
from homeostat.core.ports import Clock, DocumentStore, Ids
from homeostat.core.resources import service_name
from homeostat.notify.naming import alert_name

log = logging.getLogger(__name__)

KIND: Final = "maintenance"
WINDOWS_MAX: Final = 1_000
LENGTH_MAX: Final = timedelta(days=366)
KEPT_AFTER: Final = timedelta(days=30)
"""So long a window that is over can still be looked up."""


class MaintenanceBook:
    """Use it from the event loop; call ``open`` once before anything else."""

    def __init__(
        self, store: DocumentStore, clock: Clock, ids: Ids, process_services: Mapping[str, str] | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._process_services = dict(process_services or {})
        self._own: dict[str, MaintenanceWindow] = {}
        self._silences: tuple[MaintenanceWindow, ...] = ()

    async def open(self) -> None:
        """Read the windows that were made before. Raises StoreError."""
        for key, text in (await self._store.documents(KIND)).items():
            try:
                self._own[key] = MaintenanceWindow.model_validate_json(text)
            except ValidationError:
                log.warning("The stored maintenance window %s cannot be read and is left out", key, exc_info=True)

    # -- changing --------------------------------------------------------------------------------------------

    async def add(
        self, *, start: datetime, end: datetime, services: Sequence[str], reason: str, created_by: str
    ) -> MaintenanceWindow:
        """Make a window. Raises BadRequestError, ConflictError when there are too many, StoreError."""
        now = self._clock.now()
        if end <= start or end <= now:
            raise BadRequestError(
                f"A window must end after its start and after now; this one ends {end.isoformat()}."
            )
        if end - start > LENGTH_MAX:
            raise BadRequestError(f"A window may last {LENGTH_MAX.days} days at most. Make it shorter.")
        await self._drop_old(now)
        if len(self._own) >= WINDOWS_MAX:
            raise ConflictError(f"There are {WINDOWS_MAX} windows already. Delete some.")
        window = MaintenanceWindow(
            id=self._ids.new("maintenance"),
            start=start,
            end=end,
            services=tuple(dict.fromkeys(services)),
            reason=reason,
            created_by=created_by,
        )
        await self._save(window)
        return window

    async def end(self, window_id: str) -> MaintenanceWindow:
        """End one now; one that has not begun is deleted. Raises NotFoundError, ConflictError for a silence."""
        window = self._own.get(window_id)
        if window is None:
            if any(silence.id == window_id for silence in self._silences):
                raise ConflictError("This window is a silence of the Alertmanager. Expire it there.")
            raise NotFoundError(f"There is no maintenance window {window_id!r}. GET /api/maintenance lists them.")
        now = self._clock.now()
        if window.end <= now:
            raise ConflictError(f"The maintenance window {window_id} is over already.")
        ended = window.model_copy(update={"end": max(now, window.start)})
        if window.start >= now:
            await self._store.delete_document(KIND, window_id)
            del self._own[window_id]
        else:
            await self._save(ended)
        return ended

    def silenced(self, windows: Sequence[MaintenanceWindow]) -> None:
        """The silences as they are now; they replace those of the last time."""
        self._silences = tuple(windows[:WINDOWS_MAX])

    async def _save(self, window: MaintenanceWindow) -> None:
        await self._store.put_document(KIND, window.id, window.model_dump_json())
        self._own[window.id] = window

    async def _drop_old(self, now: datetime) -> None:
        for window in [window for window in self._own.values() if window.end < now - KEPT_AFTER]:
            await self._store.delete_document(KIND, window.id)
            del self._own[window.id]

    # -- asking ----------------------------------------------------------------------------------------------

    def windows(self, *, over: bool = False) -> list[MaintenanceWindow]:
        """Those that last or are to come, by their start; with ``over`` also those of the last 30 days."""
        now = self._clock.now()
        found = (*self._own.values(), *self._silences)
        return sorted((one for one in found if over or one.end > now), key=lambda one: (one.start, one.id))

    def covering(self, resource: str, now: datetime) -> MaintenanceWindow | None:
        """The window in which a resource is. Raises BadRequestError for what is no ``kind:name``."""
        service = service_name(resource, self._process_services)
        for window in self._active(now):
            if not window.alerts and (not window.services or service in window.services):
                return window
        return None

    def muting(self, event: Event, now: datetime) -> MaintenanceWindow | None:
        """The window that mutes an alert: it, or all that last now together, cover every service of the alert."""
        name = alert_name(event)
        last: MaintenanceWindow | None = None
        left = set(event.services)
        for window in self._active(now):
            if window.alerts and name not in window.alerts:
                continue
            if not window.services:
                return window
            if left & set(window.services):
                left -= set(window.services)
                last = window
        return last if last is not None and not left else None

    def _active(self, now: datetime) -> list[MaintenanceWindow]:
        return [one for one in (*self._own.values(), *self._silences) if one.start <= now < one.end]
