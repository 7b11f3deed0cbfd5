"""What every route gets: the parts and what the API itself keeps. Put into ``app.state`` by ``api.app``."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, cast

import httpx2
from anyio import to_thread
from fastapi import Depends
from starlette.requests import HTTPConnection

from homeostat.api.event_parts import EventParts
from homeostat.api.parts import ApiParts
from homeostat.api.tally import Tally
from homeostat.background import Background
from homeostat.core.errors import StoreError
from homeostat.core.models import StorageStatus
from homeostat.core.ports import LogStore, MetricStore
from homeostat.detect.health import OverallHealth, ServiceHealth
from homeostat.observe.patterns import PatternFinder

HOUR = timedelta(hours=1)
"""The window of the health score."""

STORAGE_KEPT_S = 1.0
HEALTH_KEPT_S = 0.5
"""Health is computed over a minute in whole seconds: several pages that ask at once get the same answer."""


@dataclass
class Context:
    """One per app."""

    parts: ApiParts
    tally: Tally
    world: httpx2.AsyncClient | None
    background: Background
    patterns: PatternFinder = field(default_factory=PatternFinder)
    live_base: int = 0  # added to the bus's sequence numbers on the wire; see ``api.live``
    live_connections: int = 0
    storage_cache: tuple[float, StorageStatus] | None = None
    health_cache: tuple[float, list[ServiceHealth], OverallHealth] | None = None

    def events(self) -> EventParts:
        """The timeline of events and what belongs to it. Raises StoreError where this process keeps none."""
        if self.parts.events is None:
            raise StoreError("Events are not kept by this process. Start it with `homeostat up`.")
        return self.parts.events

    def logs(self) -> LogStore:
        """The log records. Raises StoreError where this process keeps none."""
        if self.parts.logs is None:
            raise StoreError("Log records are not kept by this process. Start it with `homeostat up`.")
        return self.parts.logs

    def metrics(self) -> MetricStore:
        """The metrics. Raises StoreError where this process keeps none."""
        if self.parts.metrics is None:
            raise StoreError("Metrics are not kept by this process. Start it with `homeostat up`.")
        return self.parts.metrics

    def health(self) -> tuple[list[ServiceHealth], OverallHealth]:
        """Every service, and the whole: computed together, because the whole is judged by its services."""
        now = self.parts.clock.monotonic()
        if self.health_cache is None or now - self.health_cache[0] >= HEALTH_KEPT_S:
            self.health_cache = now, *self._health_now()
        return self.health_cache[1], self.health_cache[2]

    async def storage(self) -> StorageStatus:
        """Whether telemetry can be stored. Looks at the disk, and so not on the event loop and not for everybody."""
        now = self.parts.clock.monotonic()
        if self.storage_cache is None or now - self.storage_cache[0] >= STORAGE_KEPT_S:
            self.storage_cache = now, await to_thread.run_sync(self.parts.storage)
        return self.storage_cache[1]

    def loop_problem(self) -> str | None:
        """Why nothing is watched or healed at present; None while the loop looks."""
        return self.parts.heartbeat.problem(self.parts.clock.monotonic())

    async def problems(self) -> list[str]:
        """What keeps Homeostat itself from its work; empty when it is well."""
        storage, loop = await self.storage(), self.loop_problem()
        own = [*([storage.detail] if storage.state in {"full", "failing"} else []), *([loop] if loop else [])]
        return [*own, *self.background.problems()]

    def _health_now(self) -> tuple[list[ServiceHealth], OverallHealth]:
        services = self.parts.health.services()
        an_hour_ago = self.parts.clock.now() - HOUR
        overall = self.parts.health.overall(
            services, self.tally.issues_since(an_hour_ago), self.tally.verified_since(an_hour_ago)
        )
        return services, overall


async def context_of(connection: HTTPConnection) -> Context:
    """The dependency. Async, because FastAPI runs plain functions in a thread, which costs more than the answer."""
    return cast("Context", connection.app.state.context)


Here = Annotated[Context, Depends(context_of)]
