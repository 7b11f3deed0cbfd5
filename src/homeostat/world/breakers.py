"""The circuit breakers of all services, gathered for the journey API. Each service keeps its own (see ``steps``)."""

import json
from typing import cast

import anyio

from homeostat.world.fleet import Fleet
from homeostat.world.wire import HttpClient, WireError

ASK_TIMEOUT_S = 1.0


class BreakerAdmin:
    """Asks the living services; one that does not answer has no breakers to show."""

    def __init__(self, fleet: Fleet, client: HttpClient) -> None:
        self._fleet = fleet
        self._client = client

    async def all(self) -> list[dict[str, object]]:
        """Every breaker, by calling service."""
        found: dict[str, list[dict[str, object]]] = {}

        async def ask(name: str) -> None:
            url = f"http://127.0.0.1:{self._fleet.port(name)}/breakers"
            try:
                response = await self._client.request("GET", url, timeout_s=ASK_TIMEOUT_S)
            except WireError:
                return
            found[name] = cast(list[dict[str, object]], json.loads(response.body)["breakers"])

        async with anyio.create_task_group() as tasks:
            for name in self._fleet.names():
                tasks.start_soon(ask, name)
        return [breaker for name in self._fleet.names() for breaker in found.get(name, [])]

    async def reset(self, service: str | None) -> int:
        """Close all breakers, or only those towards ``service``; returns how many there were."""
        wanted = [item for item in await self.all() if service in (None, item["serviceName"])]
        query = f"?service={service}" if service else ""
        for caller in dict.fromkeys(str(item["caller"]) for item in wanted):
            url = f"http://127.0.0.1:{self._fleet.port(caller)}/breakers/reset{query}"
            try:
                await self._client.request("POST", url, timeout_s=ASK_TIMEOUT_S)
            except WireError:
                continue
        return len(wanted)
