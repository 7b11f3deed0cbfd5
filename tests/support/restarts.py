"""The restart action over processes that exist only in a test: its targets and its words are the real ones.

What a restart does to the scripted traffic, and what a probe finds, is the test's own.
"""

from collections.abc import Iterable, Sequence

from homeostat.core.config import ProcessConfig
from homeostat.core.models import ActionSpec, Incident, Issue, Run, Scalar, Target
from homeostat.drivers.process.actions import SPEC, RestartProcess
from homeostat.drivers.process.sensors import ExpectedDeaths


class ScriptedRestart:
    """The parts of ``core.ports.Action`` that are the same whatever is restarted."""

    def knows(self, processes: Iterable[ProcessConfig]) -> None:
        """Which processes there are; to be called once, before anything is asked."""
        self._real = RestartProcess(list(processes), ExpectedDeaths())

    @property
    def spec(self) -> ActionSpec:
        return SPEC

    async def targets(self, issue: Issue, incident: Incident) -> Sequence[Target]:
        return await self._real.targets(issue, incident)

    async def prepare(self, resource: str, parameters: dict[str, Scalar]) -> dict[str, Scalar]:
        return {}

    async def undo(self, run: Run) -> dict[str, Scalar]:
        raise AssertionError("a restart has no undo")

    async def rearm(self, run: Run) -> bool:
        return False
