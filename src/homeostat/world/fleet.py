"""All services of the world: start, restart, kill, slow down. The control API and the journey runner call it.

It does not restart what died: that is what Homeostat is there for.
"""

import logging
import signal
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from homeostat.core.errors import ActionError, BadRequestError, HomeostatError, NotFoundError
from homeostat.core.ports import Clock
from homeostat.world.config import SERVICES_MAX, WorldConfig
from homeostat.world.journeys import service_identity
from homeostat.world.processes import Child, Zygote, pid_file, reserve_port, write_atomically
from homeostat.world.service import GRACEFUL_S, ServiceSpec
from homeostat.world.slowness import LEASE_S_MAX, Slowness, SlowPlan
from homeostat.world.stats import ServiceState
from homeostat.world.wire import HttpClient, WireError

log = logging.getLogger(__name__)

READY_TIMEOUT_S = 10.0
READY_POLL_S = 0.01
TERM_GRACE_S = GRACEFUL_S + 0.5
KILL_WAIT_S = 5.0


class PidConflictError(ActionError):
    """A restart that was meant for another process than the one that runs now."""

    def __init__(self, service: str, expected: int, present: int) -> None:
        self.present = present
        super().__init__(f"{service} is process {present} now, not {expected}: somebody has restarted it already.")


@dataclass(slots=True)
class Member:
    """One service: its reserved port and, once started, its process (dead or alive)."""

    name: str
    reservation: socket.socket
    lock: anyio.Lock = field(default_factory=anyio.Lock)
    child: Child | None = None
    starts: int = 0
    slowness: Slowness | None = None

    @property
    def port(self) -> int:
        """Stays the same over restarts."""
        return int(self.reservation.getsockname()[1])


