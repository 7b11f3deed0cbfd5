"""Publishes what only the API's watchers need: the newest RED second, the loop's counts, the state of the storage."""

from datetime import UTC, datetime

import anyio

from homeostat.api.context import Context
from homeostat.api.figures import quantiles_ms
from homeostat.api.overview import loop_counts

TICK_S = 0.5
LATE_S = 2
"""A second younger than this is not complete: spans still arrive."""

SILENCE_S = 8
"""When nothing arrived for so long, a second without spans is taken for complete. Exporters batch up to 5 s."""

CATCH_UP_S = 10
"""At most so many seconds are published behind; older ones are read with ``GET /api/red``."""


class Feeds:
    """The three feeds; ``run`` lasts as long as the API."""

    def __init__(self, here: Context) -> None:
        self._here = here
        self._red_next_s: int | None = None
        self._loop: dict[str, object] | None = None
        self._loop_at = float("-inf")
        self._storage_state: str | None = None

    async def run(self) -> None:
        """Publish until cancelled."""
        await self._here.tally.ready()
        while True:
            await self.tick()
            await anyio.sleep(TICK_S)

    async def tick(self) -> None:
        """Publish what is due."""
        self._red()
        self._counts()
        await self._storage()

    def _red(self) -> None:
        """Each second once, in order, when it is complete."""
        red, bus = self._here.parts.red, self._here.parts.bus
        latest_s = red.latest_s()
        if latest_s is None:
            return
        now_s = int(self._here.parts.clock.now().timestamp())
        complete_s = max(min(latest_s - 1, now_s - LATE_S), now_s - SILENCE_S)
        first_s = max(self._red_next_s or complete_s, complete_s - CATCH_UP_S + 1)
        for second in range(first_s, complete_s + 1):
            bus.publish("red", self._red_second(second))
        self._red_next_s = max(first_s, complete_s + 1)

    def _red_second(self, second: int) -> dict[str, object]:
        services: dict[str, object] = {}
        for point in self._here.parts.red.window(second, second + 1):
            p50, p95 = quantiles_ms(point.histogram, (0.50, 0.95))
            services[point.service] = {
                "requests": point.requests,
                "errors": point.errors,
                "p50_ms": p50,
                "p95_ms": p95,
            }
        return {"time": datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z"), "services": services}

    def _counts(self) -> None:
        now = self._here.parts.clock.monotonic()
        if now - self._loop_at < 1.0:
            return
        counts = loop_counts(self._here).model_dump(mode="json")
        if counts != self._loop:
            self._loop, self._loop_at = counts, now
            self._here.parts.bus.publish("loop", counts)

    async def _storage(self) -> None:
        storage = await self._here.storage()
        if storage.state != self._storage_state:
            self._storage_state = storage.state
            self._here.parts.bus.publish("storage", storage.model_dump(mode="json"))
