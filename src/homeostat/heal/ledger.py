"""The journal as healing sees it: writes go through to disk, and what is asked again and again is kept at hand.

A thousand open incidents look at their runs every second, and each act counts the last hours' runs: neither should
cost a query. Homeostat is the only writer of its journal, so what was read once stays right. Used by all of ``heal``.
"""

from datetime import timedelta

from homeostat.core.models import Run
from homeostat.core.ports import Clock, Journal

RECENT = timedelta(hours=2)
"""How far back the limits and the breaker look: an hour, and an hour for what waited for its approval."""

RECENT_RUNS_MAX = 5_000
"""Limits above this are out of reason for a machine that heals."""

RUNS_OF_AN_INCIDENT_MAX = 100


class Ledger:
    """Journal of runs, with the recent ones and those of incidents under treatment in memory."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._recent: dict[str, Run] = {}
        self._recent_loaded = False
        self._by_incident: dict[str, dict[str, Run]] = {}
        self._loaded: set[str] = set()

    async def append(self, run: Run) -> None:
        """Journal a run as it is now. Raises StoreError; then nothing is remembered either."""
        await self._journal.append(run)
        self._recent[run.id] = run
        if run.incident_id in self._by_incident:
            self._by_incident[run.incident_id][run.id] = run

    async def run(self, run_id: str) -> Run | None:
        """The latest state of a run."""
        return self._recent.get(run_id) or await self._journal.run(run_id)

    async def of_incident(self, incident_id: str) -> list[Run]:
        """The latest state of each run of an incident, oldest first. Kept until ``forget``."""
        runs = self._by_incident.setdefault(incident_id, {})
        if incident_id not in self._loaded:
            for run in await self._journal.runs(incident_id=incident_id, limit=RUNS_OF_AN_INCIDENT_MAX):
                runs.setdefault(run.id, run)  # what was appended meanwhile is newer
            self._loaded.add(incident_id)
        return sorted(runs.values(), key=lambda run: (run.created_at, run.attempt))

    async def recent(self) -> list[Run]:
        """The latest state of each run that was created within ``RECENT``, in no order."""
        since = self._clock.now() - RECENT
        if not self._recent_loaded:
            for run in await self._journal.runs(limit=RECENT_RUNS_MAX, since=since):
                self._recent.setdefault(run.id, run)
            self._recent_loaded = True
        for run_id in [run.id for run in self._recent.values() if run.created_at < since]:
            del self._recent[run_id]
        return list(self._recent.values())

    def forget(self, incident_id: str) -> None:
        """An incident is no longer under treatment."""
        self._by_incident.pop(incident_id, None)
        self._loaded.discard(incident_id)