class Fleet:
    """The services of one world. ``tasks`` runs the slowness leases."""

    def __init__(self, config: WorldConfig, clock: Clock, client: HttpClient, tasks: TaskGroup) -> None:
        self._config = config
        self._clock = clock
        self._client = client
        self._tasks = tasks
        self._zygote = Zygote()
        self._members: dict[str, Member] = {}

    # -- looking ------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Every service, in order of first start."""
        return list(self._members)

    def view(self, name: str) -> ServiceState:
        """One service. Raises NotFoundError."""
        member = self._member(name)
        child, slow = member.child, member.slowness
        slowed = slow is not None and slow.active
        alive = child is not None and child.alive
        rss = child.rss_bytes() if child else None
        return ServiceState(
            name=name,
            state="starting" if child is None else "dead" if not alive else "slowed" if slowed else "running",
            pid=child.pid if child and alive else None,
            last_pid=child.pid if child else None,
            port=member.port,
            uptime_s=round(self._clock.monotonic() - child.started_at, 3) if child and alive else None,
            rss_mb=round(rss / (1 << 20), 1) if rss is not None else None,
            restarts=max(0, member.starts - 1),
            pid_file=str(self._pid_file(name)),
            slow=slow.view() if slow and slowed else None,
        )

    def port(self, name: str) -> int:
        """Where a service listens (or would, were it alive). Raises NotFoundError."""
        return self._member(name).port

    # -- acting -------------------------------------------------------------------------------------------

    async def start(self, names: Iterable[str]) -> None:
        """Start services side by side; returns when all of them answer. Raises ActionError when one does not."""
        try:
            async with anyio.create_task_group() as tasks:
                for name in names:
                    tasks.start_soon(self.ensure, name)
        except* HomeostatError as errors:
            raise ActionError("; ".join(str(error) for error in errors.exceptions)) from errors

    async def ensure(self, name: str) -> str:
        """Start a service that has never been started; leave every other one as it is, dead or alive.

        Returns the name under which it runs. Raises BadRequestError when the world is full.
        """
        name = service_identity(name)
        member = self._members.get(name)
        if member is None:
            if len(self._members) >= SERVICES_MAX:
                raise BadRequestError(
                    f"This world has {SERVICES_MAX} services already and takes no more. Name services that it has: "
                    + ", ".join(self._members)
                )
            member = self._members[name] = Member(name, reserve_port())
        if member.child is None:
            async with member.lock:
                if member.child is None:
                    await self._start(member)
        return name

    async def restart(self, name: str, expected_pid: int | None) -> ServiceState:
        """End the process and start a new one on the same port; returns when the new one answers.

        Raises NotFoundError, PidConflictError when the present pid is not ``expected_pid``, ActionError when the
        new process does not come up.
        """
        member = self._member(name)
        async with member.lock:
            present = member.child.pid if member.child else 0
            if expected_pid is not None and expected_pid != present:
                raise PidConflictError(name, expected_pid, present)
            await self._end(member)
            await self._start(member)
            return self.view(name)

    async def kill(self, name: str) -> int:
        """SIGKILL, as a crash does it: the pid file stays. Returns the pid. Raises ActionError when dead already."""
        child = self._living(name)
        child.send(signal.SIGKILL)
        with anyio.move_on_after(KILL_WAIT_S):
            await child.exited.wait()
        log.info("%s (pid %d) was killed on request", name, child.pid)
        return child.pid

    async def slow(self, name: str, plan: SlowPlan) -> ServiceState:
        """Slow a process down, replacing a slowness that it may have. Raises ActionError when it is dead."""
        if not 0 < plan.lease_s <= LEASE_S_MAX:
            raise BadRequestError(f"A slowness may last up to {LEASE_S_MAX:g} seconds.")
        member = self._member(name)
        async with member.lock:
            await self._free(member)
            member.slowness = Slowness(self._living(name), plan, self._clock)
            member.slowness.start(self._tasks)
        return self.view(name)

    async def unslow(self, name: str) -> bool:
        """Call a slowness back; False when there was none."""
        member = self._member(name)
        had = member.slowness is not None and member.slowness.active
        await self._free(member)
        return had

    async def stop(self) -> None:
        """End every service in good order, then the zygote; nothing of them is left."""
        async with anyio.create_task_group() as tasks:
            for member in self._members.values():
                tasks.start_soon(self._end, member)
        self._zygote.stop()
        for member in self._members.values():
            member.reservation.close()

    # -- inside -------------------------------------------------------------------------------------------

    def _member(self, name: str) -> Member:
        member = self._members.get(name)
        if member is None:
            raise NotFoundError(
                f"There is no service {name!r} here. There are: {', '.join(self._members) or 'none'}."
            )
        return member

    def _living(self, name: str) -> Child:
        child = self._member(name).child
        if child is None or not child.alive:
            raise ActionError(f"{name} is not running. Restart it first.")
        return child

    def _pid_file(self, name: str) -> Path:
        return pid_file(self._config.run_dir, name)

    async def _start(self, member: Member) -> None:
        spec = ServiceSpec(
            name=member.name,
            port=member.port,
            seed=self._config.seed,
            otlp_endpoint=self._config.otlp_endpoint,
            flags_url=self._config.flags_url,
            error_scope=self._config.error_scope.value,
            error_customers=self._config.error_customers,
            rate_limit_per_s=self._config.rate_limit_per_s,
            cache_ttl_s=self._config.cache_ttl_s,
            flags_poll_ms=self._config.flags_poll_ms,
            export_interval_ms=self._config.export_interval_ms,
        )
        began = self._clock.monotonic()
        child = await self._zygote.fork(spec, began)
        member.child = child
        member.starts += 1
        write_atomically(self._pid_file(member.name), f"{child.pid}\n{child.ticks}\n")
        await self._ready(member, child)
        took_ms = (self._clock.monotonic() - began) * 1000.0
        log.info("%s is up: pid %d, port %d, %.0f ms", member.name, child.pid, member.port, took_ms)

    async def _ready(self, member: Member, child: Child) -> None:
        url = f"http://127.0.0.1:{member.port}/health"
        with anyio.move_on_after(READY_TIMEOUT_S):
            while child.alive:
                try:
                    response = await self._client.request("GET", url, timeout_s=1.0)
                except WireError:
                    await anyio.sleep(READY_POLL_S)
                    continue
                if response.status == 200:
                    return
        if child.alive:
            raise ActionError(f"{member.name} (pid {child.pid}) does not answer {url}. See world.log.")
        raise ActionError(f"{member.name} (pid {child.pid}) died while starting. See world.log.")

    async def _end(self, member: Member) -> None:
        """SIGTERM, then SIGKILL. The pid file goes first: this is no crash."""
        await self._free(member)
        child = member.child
        if child is None or not child.alive:
            self._pid_file(member.name).unlink(missing_ok=True)
            return
        self._pid_file(member.name).unlink(missing_ok=True)
        child.send(signal.SIGTERM)
        with anyio.move_on_after(TERM_GRACE_S):
            await child.exited.wait()
        if child.alive:
            child.send(signal.SIGKILL)
            with anyio.move_on_after(KILL_WAIT_S):
                await child.exited.wait()

    async def _free(self, member: Member) -> None:
        if member.slowness is not None:
            await member.slowness.end()
            member.slowness = None
