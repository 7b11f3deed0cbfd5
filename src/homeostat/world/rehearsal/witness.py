"""What Homeostat says, asked over its public API: the same answers that a user's script would get."""

from datetime import datetime
from typing import cast

import httpx2

from homeostat.core.errors import HomeostatError
from homeostat.core.models import Incident, Issue, Run

Json = dict[str, object]


class Witness:
    """Reads incidents and runs, and sets flags, through the HTTP API."""

    def __init__(self, url: str) -> None:
        self._client = httpx2.AsyncClient(base_url=url, timeout=10.0, trust_env=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def incidents(self, *, open_only: bool = False, limit: int = 50) -> list[Incident]:
        """Newest first."""
        rows = await self._get("/api/incidents", {"open_only": open_only, "limit": limit})
        return [Incident.model_validate(row) for row in cast("list[Json]", rows)]

    async def incident(self, incident_id: str) -> tuple[Incident, list[Issue], list[Run]]:
        """An incident with its issues and runs, runs oldest first."""
        found = cast("Json", await self._get(f"/api/incidents/{incident_id}", {}))
        runs = [Run.model_validate(row) for row in cast("list[Json]", found["runs"])]
        return (
            Incident.model_validate(found["incident"]),
            [Issue.model_validate(row) for row in cast("list[Json]", found["issues"])],
            sorted(runs, key=lambda run: run.created_at),
        )

    async def counts(self) -> tuple[int, int]:
        """Issues ever opened and actions ever run."""
        loop = cast("Json", cast("Json", await self._get("/api/overview", {}))["loop"])
        issues = cast("Json", loop["detect"])["issues_total"]
        actions = cast("Json", loop["act"])["runs_total"]
        return cast("int", issues), cast("int", actions)

    async def services(self) -> dict[str, str]:
        """Status of each service that sends telemetry."""
        rows = cast("list[Json]", await self._get("/api/services", {}))
        return {str(row["service"]): str(row["status"]) for row in rows}

    async def flags(self) -> dict[str, bool]:
        """Present value of each flag."""
        rows = cast("list[Json]", await self._get("/api/flags", {}))
        return {str(row["flag"]): cast("bool", row["value"]) for row in rows}

    async def set_flag(self, flag: str, value: bool, reason: str) -> datetime:
        """Change a flag as a person would; returns when it changed."""
        body = {"flag": flag, "value": value, "reason": reason, "triggeredBy": "rehearsal"}
        response = await self._client.post("/api/remediation/feature-flag", json=body)
        if not response.is_success:
            raise HomeostatError(f"Setting {flag} failed: HTTP {response.status_code} {response.text[:200]}")
        return datetime.fromisoformat(str(cast("Json", response.json())["timestamp"]))

    async def _get(self, path: str, params: dict[str, str | int | bool]) -> object:
        response = await self._client.get(path, params=params)
        if not response.is_success:
            raise HomeostatError(f"GET {path} failed: HTTP {response.status_code} {response.text[:200]}")
        return cast("object", response.json())
