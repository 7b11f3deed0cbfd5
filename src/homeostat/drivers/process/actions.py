"""``restart_process``: end what is there, start it again, wait until the new process stands in the pid file."""

from collections.abc import Sequence

import anyio

from homeostat.core.config import ProcessConfig
from homeostat.core.errors import ActionError
from homeostat.core.models import (
    ActionSpec,
    EffectClass,
    Incident,
    Issue,
    IssueType,
    Risk,
    RootCause,
    Run,
    Scalar,
    Target,
)
from homeostat.core.resources import ResourceId
from homeostat.core.resources import process as process_id
from homeostat.core.resources import service as service_id
from homeostat.drivers.process.identity import ProcessIdentity, look
from homeostat.drivers.process.sensors import ExpectedDeaths
from homeostat.drivers.process.starting import LOOK_INTERVAL_S, await_new, by_command, by_url, marked, replaced

PROBE_PATIENCE_S = 1.5
"""A restart command that has just ended may not have written the pid file yet."""

CONFIDENCE: dict[IssueType, float] = {
    IssueType.PROCESS_CRASH: 0.95,  # a dead process is cured by nothing else
    IssueType.HIGH_LATENCY: 0.6,  # leaks, stuck threads and starved processes start anew
    IssueType.HIGH_ERROR_RATE: 0.35,  # errors are in the code or in its inputs more often than in its state
}
ELSEWHERE = 0.4
"""Factor for a process that shows the issue while the root cause is named elsewhere."""

STANDS_OUT = 0.5
"""A slow service is restarted only when at least this share of the slowness began there. When a whole machine is
slow everything is, and restarts would only add to the load: then a person is asked."""

SPEC = ActionSpec(
    name="restart_process",
    title="Restart a process",
    driver="process",
    resource_kinds=("process",),
    answers=tuple(CONFIDENCE),
    risk=Risk.LOW,
    effect=EffectClass.PROBEABLE,
    undo=None,
    expected_duration_s=1.0,
    settle_s=0.5,
    verify_within_s=30.0,
    tries=3,  # a process that did not come up may do so a moment later, when what it needs is there
)


class RestartProcess:
    """The action over all configured processes that say how they are restarted."""

    def __init__(self, processes: Sequence[ProcessConfig], expected: ExpectedDeaths) -> None:
        self._processes = {process_id(process.name): process for process in processes if process.restart is not None}
        self._expected = expected

    @property
    def spec(self) -> ActionSpec:
        """The catalogue entry."""
        return SPEC

    async def targets(self, issue: Issue, incident: Incident) -> Sequence[Target]:
        """The process of the root cause, then the process that shows the issue."""
        if issue.type not in CONFIDENCE:
            return ()
        confidence = CONFIDENCE[issue.type]
        cause = incident.root_cause
        found: dict[str, Target] = {}
        for resource, process in self._processes.items():
            names = (resource, service_id(process.service_name))
            if issue.type is IssueType.PROCESS_CRASH:
                if issue.resource == resource:
                    found[resource] = Target(
                        resource=resource, why=f"{process.name} has crashed and does not run", confidence=confidence
                    )
            elif issue.type is IssueType.HIGH_LATENCY and not _stands_out(cause, names):
                continue
            elif cause is not None and cause.resource in names:
                why = f"{process.name} is the root cause: {cause.reason}"
                found[resource] = Target(resource=resource, why=why, confidence=confidence)
            elif issue.resource in names:
                why = f"{process.name} shows the trouble; a restart gives it a fresh state"
                factor = ELSEWHERE if cause is not None else 1.0
                found[resource] = Target(resource=resource, why=why, confidence=confidence * factor)
        return sorted(found.values(), key=lambda target: -target.confidence)

    async def prepare(self, resource: str, parameters: dict[str, Scalar]) -> dict[str, Scalar]:
        """The process as it is before, so that a restart that happened can be told from one that did not."""
        seen = look(self._process(resource).pid_file)
        if seen.identity is None:
            return {"pid": None, "start_ticks": None, "alive": False}
        return {"pid": seen.identity.pid, "start_ticks": seen.identity.start_ticks, "alive": seen.alive}

    async def act(self, run: Run) -> dict[str, Scalar]:
        """Restart it, unless somebody has done so since ``prepare``."""
        process = self._process(run.step.resource)
        before = _identity(run.before)
        seen = look(process.pid_file)
        how = "somebody had restarted it already"
        if not replaced(seen, before):
            how = await self._restart(process, run, before)
        new = await await_new(process, before)
        return {"how": how, "pid": new.pid, "start_ticks": new.start_ticks}

    async def probe(self, run: Run) -> bool | None:
        """It happened when another process stands there, or when our restart command still has a child running."""
        process = self._process(run.step.resource)
        before = _identity(run.before)
        if marked(run.id):
            return True
        with anyio.move_on_after(PROBE_PATIENCE_S):
            while not replaced(look(process.pid_file), before):
                await anyio.sleep(LOOK_INTERVAL_S)
            return True
        return False

    async def undo(self, run: Run) -> dict[str, Scalar]:
        """A restart cannot be taken back."""
        raise ActionError("A restart cannot be taken back.")

    async def rearm(self, run: Run) -> bool:
        """A restart leaves nothing behind that would have to be put back."""
        return False

    def _process(self, resource: str) -> ProcessConfig:
        process = self._processes.get(resource)
        if process is None:
            known = ", ".join(self._processes) or "none"
            raise ActionError(f"{resource} is not configured with a restart. Processes that are: {known}.")
        return process

    async def _restart(self, process: ProcessConfig, run: Run, before: ProcessIdentity | None) -> str:
        if before is not None:
            self._expected.announce(before)
        try:
            restart = process.restart
            if restart is not None and restart.url is not None:
                return await by_url(restart.url, before.pid if before else None)
            if restart is not None and restart.command is not None:
                return await by_command(restart.command, run.id, process, before)
            raise ActionError(f"{process.name} does not say how it is restarted. Give it a restart.command or url.")
        except BaseException:  # also when cancelled: a death that comes later is a crash again
            if before is not None:
                self._expected.withdraw(before)
            raise


def _stands_out(cause: RootCause | None, names: tuple[str, str]) -> bool:
    """Is this where the slowness began, as far as it was measured? A flag that is suspected may be the wrong one."""
    if cause is None or ResourceId.parse(cause.resource).kind == "flag":
        return True
    return cause.resource in names and cause.confidence >= STANDS_OUT


def _identity(before: dict[str, Scalar]) -> ProcessIdentity | None:
    pid, ticks = before.get("pid"), before.get("start_ticks")
    if not isinstance(pid, int):
        return None
    return ProcessIdentity(pid, ticks if isinstance(ticks, int) else None)
