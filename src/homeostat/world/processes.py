"""The services' processes as the supervisor sees them: forked by the zygote, watched by pidfd, named in pid files.

Used by ``fleet``. A pid file holds the pid in its first line and the start time in clock ticks in its second, so that
a reader can tell a process from a later one that was given the same number.
"""

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import anyio

from homeostat.core.errors import ActionError
from homeostat.world.service import ServiceSpec
from homeostat.world.zygote import start_ticks

log = logging.getLogger(__name__)

FORK_TIMEOUT_S = 10.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Child:
    """A process that was started; ``exited`` is set by the event loop the moment it dies."""

    pid: int
    ticks: int
    started_at: float  # monotonic seconds
    pidfd: int
    exited: anyio.Event = field(default_factory=anyio.Event)

    @property
    def alive(self) -> bool:
        """Until the kernel says otherwise."""
        return not self.exited.is_set()

    def send(self, number: signal.Signals) -> bool:
        """Signal exactly this process, never a later one with its pid. False when it is gone."""
        if not self.alive:
            return False
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:
            return False
        return True

    def rss_bytes(self) -> int | None:
        """Resident memory, None when it is gone."""
        if not self.alive:
            return None
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE_BYTES
        except (OSError, IndexError):
            return None

    def watch(self) -> None:
        """Begin to watch; must be called on the event loop."""
        asyncio.get_running_loop().add_reader(self.pidfd, self._gone)

    def _gone(self) -> None:
        asyncio.get_running_loop().remove_reader(self.pidfd)
        self.exited.set()
        os.close(self.pidfd)


class Zygote:
    """The fork server, started when first needed and again should it have died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._retired: list[tuple[subprocess.Popen[bytes], asyncio.StreamWriter]] = []
        self._lock = anyio.Lock()

    async def fork(self, spec: ServiceSpec, now: float) -> Child:
        """Start one service. Raises ActionError when the zygote does not answer."""
        async with self._lock:
            reader, writer = await self._connection()
            try:
                with anyio.fail_after(FORK_TIMEOUT_S):
                    writer.write(spec.encode().encode() + b"\n")
                    await writer.drain()
                    line = await reader.readline()
            except (TimeoutError, OSError) as error:
                self._retire()
                raise ActionError(f"{spec.name} could not be started: the fork server failed ({error!r}).") from None
        if not line:
            self._retire()
            raise ActionError(f"{spec.name} could not be started: the fork server died. See world.log.")
        answer = cast(dict[str, int], json.loads(line))
        try:
            pidfd = os.pidfd_open(answer["pid"])
        except ProcessLookupError:
            raise ActionError(f"{spec.name} died as soon as it was started. See world.log.") from None
        child = Child(answer["pid"], answer["start_ticks"], now, pidfd)
        child.watch()
        return child

    def stop(self) -> None:
        """End it; the kernel ends every service that was forked from it."""
        self._retire()
        for process, writer in self._retired:
            writer.close()
            process.kill()
            process.wait()
        self._retired.clear()

    def _retire(self) -> None:
        """Fork no more from this one. It is left alive, because its services would die with it."""
        if self._process is not None and self._writer is not None:
            self._retired.append((self._process, self._writer))
        self._process = self._reader = self._writer = None

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._process is not None and self._process.poll() is not None:
            self._retire()
        if self._reader is None or self._writer is None:
            ours = self._spawn()
            self._reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        return self._reader, self._writer

    def _spawn(self) -> socket.socket:
        # From this (the main) thread: PR_SET_PDEATHSIG is bound to the thread that started the process.
        ours, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "homeostat.world.zygote", str(theirs.fileno()), str(os.getpid())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        ours.setblocking(False)
        return ours


def reserve_port() -> socket.socket:
    """A port that stays ours while its service is dead: bound but not listening, so calls to it are refused.

    The service binds the same port beside it: with SO_REUSEADDR on both, Linux allows that while only one listens.
    """
    reservation = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reservation.bind(("127.0.0.1", 0))
    return reservation


def write_atomically(path: Path, text: str) -> None:
    """Readers see the old file or the new one, never half of it."""
    partial = path.with_name(f".{path.name}.new")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def pid_file(run_dir: Path, service: str) -> Path:
    """Where the pid of a service stands."""
    return run_dir / f"{service}.pid"


def clear_stale_pid_files(run_dir: Path) -> list[Path]:
    """Remove pid files of an earlier world in this directory; a process of it that still lives is ended.

    Only call with the directory's lock held: no other supervisor may be alive.
    """
    removed: list[Path] = []
    for path in sorted(run_dir.glob("*.pid")):
        _end_orphan(path)
        path.unlink(missing_ok=True)
        removed.append(path)
    return removed


def _end_orphan(path: Path) -> None:
    lines = path.read_text(encoding="utf-8", errors="replace").split()
    if len(lines) < 2 or not (lines[0].isdigit() and lines[1].isdigit()):
        return
    pid, ticks = int(lines[0]), int(lines[1])
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return
    try:
        # The pidfd pins the process, so what start_ticks reads now is what gets the signal.
        if start_ticks(pid) == ticks:
            log.warning("Ending %s (pid %d), left over from an earlier world", path.stem, pid)
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        pass
    finally:
        os.close(pidfd)
