"""The control API of a world, from Python: used by scenarios, ``launch`` and tests."""

from typing import cast

import httpx2

from homeostat.core.errors import ActionError, BadRequestError, NotFoundError
from homeostat.world.stats import ServiceState, WorldState, WorldStats


class PidConflictError(ActionError):
    """Somebody has restarted it already; ``pid`` is the present process."""

    def __init__(self, message: str, pid: int) -> None:
        self.pid = pid
        super().__init__(message)


class WorldClient:
    """One world. Use as an async context manager, or ``close`` it.

    Raises NotFoundError for an unknown service, PidConflictError, BadRequestError for values out of range, and
    ActionError for what could not be done, an unreachable world included.
    """

    def __init__(self, url: str, *, timeout_s: float = 30.0) -> None:
        self._client = httpx2.AsyncClient(base_url=url, timeout=timeout_s)

    async def __aenter__(self) -> "WorldClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up."""
        await self._client.aclose()

    async def healthy(self) -> bool:
        """Does the supervisor answer?"""
        try:
            return (await self._client.get("/health")).status_code == 200
        except httpx2.HTTPError:
            return False

    async def world(self) -> WorldState:
        """All services."""
        return WorldState.model_validate(await self._call("GET", "/world"))

    async def services(self) -> tuple[ServiceState, ...]:
        """All services."""
        return (await self.world()).services

    async def service(self, name: str) -> ServiceState:
        """One service."""
        return ServiceState.model_validate(await self._call("GET", f"/world/services/{name}"))

    async def stats(self, series_s: int = 600) -> WorldStats:
        """What the customers experienced."""
        return WorldStats.model_validate(await self._call("GET", f"/world/stats?series_s={series_s}"))

    async def kill(self, name: str) -> int:
        """SIGKILL; returns the pid that died."""
        return cast(int, (await self._call("POST", f"/world/services/{name}/kill"))["killed_pid"])

    async def restart(self, name: str, expected_pid: int | None = None) -> ServiceState:
        """A new process on the same port; returns when it answers."""
        answer = await self._call("POST", f"/world/services/{name}/restart", {"expected_pid": expected_pid})
        answer.pop("previous_pid", None)
        return ServiceState.model_validate(answer)

    async def slow(self, name: str, *, stop_ms: int, run_ms: int, lease_s: float = 300.0) -> ServiceState:
        """Stop and continue the process in turns, for ``lease_s`` seconds at most."""
        body: dict[str, object] = {"stop_ms": stop_ms, "run_ms": run_ms, "lease_s": lease_s}
        return ServiceState.model_validate(await self._call("POST", f"/world/services/{name}/slow", body))

    async def unslow(self, name: str) -> bool:
        """Call a slowness back; False when there was none."""
        return bool((await self._call("DELETE", f"/world/services/{name}/slow"))["ended"])

    async def generator(self, **changes: object) -> dict[str, object]:
        """Change enabled, interval_ms, batch_size, think_time_ms, timeout_ms or customers; answers the settings."""
        return await self._call("POST", "/world/generator", dict(changes))

    async def simulate(self, body: dict[str, object], headers: dict[str, str] | None = None) -> dict[str, object]:
        """One journey through the journey API; the whole answer."""
        return await self._call("POST", "/api/journey-simulation/simulate-journey", body, headers)

    async def _call(
        self, method: str, path: str, body: dict[str, object] | None = None, headers: dict[str, str] | None = None
    ) -> dict[str, object]:
        try:
            response = await self._client.request(method, path, json=body, headers=headers)
        except httpx2.HTTPError as error:
            raise ActionError(f"The world at {self._client.base_url} is not reachable: {error!r}.") from error
        told = cast(dict[str, object], response.json())
        if response.status_code < 300:
            return told
        detail = str(told.get("detail") or told.get("error") or told)
        if response.status_code == 404:
            raise NotFoundError(detail)
        if response.status_code == 409:
            raise PidConflictError(detail, cast(int, told.get("pid", 0)))
        if response.status_code in (400, 422):
            raise BadRequestError(detail)
        raise ActionError(detail)
